"""How a preparation ended, as tables: what was kept of whom, what was dropped and why."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from corpora.clip import Dropped
from datamodules.manifest import Manifest, SampleEntry
from datamodules.preparation import PreparationReport
from speech.audio import MOTION_FPS


def print_preparation(report: PreparationReport, console: Console | None = None, most: int = 60) -> None:
    """Tables of clips per speaker and of reasons for dropping, at most `most` rows each; then one line with totals."""
    console = console or Console()
    console.print(_speaker_table(Manifest.load(Path(report.out)).entries, most))
    if report.dropped:
        console.print(_dropped_table(report.dropped, most))
    sources = len({dropped.source for dropped in report.dropped})
    console.print(
        f"{report.out}: kept {report.kept} clips, {report.seconds / 60:.1f} minutes, out of {report.jobs} jobs; "
        f"dropped {len(report.dropped)} recordings or parts of {sources}",
        highlight=False,
        soft_wrap=True,
    )
    if report.already_finished:
        console.print("this corpus was finished before; nothing was done", highlight=False)
    else:
        console.print(f"took {report.elapsed_s:.0f} s; {report.reused} jobs were done before", highlight=False)


def _speaker_table(entries: list[SampleEntry], most: int) -> Table:
    by_speaker: dict[tuple[str, str], list[SampleEntry]] = defaultdict(list)
    for entry in entries:
        by_speaker[entry.split, entry.speaker].append(entry)
    table = Table(title="kept")
    for column in ("speaker", "split", "sources", "clips", "minutes"):
        table.add_column(column, justify="left" if column in ("speaker", "split") else "right")
    for (split, speaker), clips in sorted(by_speaker.items())[:most]:
        minutes = sum(clip.num_frames for clip in clips) / MOTION_FPS / 60
        table.add_row(speaker, split, str(len({clip.source for clip in clips})), str(len(clips)), f"{minutes:.2f}")
    if len(by_speaker) > most:
        table.add_row(f"... and {len(by_speaker) - most} more")
    return table


def _dropped_table(dropped: list[Dropped], most: int) -> Table:
    table = Table(title="dropped")
    for column in ("why", "count", "source", "detail"):
        table.add_column(column, justify="right" if column == "count" else "left", overflow="fold")
    by_reason: dict[str, list[Dropped]] = defaultdict(list)
    for item in dropped:
        by_reason[item.reason].append(item)
    rows = 0
    for reason, items in sorted(by_reason.items(), key=lambda pair: -len(pair[1])):
        for number, item in enumerate(items[: max(3, most // len(by_reason))]):
            first = number == 0
            table.add_row(reason if first else "", str(len(items)) if first else "", item.source, item.detail)
            rows += 1
    if rows < len(dropped):
        table.add_row("", "", f"... and {len(dropped) - rows} more", "all are in preparation.json")
    return table
