"""Adapt trained models to one person from some seconds of video, and write a persona.

    python adapt.py REFERENCE --expression RUN --pose RUN --out PERSONA [--seconds 10] [--adapter molora] [key=value ...]

REFERENCE is a video of one talking face, which is tracked, or a prepared clip FOLDER#KEY, or FOLDER#SPEAKER, whose clips are taken in order.
--pose chooses the style of head motion by which PoseGPT speaks as the person moves: that of the known person whose head is held and moves most
alike, without any training (--pose-style names other ways). Alone it also takes a motion .npz and people who do not speak.
--expression trains a small change. The last fifth of the seconds is held out: training stops when the error there gets no better, and the best step is kept, possibly the
base itself. The weights of RUN never change. The training is a run like any other (`train.py molora_adaptation`): the same command again goes on
where it was interrupted; the persona appears when it has finished, whole or not at all.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.compose import EXPERIMENTS, compose
from runtime.exit_codes import BAD_INPUT, INTERRUPTED
from runtime.threads import spin_briefly

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from personas.pose_half import PoseHalf

EXPERIMENT = "molora_adaptation"
POSE_STYLES = ("retrieved", "mixed", "tuned", "predicted", "predicted_from_s", "unknown", "random")
POSE_DISTANCES = ("statistics", "shrunk", "shared")
SAMPLINGS = ("greedy", "nucleus", "sampled")
# Options of one half alone; the parser knows no defaults, so that an option without its half is seen.
OPTIONS_OF = {
    "expression": {"adapter": "molora", "checkpoint": "best", "fresh": False},
    "pose": {
        "pose_style": "retrieved",
        "pose_distance": "statistics",
        "pose_checkpoint": "best",
        "sampling": "nucleus",
        "seed": 0,
    },
}
NAMES = {
    "without_style": "base, nobody's style",
    "before": "base",
    "after": "adapted",
    "reference_mean_face": "reference's mean face",
}
PARTS = {"held_out_tail": "held-out tail (chose the step)", "other_clips": "the rest of the person"}


def main(arguments: list[str] | None = None) -> int:
    spin_briefly()
    options = _parser().parse_intermixed_args(arguments)
    try:
        return adapt(options, sys.argv if arguments is None else ["adapt.py", *arguments])
    except (ValueError, OSError) as error:
        print(f"adapt.py: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("adapt.py: interrupted; the same command goes on", file=sys.stderr)
        return INTERRUPTED


def adapt(options: argparse.Namespace, command: list[str]) -> int:
    """Choose the pose style, train or go on, write the persona, print what was found; returns the exit code of the training."""
    if options.expression is None and options.pose is None:
        raise ValueError("nothing to adapt: give --expression RUN, --pose RUN or both")
    if options.expression is None and options.overrides:
        raise ValueError(f"{options.overrides[0]} is of the training; without --expression RUN nothing is trained")
    _settle_options(options)
    from networks.persona import require_free
    from personas.making import check_adapter, write_persona, write_pose_persona
    from runtime.assemble import check_adaptation

    config = None if options.expression is None else _configuration(options)
    require_free(options.out)
    if config is not None:
        check_adaptation(config)
        check_adapter(config)
    pose = None if options.pose is None else _choose_pose(options, config)
    if config is None:
        assert pose is not None
        write_pose_persona(options.out, pose, shlex.join(command))
    else:
        from runtime.training import train

        exit_code, run = train(config, fresh=options.fresh)
        if exit_code != 0:
            return exit_code
        _print_table(write_persona(options.out, run, shlex.join(command), pose))
    if pose is not None:
        _print_pose(pose.record)
    print(f"persona: {options.out}")
    return 0


def _settle_options(options: argparse.Namespace) -> None:
    """Fill in the defaults; raises ValueError for an option of a half that is not adapted, which would change nothing."""
    for half, defaults in OPTIONS_OF.items():
        given = [name for name in defaults if getattr(options, name) is not None]
        if given and getattr(options, half) is None:
            raise ValueError(
                f"--{given[0].replace('_', '-')} would change nothing without --{half} RUN; give both or neither"
            )
        for name in defaults.keys() - given:
            setattr(options, name, defaults[name])


def _configuration(options: argparse.Namespace) -> DictConfig:
    """The experiment, with the face of the base's run; raises ConfigError or RunError."""
    from datamodules.style_clip import split_reference
    from runtime.assemble import expression_base

    base = expression_base(options.expression)
    root, person = split_reference(options.reference)
    face = base.config.face
    values = {
        "base.run": str(options.expression.resolve()),
        "base.checkpoint": options.checkpoint,
        "data.root": root,
        "data.person": person,
        "data.seconds": options.seconds,
        "face.path": face.path,
    }
    if options.tracker_model:
        values["data.tracker_model"] = options.tracker_model
    overrides = [f"adapter={options.adapter}", f"face={face.name}"]
    overrides += [f"{key}={value if isinstance(value, float) else _quoted(value)}" for key, value in values.items()]
    return compose(EXPERIMENT, [*overrides, *options.overrides])


