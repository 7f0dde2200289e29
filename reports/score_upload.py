"""What W&B is told of a run's scores: a row of numbers, and what each of them means."""

from __future__ import annotations

import math
from typing import Any

from reports.score_summary import MODEL
from reports.subjects import data_like
from runtime.run_folder import RunFolder

Row = dict[str, float]
Meanings = dict[str, dict[str, str]]


def uploaded(result: dict[str, Any], prefix: str) -> tuple[Row, Meanings]:
    """The model's numbers under `prefix` (`test`), and their meanings.

    `<prefix>/<metric>` is the average that the metric's definition says, as `val/<metric>` is; `..._over_speakers` the mean over a speaker's clips, then over
    speakers, and `..._over_speakers_low` and `..._high` its 95 % interval where there is one.
    """
    row: Row = {}
    meanings: Meanings = {}
    for name, found in result["scores"][MODEL].items():
        meaning = _meaning(result, name)
        row[f"{prefix}/{name}"], meanings[f"{prefix}/{name}"] = found["value"], meaning
        if "mean" not in found:
            continue
        over = f"{prefix}/{name}_over_speakers"
        average = f"clips of a speaker, then speakers ({found['speakers']})"
        row[over], meanings[over] = found["mean"], meaning | {"average": average}
        if math.isfinite(found["low"]):
            for end in ("low", "high"):
                row[f"{over}_{end}"] = found[end]
                meanings[f"{over}_{end}"] = meaning | {"average": f"{end} end of the 95 % interval over speakers"}
    return row, meanings


def upload_prefix(run: RunFolder, result: dict[str, Any], data_root: str = "") -> str:
    """The split, and the corpus too where it is not the one that the run was trained on; two of one name are told apart by the fingerprint."""
    split, corpus = result["split"], result["data"]["corpus"]
    if corpus != run.data.get("corpus", corpus):
        return f"{split}/{corpus}"
    known = run.data.get("fingerprint")
    # Only `--data` can name another corpus, and it may name the same one in another place.
    if data_root and known and known != getattr(data_like(run, data_root), "fingerprint", known):
        return f"{split}/{corpus}-{result['data']['fingerprint'][:8]}"
    return split


def _meaning(result: dict[str, Any], name: str) -> dict[str, str]:
    told = {key: result["metrics"][name][key] for key in ("unit", "vertices", "average", "best", "source")}
    return (
        {"metric": name, "of": MODEL}
        | told
        | {
            "face": result["face"],
            "corpus": result["data"]["corpus"],
            "fingerprint": result["data"]["fingerprint"][:12],
            "clips": str(len(result["clips"])),
            "checkpoint": result["checkpoint"],
        }
    )
