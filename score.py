"""Score a run on held-out speakers, beside its controls.

    python score.py RUN [--split test] [--out FILE]

Prints lip vertex error in mm with 95 % bootstrap intervals over speakers for the model and its controls: the mean face of the style
reference (what the model may know), the speaker's mean face over all scored clips (more than any method may know), the model fed
time-shuffled speech, and a ridge regression from log-mel context fitted on the run's training clips. The table and every clip's
values go to RUN/scores-<split>.json. Clips are whole, the style reference is another clip of the person where there is one.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

METRIC = "lip_vertex_error_mm"
CONTROLS = ("reference_mean_face", "mean_face", "shuffled_speech", "ridge")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        score(options.run, options.split, options.checkpoint, options.data, options.out)
    except (ValueError, OSError) as error:
        print(f"score.py: {error}", file=sys.stderr)
        return 2
    return 0


def score(
    run_path: Path, split: str = "test", checkpoint: str = "best", data_root: str = "", out: Path | None = None
) -> dict[str, Any]:
    """Scores of one run; the returned dictionary is also written to `out` (default: in the run folder)."""
    import torch
    from omegaconf import OmegaConf

    from networks.controls import SpeakerMeanFace, predict, reference_mean_face, time_shuffled
    from networks.speech_front_end import speech_of
    from runtime.assemble import load_module
    from runtime.instantiate import build
    from runtime.run_folder import existing_run, write_atomically

    run = existing_run(run_path)
    data_config = run.config.data.copy()
    if data_config.root.startswith("pipe:") and not data_root:
        # A run folder may be somebody else's: no command is run because one stands in it.
        raise ValueError(
            f"the run was trained on data.root={data_config.root!r}, a shell command; to run it, give it again: --data {shlex.quote(data_config.root)}"
        )
    module, checkpoint_path = load_module(run, checkpoint)
    net = module.net
    if data_root:
        OmegaConf.set_readonly(data_config, False)
        data_config.root = data_root
    data: Any = build(data_config)
    face = build(run.config.face)
    mean_face, ridge = SpeakerMeanFace(), _fit_ridge(data)
    for batch in data.evaluation_dataloader(split):
        mean_face.observe(batch)
    predictors: dict[str, Callable[[Any], tuple[torch.Tensor, torch.Tensor]]] = {
        "model": lambda batch: predict(net, batch),
        "reference_mean_face": reference_mean_face,
        "mean_face": mean_face,
        "shuffled_speech": lambda batch: predict(
            net, batch, time_shuffled(speech_of(net.front_end, batch), batch.num_frames, batch.keys)
        ),
        "ridge": ridge,
    }
    clips = _score_clips(data.evaluation_dataloader(split), predictors, face)
    result = {
        "run": run.run_id,
        "checkpoint": checkpoint_path.name,
        "split": split,
        "metric": METRIC,
        "face": face.name,
        "synthetic": bool(data.synthetic),
        "averaging": "frames, then clips of a speaker, then speakers",
        "summary": _summarise(clips),
        "clips": clips,
    }
    write_atomically(out or run.path / f"scores-{split}.json", json.dumps(result, indent=1))
    _print_table(result)
    return result


def _fit_ridge(data: Any) -> Callable[[Any], Any]:
    from networks.ridge_regression import fit_ridge

    validation = data.evaluation_dataloader("val") if data.chosen["val"] else None
    return fit_ridge(data.evaluation_dataloader("train"), validation)


def _score_clips(batches: Any, predictors: dict[str, Any], face: Any) -> list[dict[str, Any]]:
    import torch
    from rich.progress import track

    from metrics.lip_vertex_error import lip_vertex_error_mm

    rows = []
    with torch.no_grad():
        for batch in track(list(batches), description="scoring", disable=not sys.stderr.isatty()):
            errors = {}
            for name, predictor in predictors.items():
                expression, jaw = predictor(batch)
                errors[name] = lip_vertex_error_mm(face, expression, jaw, batch.expression, batch.jaw, batch.mask)
            for row, key in enumerate(batch.keys):
                values = {name: float(error[row]) for name, error in errors.items()}
                facts = {"key": key, "speaker": batch.speakers[row], "frames": int(batch.num_frames[row])}
                rows.append({**facts, "reference": batch.metas[row]["reference_key"], **values})
    return sorted(rows, key=lambda clip: clip["key"])


def _summarise(clips: list[dict[str, Any]]) -> dict[str, Any]:
    from metrics.intervals import paired_reduction, speaker_bootstrap

    speakers = [clip["speaker"] for clip in clips]
    values = {name: [clip[name] for clip in clips] for name in ("model", *CONTROLS)}
    summary: dict[str, Any] = {name: speaker_bootstrap(v, speakers)._asdict() for name, v in values.items()}
    best = min(CONTROLS, key=lambda name: summary[name]["mean"])
    for name in CONTROLS:
        summary[name]["reduction_by_model"] = paired_reduction(values["model"], values[name], speakers)._asdict()
    summary["best_control"] = best
    summary["num_clips"] = len(clips)
    summary["own_reference"] = sum(clip["reference"] == clip["key"] for clip in clips)
    return summary


def _print_table(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    summary = result["summary"]
    kind = "SYNTHETIC speech: measures the implementation, not people" if result["synthetic"] else "recordings"
    table = Table(title=f"{result['run']} ({result['checkpoint']}), {result['split']} split, {kind}")
    for column in ("", "lip vertex error, mm", "95 % over speakers", "model is lower by", "95 % over speakers"):
        table.add_column(column, justify="left" if not column else "right")
    for name in ("model", *CONTROLS):
        row = summary[name]
        gain = row.get("reduction_by_model")
        gains = [f"{gain['mean']:.1%}", f"{gain['low']:.1%} to {gain['high']:.1%}"] if gain else ["", ""]
        table.add_row(name.replace("_", " "), f"{row['mean']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}", *gains)
    Console(width=110).print(table)
    print(
        f"{summary['num_clips']} clips, {summary['model']['speakers']} speakers; best control: {summary['best_control']}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="score.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the folder that train.py printed as `run:`")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--checkpoint", default="best", help="best (by validation), last, or a step number")
    parser.add_argument("--data", default="", help="corpus folder or address, if it is another one than in training")
    parser.add_argument("--out", type=Path, default=None, help="JSON file instead of RUN/scores-<split>.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
