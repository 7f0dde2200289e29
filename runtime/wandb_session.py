"""One W&B run, from `init` to `finish`: the only file that calls the `wandb` package.

Every method may block, raise or hang as the package pleases; `runtime.wandb_feed` calls them in a thread that training does not wait for.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.exit_codes import PREEMPTED

STEP = "trainer/global_step"
RESUME_COUNT = "run/resume_count"


@dataclass(frozen=True)
class RunDescription:
    """What W&B is told about a run. `config` and `tags` are what the dashboard groups and filters by."""

    run_id: str
    folder: Path
    project: str
    mode: str = "offline"
    entity: str = ""
    group: str = ""
    job_type: str = "train"
    tags: tuple[str, ...] = ()
    config: dict[str, Any] | None = None
    resume_count: int = 0
    timeout_s: float = 40.0


def say_on_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class WandbSession:
    """All W&B calls of one run, in order: `start`, then `log`, `add_to_config`, `log_video` and `log_image`, then `finish`. Not thread-safe: one thread uses it."""

    def __init__(self, description: RunDescription, say: Callable[[str], None] = say_on_stderr) -> None:
        self.description, self._say = description, say
        self._wandb: Any = None
        self._run: Any = None

    def start(self) -> None:
        """Open the run; where W&B cannot be reached online, open it offline and say so. Raises what the package raises otherwise."""
        hold_exit_hooks()
        self._wandb = importlib.import_module("wandb")
        hooks = sys.exit, sys.excepthook
        try:
            self._run = self._open()
        finally:
            sys.exit, sys.excepthook = hooks  # the package replaces both; the exit code is given to finish() instead
        self._run.define_metric(STEP)
        self._run.define_metric(RESUME_COUNT, step_metric=STEP)
        self._run.define_metric("*", step_metric=STEP)

    def log(self, row: dict[str, Any], step: int) -> None:
        """One history row. W&B's own step argument is never given: it may not go backwards, ours does after a resume."""
        self._run.log({**row, STEP: step, RESUME_COUNT: self.description.resume_count})

    def add_to_config(self, values: dict[str, Any]) -> None:
        """More of the configuration than was known when the run was opened; a resume may say it in other words."""
        self._run.config.update(values, allow_val_change=True)

    def log_video(self, key: str, path: Path, step: int, caption: str) -> None:
        self.log({key: self._wandb.Video(str(path), caption=caption, format=path.suffix.lstrip("."))}, step)

    def log_image(self, key: str, path: Path, step: int, caption: str) -> None:
        self.log({key: self._wandb.Image(str(path), caption=caption)}, step)

    def finish(self, exit_code: int) -> None:
        """End the run and W&B's service process; a preempted run is marked as one that will go on.

        Not so a trial of a W&B sweep: its agent sends the same signal to end it for good, and a marked run would be queued again.
        """
        if self._run is None:
            return
        if exit_code == PREEMPTED and "WANDB_SWEEP_ID" not in os.environ:
            self._run.mark_preempting()
        self._run.finish(exit_code=exit_code)
        self._wandb.teardown()

    def _open(self) -> Any:
        if self.description.mode != "online":
            return self._init("offline")
        try:
            return self._init("online")
        except Exception as error:  # noqa: BLE001 - no key, no network, a refused id: offline answers all of them
            self._say(
                f"W&B cannot be reached ({first_line(error)}): this run is logged offline to {self.description.folder / 'wandb'}; upload it later"
            )
            self._wandb.teardown()  # or the id counts as still in use
            return self._init("offline")

    def _init(self, mode: str) -> Any:
        told, wandb = self.description, self._wandb
        settings = wandb.Settings(
            init_timeout=told.timeout_s / 2,  # leaves time to open and end an offline run also where training is short
            finish_timeout=told.timeout_s,
            console="off",  # capturing would put the package between training and its own prints
            silent=True,  # also: no prompt for a key in the middle of a training
            x_stats_pid=os.getpid(),
        )
        wandb.setup(wandb.Settings(silent=True))
        return wandb.init(
            mode=mode,
            project=told.project,
            entity=told.entity or None,
            id=told.run_id,
            name=told.run_id,
            group=told.group,
            job_type=told.job_type,
            tags=[tag[:64] for tag in told.tags],
            config=told.config or {},
            dir=str(told.folder),
            resume="allow",
            settings=settings,
        )


_held_hooks: list[Callable[..., Any]] = []
_register = atexit.register


def hold_exit_hooks() -> None:
    """From now on remember which `atexit` hooks the package registers, so that `withdraw_exit_hooks` can take them back."""

    def register(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
        if (getattr(function, "__module__", None) or "").split(".")[0] == "wandb":
            _held_hooks.append(function)
        return _register(function, *args, **kwargs)

    atexit.register = register  # type: ignore[assignment]


def withdraw_exit_hooks() -> None:
    """Unregister them: the package's hook waits for its service without limit, and an abandoned run must not hold the process."""
    while _held_hooks:
        atexit.unregister(_held_hooks.pop())


def first_line(error: BaseException) -> str:
    """`Type: the first line of its message`, for one-line notices."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
