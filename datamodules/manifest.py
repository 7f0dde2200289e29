"""`manifest.json`: what lies in a folder of shards. It is written last, so a folder with a manifest is
complete.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from corpora.clip import SPLITS
from datamodules.errors import ShardError
from datamodules.motion_statistics import MotionStatistics
from speech.audio import MOTION_FPS, SAMPLE_RATE

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class SampleEntry:
    """Where a sample lies in its shard and what can be asked of it without reading: `members[extension] =
    (offset, size)` in bytes.
    """

    key: str
    split: str
    speaker: str
    source: str
    emotion: str
    intensity: int
    num_frames: int
    members: dict[str, tuple[int, int]]
    adaptation_split: str = ""

    @classmethod
    def from_dict(cls, values: dict) -> SampleEntry:
        members = {extension: (int(offset), int(size)) for extension, (offset, size) in values["members"].items()}
        return cls(**{**values, "members": members})


@dataclass(frozen=True)
class ShardEntry:
    """One tar file; `split` is `mixed` only for foreign shards that hold several."""

    file: str
    split: str
    samples: int
    bytes: int
    sha256: str
    index: list[SampleEntry]

    @classmethod
    def from_dict(cls, values: dict) -> ShardEntry:
        return cls(**{**values, "index": [SampleEntry.from_dict(entry) for entry in values["index"]]})


@dataclass(frozen=True, eq=False)
class Manifest:
    """The content of `manifest.json`. `statistics` are of the training split; None when it is empty."""

    corpus: str
    space: str
    identity_size: int
    identity_space: str
    synthetic: bool
    shards: list[ShardEntry]
    statistics: MotionStatistics | None
    made_by: dict = field(default_factory=dict)
    extra: dict = field(default_factory=dict)

    @property
    def entries(self) -> list[SampleEntry]:
        return [entry for shard in self.shards for entry in shard.index]

    @property
    def speakers_by_split(self) -> dict[str, list[str]]:
        entries = self.entries
        return {split: sorted({e.speaker for e in entries if e.split == split}) for split in SPLITS}

    @property
    def counts(self) -> dict[str, dict]:
        """Clips, speakers and hours, for each split and in total."""
        entries = self.entries
        chosen = {split: [e for e in entries if e.split == split] for split in SPLITS} | {"total": entries}
        return {
            name: {
                "clips": len(some),
                "speakers": len({e.speaker for e in some}),
                "hours": sum(e.num_frames for e in some) / MOTION_FPS / 3600,
            }
            for name, some in chosen.items()
        }

    @property
    def fingerprint(self) -> str:
        """Hash of the samples and their order: changes with any byte of any shard, not with who made them or
        when.
        """
        identity = [FORMAT_VERSION, [[shard.file, shard.split, shard.sha256] for shard in self.shards]]
        return hashlib.sha256(json.dumps(identity).encode("utf-8")).hexdigest()

    def to_dict(self) -> dict:
        return {
            "format_version": FORMAT_VERSION,
            "corpus": self.corpus,
            "space": self.space,
            "fps": MOTION_FPS,
            "sample_rate": SAMPLE_RATE,
            "synthetic": self.synthetic,
            "identity": {"size": self.identity_size, "space": self.identity_space},
            "counts": self.counts,
            "splits": self.speakers_by_split,
            "statistics": None if self.statistics is None else self.statistics.to_dict(),
            "made_by": self.made_by,
            "extra": self.extra,
            "shards": [asdict(shard) for shard in self.shards],
        }

    @classmethod
    def from_dict(cls, values: dict) -> Manifest:
        statistics = values["statistics"]
        return cls(
            corpus=values["corpus"],
            space=values["space"],
            identity_size=values["identity"]["size"],
            identity_space=values["identity"]["space"],
            synthetic=values["synthetic"],
            shards=[ShardEntry.from_dict(shard) for shard in values["shards"]],
            statistics=None if statistics is None else MotionStatistics.from_dict(statistics),
            made_by=values["made_by"],
            extra=values["extra"],
        )

    def save(self, root: Path) -> Path:
        return write_json(root / MANIFEST_NAME, self.to_dict())

    @classmethod
    def load(cls, root: Path) -> Manifest:
        """Raises ShardError when the folder has no manifest, an unreadable one, or one of another version."""
        path = root / MANIFEST_NAME
        if not path.is_file():
            raise ShardError(
                f"{root} has no {MANIFEST_NAME}, so it is not a finished corpus; make one with `python prepare.py ... --out {root}` "
                "(the same command continues an interrupted one), or index shards of another maker with build_manifest()"
            )
        try:
            values = json.loads(path.read_bytes())
            version = values["format_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise ShardError(f"{path} is damaged ({error}); prepare the corpus again") from error
        if version != FORMAT_VERSION:
            raise ShardError(
                f"{path} has format version {version!r}, this code reads {FORMAT_VERSION}; prepare the corpus again"
            )
        try:
            return cls.from_dict(values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ShardError(
                f"{path} is damaged ({type(error).__name__}: {error}); prepare the corpus again"
            ) from error


def write_json(path: Path, values: dict) -> Path:
    """Write beside and rename, so that the file is either absent, old or whole; raises ShardError when the
    disk does not take it.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(values, file, ensure_ascii=False, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(path, error) from error
    return path


def write_error(path: Path, error: OSError) -> ShardError:
    """The sentence for a file that could not be written, the full disk above all."""
    return ShardError(
        f"cannot write {path}: {error.strerror or error}; free space there or choose another output folder, then run again"
    )
