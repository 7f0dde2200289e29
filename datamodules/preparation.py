"""From jobs to a corpus: run them in processes, stage what they give, resume where it stopped, pack in the
order of the jobs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from corpora.clip import Dropped, PrepareJob
from datamodules.errors import ShardError
from datamodules.job_pool import PreparationInterrupted, run_jobs
from datamodules.manifest import MANIFEST_NAME, Manifest, write_json
from datamodules.shard_writer import ShardWriter
from datamodules.staging import StagedJob, Staging, check_same_corpus
from speech.audio import MOTION_FPS

REPORT_NAME = "preparation.json"
PACKAGES = ("numpy", "scipy", "av", "soxr", "soundfile", "mediapipe", "espeakng-loader", "webdataset")


@dataclass(frozen=True)
class PreparationReport:
    """How a preparation ended. `seconds` are of speech kept, `elapsed_s` of work in this call, `reused` jobs
    came from an earlier one.
    """

    out: str
    jobs: int
    reused: int
    kept: int
    dropped: list[Dropped]
    seconds: float
    elapsed_s: float
    already_finished: bool = False

    @property
    def reasons(self) -> dict[str, int]:
        """Number of dropped recordings for each reason, most frequent first."""
        return dict(Counter(dropped.reason for dropped in self.dropped).most_common())


def prepare_corpus(
    jobs: Sequence[PrepareJob],
    out: str | Path,
    *,
    corpus: str,
    fingerprint: dict,
    workers: int | None = None,
    max_shard_mb: float = 256.0,
    progress: bool = True,
    manifest_extra: dict | None = None,
) -> PreparationReport:
    """Run `jobs` and make the folder `out` of their clips; the same call continues an interrupted one.

    `fingerprint` (JSON values) says what defines the corpus: command and options. A folder that was begun
    with another one is refused. `workers=None` takes every core; 0 runs in this process. Worker count and
    order of finishing change no byte of the shards. Raises ShardError for: a folder of something else, a
    failing job (it is named, the others' results stay staged), a worker that died, a full disk, an
    interruption, no clip kept.
    """
    begin = time.monotonic()
    out = Path(out)
    _check_names(jobs)
    record = {"corpus": corpus, "fingerprint": fingerprint}
    if (out / MANIFEST_NAME).exists():
        return _finished_before(out, jobs, record)
    staging = Staging(out)
    staging.open(corpus, fingerprint)
    with staging.lock():
        waiting = [job for job in jobs if staging.finished(job.name) is None]
        run_jobs(waiting, staging.folder, total=len(jobs), workers=workers, progress=progress)
        staged = [_staged(staging, job) for job in jobs]
        _refuse_empty(staging, staged)
        made_by = {**record, "jobs": _names_hash(jobs), "packages": package_versions()}
        try:
            manifest = _pack(staging, staged, corpus, max_shard_mb, made_by, manifest_extra)
        except KeyboardInterrupt as error:
            raise PreparationInterrupted(
                f"interrupted while packing shards: all {len(jobs)} jobs are staged; the same command continues"
            ) from error
    staging.remove()
    return _report(out, manifest, staged, reused=len(jobs) - len(waiting), elapsed_s=time.monotonic() - begin)


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change what a corpus holds, as far as they are installed."""
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _pack(
    staging: Staging,
    staged: list[StagedJob],
    corpus: str,
    max_shard_mb: float,
    made_by: dict,
    extra: dict | None,
) -> Manifest:
    for leftover in (*staging.out.glob("*.tar"), *staging.out.glob("*.tmp")):
        leftover.unlink()
    with ShardWriter(staging.out, corpus=corpus, max_shard_mb=max_shard_mb, made_by=made_by) as writer:
        for job in staged:
            for key, members in staging.samples(job):
                writer.add_encoded(key, members)
        write_json(staging.out / REPORT_NAME, {"jobs": [asdict(job) for job in staged]})
        return writer.finish(extra)


def _finished_before(out: Path, jobs: Sequence[PrepareJob], record: dict) -> PreparationReport:
    manifest = Manifest.load(out)
    if not (out / REPORT_NAME).is_file() or "fingerprint" not in manifest.made_by:
        raise ShardError(f"{out} holds a corpus that was not made by prepare.py; choose another output folder")
    check_same_corpus(out, record, manifest.made_by)
    if manifest.made_by["jobs"] != _names_hash(jobs):
        raise ShardError(
            f"{out} holds a finished corpus of other recordings than the {len(jobs)} asked for now; "
            "finished corpora are not extended: choose another output folder"
        )
    staging = Staging(out)
    if staging.folder.exists():
        staging.remove()
    values = json.loads((out / REPORT_NAME).read_bytes())["jobs"]
    staged = [StagedJob(v["name"], v["keys"], [Dropped(**d) for d in v["dropped"]], v["seconds"]) for v in values]
    return _report(out, manifest, staged, reused=len(jobs), elapsed_s=0.0, already_finished=True)


def _report(
    out: Path,
    manifest: Manifest,
    staged: list[StagedJob],
    *,
    reused: int,
    elapsed_s: float,
    already_finished: bool = False,
) -> PreparationReport:
    return PreparationReport(
        out=str(out),
        jobs=len(staged),
        reused=reused,
        kept=len(manifest.entries),
        dropped=[dropped for job in staged for dropped in job.dropped],
        seconds=sum(entry.num_frames for entry in manifest.entries) / MOTION_FPS,
        elapsed_s=elapsed_s,
        already_finished=already_finished,
    )


def _staged(staging: Staging, job: PrepareJob) -> StagedJob:
    staged = staging.finished(job.name)
    if staged is None:
        raise ShardError(
            f"job {job.name!r} ended without a staged result in {staging.folder}; run the same command again"
        )
    return staged


def _refuse_empty(staging: Staging, staged: list[StagedJob]) -> None:
    if any(job.keys for job in staged):
        return
    dropped = [d for job in staged for d in job.dropped]
    reasons = ", ".join(f"{count} x {reason}" for reason, count in Counter(d.reason for d in dropped).most_common())
    first = f"; first: {dropped[0].source}: {dropped[0].detail or dropped[0].reason}" if dropped else ""
    staging.remove()
    raise ShardError(
        f"no clip was kept out of {len(staged)} jobs ({reasons or 'no recordings found'}{first}); nothing was written"
    )


def _check_names(jobs: Sequence[PrepareJob]) -> None:
    if not jobs:
        raise ShardError("there is nothing to prepare: no recordings were found")
    repeated = [name for name, count in Counter(job.name for job in jobs).items() if count > 1]
    if repeated:
        raise ShardError(f"job name {repeated[0]!r} is used {len(repeated) + 1} times; names identify staged results")


def _names_hash(jobs: Sequence[PrepareJob]) -> str:
    return hashlib.sha256(json.dumps([job.name for job in jobs]).encode("utf-8")).hexdigest()
