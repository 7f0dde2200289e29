"""Score runs, or motion files of any method, on held-out speakers, beside their controls.

    python score.py RUN [RUN ...] [--split test]
    python score.py runs/sweeps/<name>-<hash>           the finished trials of a sweep
    python score.py ADAPTED_RUN                         an adapted run on its person's other clips, beside its base
    python score.py MOTIONS --like RUN                  motion files on the split, data and face of a run
    python score.py MOTIONS --data CORPUS --face ict    motion files on a corpus by its own split

MOTIONS is a folder with <key>.npz (FaceMotion.save or FLAME parameters), <key>.npy or <key>.csv (ARKit curves, as animate.py writes) for every clip
of the split. Prints the mean of each metric over speakers, for the model with a 95 % bootstrap interval and the average that the metric's definition
says, and for its controls: the mean face of the style reference
(what the model may know), the speaker's mean face over all scored clips (more than any method may), the model fed time-shuffled speech, a
ridge regression from log-mel context fitted on the training clips, and the truth against itself. Everything goes to scores-<split>.json and,
one row a clip and method, to scores-<split>.csv, in the scored folder. Clips are whole and scored one at a time; the style reference is
another clip of the person where there is one. docs/SCORING.md explains the numbers.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.launch import rank_of_task
from runtime.threads import spin_briefly

SHOWN_METHODS = ("model", "base", "reference_mean_face", "mean_face", "shuffled_speech", "ridge", "truth")


def main(arguments: list[str] | None = None) -> int:
    spin_briefly()
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    rank = rank_of_task()
    if rank:
        if "RANK" not in os.environ:
            print(
                f"score.py: SLURM task {rank} of this step has nothing to do, task 0 scores; srun --ntasks=1 starts one",
                file=sys.stderr,
            )
        return 0
    # Under a launcher of several ranks the first one scores, and sees every clip: datamodules share them out over WORLD_SIZE.
    if "WORLD_SIZE" in os.environ:
        os.environ["WORLD_SIZE"] = "1"
    try:
        _score_all(options, given)
    except (ValueError, OSError) as error:
        print(f"score.py: {error}", file=sys.stderr)
        return 2
    return 0


def _score_all(options: argparse.Namespace, given: Sequence[str]) -> None:
    from reports.score_request import check_request

    folders = _with_trials(options.scored)
    check_request(
        folders,
        options.split,
        checkpoint=options.checkpoint,
        like=options.like,
        out=options.out,
        wandb=options.wandb,
        workers=options.workers,
        metrics=options.metrics,
        face_name=options.face,
    )
    ridges: dict[str, Any] = {}
    for folder in folders:
        score(
            folder,
            options.split,
            options.checkpoint or "best",
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
    from reports.motion_files import is_motion_folder
    from reports.pose_scoring import is_pose_run, score_pose_run
    from reports.score_faces import score_faces
    from reports.score_files import scores_file, write_scores
    from reports.score_request import check_pose_options
    from reports.score_table import print_table
    from reports.subjects import motions_subject, run_subject

    is_run = not is_motion_folder(folder)
    if is_run and is_pose_run(folder):
        check_pose_options(folder, metrics)
        result = score_pose_run(folder, split, checkpoint, data_root, out, command)
    else:
        if is_run:
            subject = run_subject(folder, checkpoint, data_root, face_name)
        else:
            subject = motions_subject(folder, split, data_root, like, face_name)
        result = score_faces(subject, split, metrics, {} if ridges is None else ridges, workers, command)
        write_scores(result, out or scores_file(folder, split))
        print_table(result, SHOWN_METHODS)
    if wandb:
        _upload(folder, result, data_root, wandb)
    return result


def _upload(folder: Path, result: dict[str, Any], data_root: str, mode: str) -> None:
    from reports.score_upload import upload_prefix, uploaded
    from runtime.run_folder import existing_run
    from runtime.wandb_scores import upload_scores

    run = existing_run(folder)
    row, meanings = uploaded(result, upload_prefix(run, result, data_root))
    upload_scores(run, row, meanings, result["checkpoint_step"], mode)


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
    parser.add_argument(
        "--checkpoint", default=None, help="of runs: best (the default, by validation), last, or a step number"
    )
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
    parser.add_argument("--wandb", default="", choices=("online", "offline"), help="add the numbers to the run in W&B")
    return parser


if __name__ == "__main__":
    sys.exit(main())
