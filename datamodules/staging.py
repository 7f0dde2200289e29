"""What finished jobs leave until all are done: `OUT/.staging/<job>.tar` with the clips and `<job>.json`, its
commit record.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import re
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from corpora.clip import Dropped, PrepareJob
from datamodules.errors import ShardError
from datamodules.manifest import write_error, write_json
from datamodules.sample import encode_sample

STAGING_NAME = ".staging"
CORPUS_RECORD = "corpus.json"


@dataclass(frozen=True)
class StagedJob:
    """A finished job: the keys it kept, what it dropped, and how long it took in seconds."""

    name: str
    keys: list[str]
    dropped: list[Dropped]
    seconds: float


def run_and_stage(job: PrepareJob, staging: Path) -> StagedJob:
    """Run a job and keep its result in `staging`; whoever is killed in between leaves no record, so the job
    runs again.
    """
    begin = time.monotonic()
    result = job.run()
    stem = staged_stem(job.name)
    path = staging / f"{stem}.tar"
    temporary = path.with_name(path.name + ".tmp")
    try:
        with tarfile.open(temporary, "w") as archive:
            for clip in result.clips:
                for extension, data in encode_sample(clip).items():
                    member = tarfile.TarInfo(f"{clip.key}.{extension}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error
    keys = [clip.key for clip in result.clips]
    staged = StagedJob(job.name, keys, list(result.dropped), time.monotonic() - begin)
    write_json(staging / f"{stem}.json", asdict(staged))
    return staged


class Staging:
    """The folder `OUT/.staging` of one corpus, held by one process at a time."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out / STAGING_NAME

    def open(self, corpus: str, fingerprint: dict) -> None:
        """Create the folder, or continue in it; raises ShardError when it belongs to another corpus or other
        options.
        """
        record = {"corpus": corpus, "fingerprint": fingerprint}
        path = self.folder / CORPUS_RECORD
        if path.exists():
            check_same_corpus(self.out, record, json.loads(path.read_bytes()))
            return
        if self.out.exists() and any(entry.name != STAGING_NAME for entry in self.out.iterdir()):
            raise ShardError(
                f"{self.out} holds other files and is not a corpus begun by this command; choose an empty output folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(self.folder, error) from error
        write_json(path, record)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder; raises ShardError when another process prepares into it."""
        with (self.folder / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ShardError(
                    f"another process is preparing {self.out}; wait for it or choose another folder"
                ) from error
            yield

    def finished(self, name: str) -> StagedJob | None:
        """The record of a finished job, or None."""
        path = self.folder / f"{staged_stem(name)}.json"
        if not path.exists():
            return None
        values = json.loads(path.read_bytes())
        return StagedJob(
            name=values["name"],
            keys=values["keys"],
            dropped=[Dropped(**dropped) for dropped in values["dropped"]],
            seconds=values["seconds"],
        )

    def samples(self, staged: StagedJob) -> Iterator[tuple[str, dict[str, bytes]]]:
        """(key, members) of the clips that a finished job kept, in its order."""
        path = self.folder / f"{staged_stem(staged.name)}.tar"
        members: dict[str, dict[str, bytes]] = {key: {} for key in staged.keys}
        try:
            with tarfile.open(path, mode="r:") as archive:
                for member in archive:
                    key, _, extension = member.name.partition(".")
                    stream = archive.extractfile(member)
                    members[key][extension] = stream.read() if stream else b""
        except (tarfile.TarError, OSError, KeyError) as error:
            raise ShardError(
                f"staged clips of job {staged.name!r} are damaged ({error}); delete {path} and its .json, run again"
            ) from error
        yield from members.items()

    def remove(self) -> None:
        """Delete the folder, and `out` as well where nothing else is in it."""
        shutil.rmtree(self.folder, ignore_errors=False)
        if not any(self.out.iterdir()):
            self.out.rmdir()


def staged_stem(job_name: str) -> str:
    """File name for a job: readable, safe, and different for different names."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", job_name)[:60]
    return f"{readable}-{hashlib.sha256(job_name.encode('utf-8')).hexdigest()[:12]}"


def check_same_corpus(out: Path, wanted: dict, found: dict) -> None:
    """Raises ShardError showing what differs between the corpus asked for and the one in the folder."""
    before, now = (_flat(json.loads(json.dumps(record))) for record in (found, wanted))
    if before == now:
        return
    lines = [
        f"{name}: {before.get(name, '(absent)')!r} there, {now.get(name, '(absent)')!r} asked for"
        for name in sorted(before.keys() | now.keys())
        if before.get(name, _ABSENT) != now.get(name, _ABSENT)
    ]
    raise ShardError(
        f"{out} holds a corpus made otherwise ({'; '.join(lines)}); use the same options or another output folder"
    )


_ABSENT = object()


def _flat(record: dict) -> dict:
    return {"corpus": record.get("corpus"), **record.get("fingerprint", {})}
