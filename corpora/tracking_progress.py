"""How far the tracking of one video is: a bar on a terminal, elsewhere a line from time to time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from corpora.video import VideoPicture

LINE_EVERY_S = 10.0


def shown(pictures: Iterable[VideoPicture], path: Path, until_s: float) -> Iterator[VideoPicture]:
    """The same pictures, one by one, while standard error says how much of the `until_s` seconds of `path` has been asked for and how long the rest takes.

    `until_s` 0: the length is not known, and seconds alone are shown.
    """
    with (_bar if sys.stderr.isatty() else _lines)(path.name, until_s) as show:
        for picture in pictures:
            yield picture
            show(picture.time_s)


@contextmanager
def _bar(name: str, until_s: float) -> Iterator[Callable[[float], None]]:
    columns = (
        TextColumn("tracking {task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=until_s or None)
        yield lambda seconds: progress.update(task, completed=seconds)


@contextmanager
def _lines(name: str, until_s: float) -> Iterator[Callable[[float], None]]:
    started = last = time.monotonic()

    def show(seconds: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LINE_EVERY_S:
            return
        last = now
        left = (
            f" of {until_s:.0f} s, ETA {(until_s / seconds - 1) * (now - started):.0f} s"
            if until_s > seconds > 0
            else " s"
        )
        print(f"tracking {name}: {seconds:.0f}{left}", file=sys.stderr, flush=True)

    yield show
