"""`scores-<split>.json` and `.csv`: what score.py writes beside what it scored and compare.py reads."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from reports.errors import ReportError
from runtime.run_folder import write_atomically

FORMAT = "scores/3"
# What compare.py reads of the file, and of each of its clips.
READ = (
    *("run", "split", "metric", "face", "synthetic", "data", "source_hash", "metrics", "scores", "clips"),
    *(
        "data.corpus",
        "data.normalised_by",
        "scores.model",
        "metrics.*.unit",
        "metrics.*.average",
        "metrics.*.best",
        "metrics.*.per_clip",
    ),
    *(f"clips.*.{name}" for name in ("key", "speaker", "frames", "reference", "truth", "scores")),
)


def scores_file(folder: Path, split: str) -> Path:
    return folder / f"scores-{split}.json"


def write_scores(result: dict[str, Any], path: Path) -> None:
    """The result as JSON at `path` and its clips as a table beside it, `.csv`; NaN becomes null and an empty cell."""
    table, text = clip_table(result), json.dumps(plain(result), indent=1, allow_nan=False)
    write_atomically(path.with_suffix(".csv"), table)
    write_atomically(path, text + "\n")


def read_scores(folder: Path, split: str) -> dict[str, Any]:
    """What score.py wrote for a run or a folder of motions; null becomes NaN. Raises ReportError where there is none to use."""
    path = scores_file(folder, split)
    advice = f"score it first: python score.py {folder} --split {split}"
    try:
        result = json.loads(path.read_text())
    except FileNotFoundError:
        others = sorted(file.name for file in folder.glob("scores-*.json"))
        raise ReportError(
            f"{folder} has no {path.name} (it has {', '.join(others) or 'no scores'}); {advice}"
        ) from None
    except (OSError, ValueError) as error:
        raise ReportError(f"{path} cannot be read ({error}); {advice}") from error
    if not isinstance(result, dict) or result.get("format") != FORMAT:
        found = result.get("format", "none") if isinstance(result, dict) else "none"
        raise ReportError(f"{path} has format {found}, expected {FORMAT}; {advice}")
    absent = [name for name in READ if not _holds(result, name.split("."))]
    if absent or not result["clips"]:
        what = f"lacks {', '.join(absent)}" if absent else "holds no clips"
        raise ReportError(f"{path} {what}, written by another version of the code; {advice}")
    for row in result["clips"]:
        row["scores"] = {m: {k: math.nan if v is None else v for k, v in of.items()} for m, of in row["scores"].items()}
    return result


def _holds(value: Any, path: list[str]) -> bool:
    """Whether nested dictionaries and lists have something at `path`; `*` is every entry."""
    if not path:
        return True
    name, *rest = path
    if name == "*":
        entries = list(value.values()) if isinstance(value, dict) else value
        return isinstance(entries, list) and all(_holds(each, rest) for each in entries)
    return isinstance(value, dict) and name in value and _holds(value[name], rest)


def clip_table(result: dict[str, Any]) -> str:
    """One row a clip and method, one column a metric."""
    metrics = [name for name, info in result["metrics"].items() if info["per_clip"]]
    facts = ("key", "speaker", "frames", "reference")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*facts, "method", *metrics])
    for row in result["clips"]:
        for method, scores in row["scores"].items():
            values = [scores.get(name, math.nan) for name in metrics]
            writer.writerow(
                [*(row[fact] for fact in facts), method, *("" if math.isnan(v) else repr(v) for v in values)]
            )
    return text.getvalue()


def plain(value: Any) -> Any:
    """JSON can hold it: what is not finite becomes None, tuples become lists."""
    if isinstance(value, dict):
        return {name: plain(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [plain(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