def _quoted(value: str) -> str:
    """Paths and names as one word of an override. Raises ValueError for what a configuration file would read as a reference to another key."""
    if "${" in value:
        raise ValueError(f"{value!r} holds '${{', which a run's configuration cannot; give a path or name without it")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _choose_pose(options: argparse.Namespace, config: DictConfig | None) -> PoseHalf:
    """The style of head motion for the reference; raises ValueError where it is silent and the face is to be adapted to it."""
    from datamodules.person_reference import read_person
    from datamodules.style_clip import split_reference
    from personas.pose_half import choose_pose_half, is_silent, load_pose_gpt

    # A run of another kind is told before a video is tracked.
    trained = load_pose_gpt(options.pose, options.pose_checkpoint)
    if config is None:
        root, person = split_reference(options.reference)
        wanted = {"root": root, "person": person, "seconds": options.seconds, "tracker_model": options.tracker_model}
    else:  # the seconds that the face is adapted to, whatever was overridden
        wanted = {name: config.data[name] for name in ("root", "person", "seconds", "tracker_model", "emotion")}
    reference = read_person(**wanted, silent=True)
    if options.expression is not None and is_silent(reference):
        raise ValueError(
            f"{options.reference} is silent: the face is adapted to speech; give a recording with the person's voice, or leave out --expression"
        )
    how = (options.pose_style, options.pose_distance, options.sampling, options.seed)
    return choose_pose_half(trained, reference, *how)


def _print_pose(record: dict[str, Any]) -> None:
    nearest = record["nearest"]
    if record["silent"]:
        print("the reference is silent: its pose style was chosen by the statistics of its head motion alone")
    known = record["between_known"]
    beside = "" if known is None else f" (known people to their nearest: {known:.2f})"
    print(
        f"pose style: {record['method']}; of {record['known_styles']} known people {nearest['name']} is nearest at "
        f"{nearest['distance']:.2f} by {record['distance']}{beside}"
    )


def _print_table(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    reference = record["reference"]
    kind = "SYNTHETIC speech" if reference["synthetic"] else "recording"
    method = record["adapter"].get("method", "none")
    title = f"{reference['person']}: {reference['seconds']:.1f} s ({kind}), {method}, best step {record['best_step']} of {record['last_step']}"
    table = Table(title=title)
    for column in ("", "lip vertex error, mm", "upper face, mm", "loss"):
        table.add_column(column, justify="right" if column else "left")
    for part, scores in record["scores"].items():
        table.add_row(f"[bold]{PARTS[part]}, {scores['frames'] / 25:.1f} s", "", "", "")
        for name, label in NAMES.items():
            row = scores.get(name)
            if row is None:  # a run from before this one was scored
                continue
            loss = f"{row['loss']:.3f}" if "loss" in row else ""
            table.add_row(
                f"  {label}", f"{row['lip_vertex_error_mm']:.3f}", f"{row['upper_face_vertex_error_mm']:.3f}", loss
            )
        table.add_section()
    Console(width=100).print(table)


def _parser() -> argparse.ArgumentParser:
    methods = ", ".join(sorted(file.stem for file in (EXPERIMENTS / "adapter").glob("*.yaml")))
    parser = argparse.ArgumentParser(
        prog="adapt.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  python adapt.py ada.mp4 --expression runs/real_video-1983457b --out people/ada\n"
        "  python adapt.py ada.mp4 --expression RUN --pose runs/pose_gpt-11464f80 --out people/ada\n"
        "  python adapt.py data/synthetic#synthetic-224 --expression RUN --out people/p224 --seconds 20 adapter.spec.ranks=[2,4]\n"
        "  python animate.py speech.wav --persona people/ada --out ada.mp4",
    )
    parser.add_argument("reference", help="video file, or FOLDER#KEY or FOLDER#SPEAKER of a prepared corpus")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=f"of the experiment {EXPERIMENT}")
    parser.add_argument("--expression", type=Path, metavar="RUN", help="run folder of the base whose face is adapted")
    parser.add_argument("--pose", type=Path, metavar="RUN", help="run folder of a PoseGPT, for the head's motion")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="PERSONA", help="folder to write; an older persona there is replaced"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of the recording, from its beginning (default 10, at least 2)"
    )
    parser.add_argument("--adapter", help=f"method (default molora): {methods}")
    parser.add_argument("--checkpoint", help="of the base: best (by validation; the default), last, or a step number")
    parser.add_argument(
        "--pose-style", choices=POSE_STYLES, help="how the style of head motion is chosen (default retrieved)"
    )
    parser.add_argument(
        "--pose-distance",
        choices=POSE_DISTANCES,
        help="by which the nearest known person is found (default statistics)",
    )
    parser.add_argument("--pose-checkpoint", metavar="WHICH", help="of the PoseGPT, as --checkpoint")
    parser.add_argument(
        "--sampling",
        choices=SAMPLINGS,
        help="of pose codes, the persona's own: from the likeliest nine tenths (nucleus, default), from all (sampled), the likeliest (greedy)",
    )
    parser.add_argument("--seed", type=int, help="of --pose-style random, default 0 (the training's is run.seed)")
    parser.add_argument(
        "--fresh",
        action="store_true",
        default=None,
        help="move an existing run of this adaptation aside and train again",
    )
    parser.add_argument("--tracker-model", default=None, help="MediaPipe face_landmarker.task, for a video")
    return parser


if __name__ == "__main__":
    sys.exit(main())
