"""Score runs, or motion files of any method, on held-out speakers, beside their controls.

    python score.py RUN [RUN ...] [--split test]
    python score.py runs/sweeps/<name>-<hash>           the finished trials of a sweep
    python score.py MOTIONS --like RUN                  motion files on the split, data and face of a run
    python score.py MOTIONS --data CORPUS --face ict    motion files on a corpus by its own split

MOTIONS is a folder with <key>.npz (FaceMotion.save or FLAME parameters), <key>.npy or <key>.csv (ARKit curves, as animate.py writes) for every clip
of the split. Prints the mean of each metric over speakers with 95 % bootstrap intervals, for the model and its controls: the mean face of the style reference
(what the model may know), the speaker's mean face over all scored clips (more than any method may), the model fed time-shuffled speech, a
ridge regression from log-mel context fitted on the training clips, and the truth against itself. Everything goes to scores-<split>.json and,
one row a clip and method, to scores-<split>.csv, in the scored folder. Clips are whole and scored one at a time; the style reference is
another clip of the person where there is one. docs/SCORING.md explains the numbers.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runtime.threads import spin_briefly

SHOWN_METHODS = ("model", "reference_mean_face", "mean_face", "shuffled_speech", "ridge", "truth")


def main(arguments: list[str] | None = None) -> int:
    spin_briefly()
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    if int(os.environ.get("RANK", "0")):
        return 0
    # Under a launcher of several ranks the first one scores, and sees every clip: datamodules share them out over WORLD_SIZE.
    if "WORLD_SIZE" in os.environ:
        os.environ["WORLD_SIZE"] = "1"
    try:
        if options.out is not None and len(options.scored) > 1:
            raise ValueError(f"--out is one file, received {len(options.scored)} folders to score; leave it out")
        ridges: dict[str, Any] = {}
        for folder in _with_trials(options.scored):
            score(
                folder,
                options.split,
                options.checkpoint,
                options.data,
                options.out,
                metrics=options.metrics,
                like=options.like,
                face_name=options.face,
                wandb=options.wandb,
                command=["score.py", *given],
                ridges=ridges,
                workers=options.workers,
            )
    except (ValueError, OSError) as error:
        print(f"score.py: {error}", file=sys.stderr)
        return 2
    return 0


def _with_trials(folders: list[Path]) -> list[Path]:
    """The folders, with the finished trials of a sweep in place of its own."""
    from reports.entrants import find_folders

    return [
        each
        for folder in folders
        for each in (find_folders([folder]) if (folder / "sweep.yaml").is_file() else [folder])
    ]


def score(
    folder: Path,
    split: str = "test",
    checkpoint: str = "best",
    data_root: str = "",
    out: Path | None = None,
    *,
    metrics: Sequence[str] | None = None,
    like: Path | None = None,
    face_name: str = "",
    wandb: str = "",
    command: Sequence[str] = (),
    ridges: dict[str, Any] | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Scores of one run or folder of motions; the returned dictionary is also written to `out` (default: in that folder).

    `ridges` remembers the fitted ridge regressions of a call before, for runs of the same data. The number of `workers` (threads) changes no digit.
    """
    from reports.face_hash import face_hash
    from reports.metric_choice import choose_metrics, headline_name, reads_normalised
    from reports.motion_files import is_motion_folder
    from reports.pose_scoring import is_pose_run, score_pose_run
    from reports.score_files import FORMAT, scores_file, write_scores
    from reports.score_summary import AVERAGING, headline, summarise
    from reports.score_table import print_table
    from reports.scoring import score_clips, without_value
    from reports.subjects import motions_subject, run_subject
    from runtime.code_version import source_hash

    is_run = not is_motion_folder(folder)
    if wandb and not is_run:
        raise ValueError(f"--wandb adds to a run's own record and {folder} is a folder of motion files; leave it out")
    if is_run and is_pose_run(folder):
        if metrics:
            raise ValueError(f"{folder} is a run of head motion, which has a fixed set of metrics; leave out --metrics")
        result = score_pose_run(folder, split, checkpoint, data_root, out, command)
        if wandb:
            _upload(folder, result, wandb)
        return result
    if is_run:
        subject = run_subject(folder, checkpoint, data_root, face_name)
    else:
        subject = motions_subject(folder, split, data_root, like, face_name)
    has_mesh = subject.face is not None
    chosen = choose_metrics(metrics, subject.gives_head, has_mesh)
    subject.data.indices(split)  # an empty split is told before anything is fitted
    normalise, statistics = _normaliser(subject.data)
    if normalise is None:
        chosen = [info for info in chosen if not reads_normalised(info)]
    methods = subject.methods | _controls(subject.data, split, {} if ridges is None else ridges)
    scored = score_clips(subject.data.evaluation_dataloader(split), methods, subject.face, chosen, normalise, workers)
    absent = without_value(scored, chosen)
    chosen = [info for info in chosen if info.name not in absent]
    scores = summarise(scored, chosen)
    result = {
        "format": FORMAT,
        "run": subject.name,
        **subject.facts,
        "split": split,
        "metric": headline_name(has_mesh),
        "face": subject.face.name if has_mesh else "no (coefficients only)",
        "face_sha256": face_hash(subject.face) if has_mesh else "",
        "synthetic": bool(subject.data.synthetic),
        "averaging": AVERAGING,
        "data": {
            "corpus": subject.data.index.manifest.corpus,
            "fingerprint": subject.data.index.fingerprint,
            "normalised_by": statistics,
        },
        "command": shlex.join(["python", *command]) if command else "",
        "source_hash": source_hash(),
        "metrics": {info.name: info.metadata | {"per_clip": info.per_clip} for info in chosen},
        "left_out": dict.fromkeys(absent, "no clip of the split has what it reads"),
        "summary": headline(scored, scores, headline_name(has_mesh)),
        "scores": scores,
        "clips": scored.clips,
    }
    write_scores(result, out or scores_file(folder, split))
    print_table(result, SHOWN_METHODS)
    if wandb:
        _upload(folder, result, wandb)
    return result


