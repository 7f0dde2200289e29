"""Verifies a corpus folder to the last sample and sums it up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from corpora.clip import SPLITS
from datamodules.errors import ShardError
from datamodules.manifest import Manifest
from datamodules.motion_statistics import FIELDS, MotionStatistics, StatisticsAccumulator
from datamodules.sample import Sample
from datamodules.shard_index import ShardIndex
from faces.arkit import ARKIT_NAMES
from faces.motion import FaceMotion
from speech.audio import SILENCE_DBFS, loudest_level_dbfs

OUTLIER_SIGMAS = 8.0
LARGE_MOVEMENT = 0.5  # of a coefficient's range, or radians
# Coefficients of blend-shape spaces are shares of a shape; what interpolation adds by rounding is let pass.
UNIT_RANGE_SPACES = ("arkit",)
ROUNDING = 1e-4
FROZEN_SECONDS = 1.0
FROZEN_STD = 1e-6


@dataclass
class CheckReport:
    """`problems` make a corpus unusable, `outliers` are worth a look; each is one sentence naming shard and
    sample.

    `measured` are statistics over every clip that could be decoded, all splits together.
    """

    root: str
    manifest: Manifest
    problems: list[str] = field(default_factory=list)
    outliers: list[str] = field(default_factory=list)
    clips_read: int = 0
    measured: MotionStatistics | None = None

    @property
    def ok(self) -> bool:
        return not self.problems


def check_shards(root: str | os.PathLike[str], full: bool = True, progress: bool = False) -> CheckReport:
    """Check the folder `root`: with `full` every byte and sample, else the manifest and the sizes of the
    shards.

    Raises ShardError where there is no corpus to check: no manifest, or a shard missing or of another size.
    """
    index = ShardIndex(root)
    report = CheckReport(str(root), index.manifest)
    report.problems += _index_problems(index.manifest)
    if not full:
        return report
    report.problems += index.verify_checksums()
    statistics = StatisticsAccumulator()
    limits = index.manifest.statistics
    for number in track(range(len(index)), description="checking", disable=not progress):
        where = f"{index.manifest.shards[index.shard_of[number]].file}, {index.entries[number].key}"
        try:
            sample = index.read(number)
        except ShardError as error:
            report.problems.append(str(error))
            continue
        report.clips_read += 1
        statistics.add(sample.clip.motion)
        report.problems += [f"{where}: {text}" for text in _sample_problems(index, number, sample)]
        report.outliers += [f"{where}: {text}" for text in _sample_outliers(sample, limits)]
    report.measured = statistics.result()
    return report


def print_report(report: CheckReport, console: Console | None = None, most: int = 20) -> None:
    """Tables of what is in the corpus, then problems and outliers, at most `most` of each."""
    console = console or Console()
    manifest = report.manifest
    origin = "synthetic, no person" if manifest.synthetic else "recordings"
    console.print(
        f"{report.root}: {manifest.corpus} ({origin}), space {manifest.space}, {len(manifest.shards)} shards",
        highlight=False,
        soft_wrap=True,
    )
    counts = Table()
    for column in ("split", "hours", "speakers", "clips"):
        counts.add_column(column, justify="left" if column == "split" else "right")
    for name in (*SPLITS, "total"):
        values = manifest.counts[name]
        counts.add_row(name, f"{values['hours']:.3f}", str(values["speakers"]), str(values["clips"]))
    console.print(counts)
    if report.measured is not None:
        console.print(_range_table(report.measured))
    for title, lines in (("problems", report.problems), ("outliers", report.outliers)):
        console.print(f"{title}: {len(lines)}" if lines else f"{title}: none", highlight=False)
        for line in lines[:most]:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        if len(lines) > most:
            console.print(f"  ... and {len(lines) - most} more")


def _range_table(measured: MotionStatistics) -> Table:
    table = Table(caption="over all clips: coefficients, radians, metres")
    for column in ("field", "dimensions", "min", "mean", "max", "largest std"):
        table.add_column(column, justify="left" if column == "field" else "right")
    for name in FIELDS:
        values = getattr(measured, name)
        if values is not None:
            numbers = (values.min.min(), values.mean.mean(), values.max.max(), values.std.max())
            table.add_row(name, str(len(values.mean)), *(f"{number:.3f}" for number in numbers))
    return table


def _index_problems(manifest: Manifest) -> Iterator[str]:
    entries = manifest.entries
    seen: set[str] = set()
    for entry in entries:
        if entry.key in seen:
            yield f"key {entry.key} is used twice in the manifest"
        seen.add(entry.key)
    splits: dict[str, set[str]] = {}
    for entry in entries:
        splits.setdefault(entry.speaker, set()).add(entry.split)
    for speaker, found in sorted(splits.items()):
        if len(found) > 1:
            yield f"speaker {speaker} is in several splits: {', '.join(sorted(found))}"
    for shard in manifest.shards:
        if shard.samples != len(shard.index):
            yield f"shard {shard.file}: the manifest counts {shard.samples} samples and lists {len(shard.index)}"


def _sample_problems(index: ShardIndex, number: int, sample: Sample) -> Iterator[str]:
    entry, clip = index.entries[number], sample.clip
    motion = clip.motion
    if len(motion) != entry.num_frames:
        yield f"{len(motion)} frames, the manifest says {entry.num_frames}"
    if clip.meta.speaker != entry.speaker or clip.meta.split != entry.split:
        yield (
            f"is of speaker {clip.meta.speaker} in split {clip.meta.split}, "
            f"the manifest says {entry.speaker} in {entry.split}"
        )
    if motion.space != index.manifest.space:
        yield f"is in space {motion.space!r}, the manifest says {index.manifest.space!r}"
    if not np.isfinite(clip.audio).all():
        yield "audio is not finite"
    if motion.space in UNIT_RANGE_SPACES and len(motion):
        low, high = float(motion.expression.min()), float(motion.expression.max())
        if low < -ROUNDING or high > 1 + ROUNDING:
            yield f"expression ranges from {low:.3f} to {high:.3f}; coefficients of {motion.space} lie in 0..1"
    for name in ("head", "jaw"):
        angle = np.linalg.norm(getattr(motion, name), axis=1).max(initial=0.0)
        if angle >= np.pi:
            yield f"{name} turns by {angle:.2f} rad; rotations are below pi"


def _sample_outliers(sample: Sample, limits: MotionStatistics | None) -> Iterator[str]:
    motion = sample.clip.motion
    level = loudest_level_dbfs(sample.clip.audio)
    if level < SILENCE_DBFS:
        yield f"silent: the loudest 100 ms reach {level:.0f} dB of full scale"
    if motion.duration >= FROZEN_SECONDS and motion.expression.std(axis=0).max() < FROZEN_STD:
        yield "frozen: no coefficient moves"
    if limits is not None:
        yield from _far_from_the_mean(motion, limits)


def _far_from_the_mean(motion: FaceMotion, limits: MotionStatistics) -> Iterator[str]:
    for name in ("expression", "head"):
        known, values = getattr(limits, name), getattr(motion, name)
        if not len(values) or known.mean.shape != values.shape[1:]:
            continue
        distance = np.abs(values - known.mean)
        # A coefficient that hardly ever moves has a tiny deviation; only a large movement of it is odd.
        with np.errstate(divide="ignore", invalid="ignore"):
            sigmas = np.where(distance > LARGE_MOVEMENT, distance / known.std, 0.0)
        frame, dimension = np.unravel_index(int(sigmas.argmax()), sigmas.shape)
        if sigmas[frame, dimension] > OUTLIER_SIGMAS:
            named = name == "expression" and motion.space == "arkit"
            what = ARKIT_NAMES[dimension] if named else f"{name}[{dimension}]"
            yield (
                f"{what} is {values[frame, dimension]:.2f} at frame {frame}, "
                f"more than {OUTLIER_SIGMAS:g} deviations from the mean {known.mean[dimension]:.2f}"
            )
