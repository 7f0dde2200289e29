"""Samples a second of the training loader over a remote corpus, beside the same corpus in a local folder.

    python -m benchmarks.remote_shards

A corpus of noise in shards of 8 MB is served over loopback HTTP by a process of its own.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.shard_reading import GLOBAL_BATCH, _rate, write_noise_corpus
from datamodules.speech_face import SpeechFaceDataModule


def rows(repeats: int = 5) -> list[dict]:
    """Measurements as `{"name", "value", "unit"}`, the best of `repeats` taken in turns (other work only slows)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus = write_noise_corpus(folder / "corpus")
        found: dict[str, list[float]] = {"local folder": [], "http, warm cache": [], "http, cold cache": []}
        with served(corpus) as address:
            local = _epoch(str(corpus))
            warm = _epoch(address, shard_cache=str(folder / "warm"))
            warm()
            for repeat in range(repeats):
                cold = _epoch(address, shard_cache=str(folder / f"cold-{repeat}"))
                for way, epoch in zip(found, (local, warm, cold), strict=True):
                    found[way].append(_rate(epoch))
    best = {way: max(rates) for way, rates in found.items()}
    measured = [
        {"name": f"training loader: {way}", "value": round(rate, 1), "unit": "samples/s"} for way, rate in best.items()
    ]
    ratio = best["http, warm cache"] / best["local folder"]
    return [*measured, {"name": "training loader: warm cache / local folder", "value": round(ratio, 3), "unit": "x"}]


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which `folder` can be fetched inside the block."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            port = re.search(r"port (\d+)", server.stdout.readline())
            assert port is not None, "the server did not say its port"
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            server.kill()


def _epoch(root: str, **options: Any) -> Callable[[], int]:
    datamodule = SpeechFaceDataModule(root=root, global_batch=GLOBAL_BATCH, **options)
    return lambda: sum(len(batch) for batch in datamodule.train_dataloader())


def main() -> None:
    for row in rows():
        print(f"{row['name']:<50} {row['value']:>10.4g} {row['unit']}")


if __name__ == "__main__":
    main()