def _controls(data: Any, split: str, ridges: dict[str, Any]) -> dict[str, Callable[[Any], Any]]:
    from networks.controls import SpeakerMeanFace, reference_mean_face
    from networks.ridge_regression import fit_ridge
    from reports.scoring import Predicted

    mean_face = SpeakerMeanFace()
    for batch in data.evaluation_dataloader(split):
        mean_face.observe(batch)
    controls: dict[str, Any] = {"reference_mean_face": reference_mean_face, "mean_face": mean_face}
    if data.chosen["train"]:
        used = f"{data.fingerprint} {[data.index.entries[i].key for i in data.chosen['val']]}"
        if used not in ridges:
            validation = data.evaluation_dataloader("val") if data.chosen["val"] else None
            ridges[used] = fit_ridge(data.evaluation_dataloader("train"), validation)
        controls["ridge"] = ridges[used]

    def predictor(control: Any) -> Callable[[Any], Predicted]:
        return lambda batch: Predicted(*control(batch))

    return {name: predictor(control) for name, control in controls.items()}


def _normaliser(data: Any) -> tuple[Callable[[Any, Any], Any] | None, str]:
    """Raw expression and jaw to coefficients z-scored over the corpus' training clips, and the hash of those statistics."""
    import torch

    from networks.coefficient_space import CONSTANT_BELOW

    if not data.chosen["train"]:
        return None, ""
    mean, std = (torch.as_tensor(part, dtype=torch.float32) for part in data.statistics)
    inverse = torch.where(std < CONSTANT_BELOW, 0.0, 1 / std.clamp(min=CONSTANT_BELOW))
    digest = hashlib.sha256(mean.numpy().tobytes() + std.numpy().tobytes()).hexdigest()[:12]
    return lambda expression, jaw: (torch.cat([expression, jaw], -1) - mean) * inverse, digest


def _upload(folder: Path, result: dict[str, Any], mode: str) -> None:
    from runtime.run_folder import existing_run
    from runtime.wandb_scores import upload_scores

    of_model = result["scores"]["model"]
    row = {f"{result['split']}/{name}": found.get("mean", found["value"]) for name, found in of_model.items()}
    upload_scores(existing_run(folder), row, result["checkpoint_step"], mode)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="score.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "scored",
        type=Path,
        nargs="+",
        metavar="RUN_OR_MOTIONS",
        help="folders that train.py printed as `run:`, or of motions",
    )
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--checkpoint", default="best", help="best (by validation), last, or a step number")
    parser.add_argument("--data", default="", help="corpus folder or address, if it is another one than in training")
    parser.add_argument(
        "--like", type=Path, default=None, metavar="RUN", help="for motions: this run's split, data and face"
    )
    parser.add_argument(
        "--face", default="", choices=("procedural", "ict", "flame"), help="another face than the run's"
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        action="extend",
        default=None,
        metavar="NAME",
        help="of metrics/README.md, instead of the default set",
    )
    parser.add_argument("--out", type=Path, default=None, help="JSON file instead of RUN/scores-<split>.json")
    parser.add_argument(
        "--workers",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="threads that share the clips; no number depends on it",
    )
    parser.add_argument("--wandb", default="", choices=("online", "offline"), help="add the means to the run in W&B")
    return parser


if __name__ == "__main__":
    sys.exit(main())
