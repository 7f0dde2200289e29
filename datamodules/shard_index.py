"""Random access to the samples of a corpus folder by its manifest."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from corpora.clip import SPLITS
from datamodules.errors import SampleError, ShardError
from datamodules.manifest import Manifest, SampleEntry
from datamodules.sample import MOTION, Sample, decode_motion, decode_sample
from datamodules.shard_files import RemoteOptions, shard_files
from faces.motion import FaceMotion

TAR_BLOCK = 512
Content = TypeVar("Content")


class ShardIndex:
    """The samples of the folder or address `root`, numbered 0..N-1 in the order of the manifest.

    Loading a folder checks that every shard is there and has the manifest's size; `verify_checksums` reads every
    byte. Shards of an address (`https://`, `s3://`, `pipe:` and others, see `shard_source`) are fetched into a
    local cache as `remote` says, when they are read. Samples are read with `pread` on file handles that each
    process opens for itself, so an index may be forked or pickled into loader workers. Raises ShardError when
    there is no manifest, or when a shard is missing, has changed or cannot be fetched.

    `root` is the folder where the manifest lies (the cached copy of a remote one), `name` is for messages.
    """

    def __init__(self, root: str | os.PathLike[str], remote: RemoteOptions | None = None) -> None:
        self.files = shard_files(root, remote)
        self.root = self.files.folder
        self.name = self.files.name
        self.manifest = Manifest.load(self.root)
        self.entries: list[SampleEntry] = []
        self.shard_of: list[int] = []
        for number, shard in enumerate(self.manifest.shards):
            self.files.check(shard)
            self.entries.extend(shard.index)
            self.shard_of.extend([number] * len(shard.index))

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def fingerprint(self) -> str:
        """Hash of the data: the same for the same samples in the same shards."""
        return self.manifest.fingerprint

    def indices(self, split: str) -> list[int]:
        """Numbers of the samples of a split; raises ShardError when it is unknown or empty."""
        if split not in SPLITS:
            raise ShardError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
        chosen = [i for i, entry in enumerate(self.entries) if entry.split == split]
        if not chosen:
            sizes = {name: counts["clips"] for name, counts in self.manifest.counts.items()}
            raise ShardError(
                f"split {split} of {self.name} is empty (clips: {sizes}); hold out speakers by data.{split}_speakers"
            )
        return chosen

    def read(self, index: int) -> Sample:
        """Read and decode a sample; raises SampleError naming shard, key and member."""
        key, shard = self.entries[index].key, self.manifest.shards[self.shard_of[index]]
        return self._from_whole(index, lambda: decode_sample(key, self.read_members(index), shard.file))

    def read_motion(self, index: int) -> FaceMotion:
        """Only the motion of a sample."""
        entry = self.entries[index]
        shard = self.manifest.shards[self.shard_of[index]]
        if MOTION not in entry.members:
            raise SampleError(f"shard {shard.file}, sample {entry.key}: member {MOTION} is missing")
        return self._from_whole(index, lambda: decode_motion(entry.key, self._read_member(index, MOTION), shard.file))

    def read_members(self, index: int) -> dict[str, bytes]:
        """The raw bytes of a sample by extension, in one read; raises SampleError when the tar does not hold
        them where indexed.
        """
        entry = self.entries[index]
        start = min(offset for offset, _ in entry.members.values()) - TAR_BLOCK
        end = max(offset + size for offset, size in entry.members.values())
        data = self._pread(index, start, end - start)
        members = {}
        for extension, (offset, size) in entry.members.items():
            begin = offset - start
            self._check_header(index, extension, data[begin - TAR_BLOCK : begin])
            members[extension] = data[begin : begin + size]
        return members

    def verify_checksums(self) -> list[str]:
        """Read every shard; one sentence for each whose content is not what the manifest says."""
        problems = []
        for shard in self.manifest.shards:
            found = self.files.sha256(shard)
            if found != shard.sha256:
                problems.append(
                    f"shard {shard.file} has sha256 {found[:12]}..., the manifest says {shard.sha256[:12]}...: "
                    "its content changed after it was made; restore it or prepare the corpus again"
                )
        return problems

    def close(self) -> None:
        """Close this process' file handles; reading opens them again."""
        self.files.close()

    def _from_whole(self, index: int, read: Callable[[], Content]) -> Content:
        try:
            return read()
        except SampleError:
            # A cached copy may have been damaged since it was fetched; then the next read fetches it again.
            if not self.files.discard_if_damaged(self.manifest.shards[self.shard_of[index]]):
                raise
            return read()

    def _read_member(self, index: int, extension: str) -> bytes:
        offset, size = self.entries[index].members[extension]
        data = self._pread(index, offset - TAR_BLOCK, size + TAR_BLOCK)
        self._check_header(index, extension, data[:TAR_BLOCK])
        return data[TAR_BLOCK:]

    def _check_header(self, index: int, extension: str, header: bytes) -> None:
        # Foreign tars may hold folders or names longer than the field; then only the end of a whole name can be compared.
        key = self.entries[index].key
        name = header[:100].rstrip(b"\0")
        expected = f"{key}.{extension}".encode()
        if name != expected and len(name) < 100 and not name.endswith(b"/" + expected):
            shard = self.manifest.shards[self.shard_of[index]]
            raise SampleError(
                f"shard {shard.file}, sample {key}: {extension} is not where the index says (found {name[:60]!r} there); "
                "the shard was edited or exchanged; restore it or prepare the corpus again"
            )

    def _pread(self, index: int, offset: int, size: int) -> bytes:
        shard = self.manifest.shards[self.shard_of[index]]
        with self.files.opened(shard) as handle:
            data = os.pread(handle, size, offset)
        if len(data) != size:
            entry = self.entries[index]
            raise SampleError(
                f"shard {shard.file}, sample {entry.key}: {len(data)} of {size} bytes could be read "
                f"at offset {offset}; the shard was truncated; restore it or prepare the corpus again"
            )
        return data
