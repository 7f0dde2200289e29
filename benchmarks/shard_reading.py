"""Samples a second of reading shards by the epoch plan, beside a plain sequential read of the same tars.

    python -m benchmarks.shard_reading [FOLDER]

Without FOLDER a corpus of noise is written to a temporary folder: reading does not depend on what is said.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import webdataset

from corpora.clip import ClipMeta, SpeechClip
from datamodules.sample import decode_sample
from datamodules.shard_index import ShardIndex
from datamodules.shard_writer import ShardWriter
from datamodules.speech_face import SpeechFaceDataModule
from faces.motion import FaceMotion
from speech.audio import SAMPLES_PER_FRAME

CLIPS = 400
FRAMES = 100
GLOBAL_BATCH = 16


def write_noise_corpus(out: Path, clips: int = CLIPS, frames: int = FRAMES) -> Path:
    """A corpus of `clips` clips of `frames` frames in shards of about 8 MB."""
    rng = np.random.default_rng(0)
    with ShardWriter(out, corpus="benchmark", max_shard_mb=8) as writer:
        for number in range(clips):
            motion = FaceMotion(expression=rng.random((frames, 52)), head=rng.normal(0, 0.1, (frames, 3)))
            audio = rng.normal(0, 0.1, SAMPLES_PER_FRAME * frames).clip(-1, 1).astype(np.float32)
            meta = ClipMeta(speaker=f"speaker{number % 10}", source="noise", corpus="benchmark", synthetic=True)
            writer.add(SpeechClip(f"clip{number:05d}", audio, motion, meta))
        writer.finish()
    return out


def rows(root: Path | None = None, repeats: int = 3) -> list[dict]:
    """Measurements as `{"name", "value", "unit"}`, the best of `repeats` (other work on the machine only slows)."""
    if root is not None:
        return _measure(root, repeats)
    with tempfile.TemporaryDirectory() as folder:
        return _measure(write_noise_corpus(Path(folder) / "corpus"), repeats)


def _measure(root: Path, repeats: int) -> list[dict]:
    index = ShardIndex(root)
    tars = [root / shard.file for shard in index.manifest.shards if shard.split == "train"]
    order = _plan_order(root)
    ways: dict[str, Callable[[], int]] = {
        "tarfile, sequential, raw bytes": lambda: _by_tarfile(tars, decode=False),
        "tarfile, sequential, decoded": lambda: _by_tarfile(tars, decode=True),
        "webdataset, sequential, raw bytes": lambda: _by_webdataset(tars),
        "epoch plan, raw bytes": lambda: sum(len(index.read_members(i)) > 0 for i in order),
        "epoch plan, decoded": lambda: sum(len(index.read(i).clip.key) > 0 for i in order),
        "training loader, batches": _loader_pass(root),
        "training loader, no augmentation": _loader_pass(root, augment=False),
        "training loader, from memory": _loader_pass(root, cache_mb=4096),
    }
    found = []
    for name, read in ways.items():
        read()
        rate = max(_rate(read) for _ in range(repeats))
        found.append({"name": f"shard reading: {name}", "value": round(rate, 1), "unit": "samples/s"})
    return found


def _rate(read: Callable[[], int]) -> float:
    begin = time.perf_counter()
    return read() / (time.perf_counter() - begin)


def _plan_order(root: Path) -> list[int]:
    datamodule = SpeechFaceDataModule(root=str(root), global_batch=1)
    chosen = datamodule.indices("train")
    return [chosen[place] for place in datamodule.plan.order(0)]


def _by_tarfile(tars: list[Path], decode: bool) -> int:
    samples: dict[str, dict[str, bytes]] = {}
    for path in tars:
        with tarfile.open(path) as archive:
            for member in archive:
                key, _, extension = member.name.partition(".")
                stream = archive.extractfile(member)
                samples.setdefault(key, {})[extension] = stream.read() if stream else b""
    if decode:
        for key, members in samples.items():
            decode_sample(key, members)
    return len(samples)


def _by_webdataset(tars: list[Path]) -> int:
    dataset = webdataset.WebDataset([str(path) for path in tars], shardshuffle=False, empty_check=False)
    return sum(1 for _ in dataset)


def _loader_pass(root: Path, **options: Any) -> Callable[[], int]:
    datamodule = SpeechFaceDataModule(root=str(root), global_batch=GLOBAL_BATCH, **options)
    return lambda: sum(len(batch) for batch in datamodule.train_dataloader())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="a prepared corpus; default: noise in a temporary folder")
    for row in rows(parser.parse_args().folder):
        print(f"{row['name']:<50} {row['value']:>10.1f} {row['unit']}")


if __name__ == "__main__":
    main()
