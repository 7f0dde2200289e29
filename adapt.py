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
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.compose import EXPERIMENTS, compose

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor

    from datamodules.person_reference import PersonReference
    from networks.pose_adapter import PoseAdapter
    from runtime.run_folder import RunFolder

EXPERIMENT = "molora_adaptation"
POSE_STYLES = ("retrieved", "mixed", "tuned", "predicted", "unknown", "random")
POSE_DISTANCES = ("statistics", "shrunk", "shared")
SAMPLINGS = ("greedy", "nucleus", "sampled")
NAMES = {"before": "base", "after": "adapted", "reference_mean_face": "reference's mean face"}
PARTS = {"held_out_tail": "held-out tail (chose the step)", "other_clips": "other clips of the person"}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_intermixed_args(arguments)
    try:
        return adapt(options, sys.argv if arguments is None else ["adapt.py", *arguments])
    except (ValueError, OSError) as error:
        print(f"adapt.py: {error}", file=sys.stderr)
        return 2


def adapt(options: argparse.Namespace, command: list[str]) -> int:
    """Choose the pose style, train or go on, write the persona, print what was found; returns the exit code of the training."""
    if options.expression is None and options.pose is None:
        raise ValueError("nothing to adapt: give --expression RUN, --pose RUN or both")
    if options.expression is None and options.overrides:
        raise ValueError(f"{options.overrides[0]} is of the training; without --expression RUN nothing is trained")
    from networks.persona import require_free

    config = None if options.expression is None else _configuration(options)
    require_free(options.out)
    if config is not None:
        _check_adapter(config)
    pose = None if options.pose is None else _choose_pose(options)
    if config is None:
        assert pose is not None
        _write_pose_persona(options.out, pose, shlex.join(command))
    else:
        from runtime.training import train

        exit_code, run = train(config)
        if exit_code != 0:
            return exit_code
        _print_table(_write_persona(options.out, run, shlex.join(command), pose))
    if pose is not None:
        _print_pose(pose.record)
    print(f"persona: {options.out}")
    return 0


def _configuration(options: argparse.Namespace) -> DictConfig:
    """The experiment, with the face of the base's run; raises ConfigError or RunError."""
    from runtime.run_folder import existing_run

    base = existing_run(options.expression)
    root, person = _reference(options)
    face = base.config.face
    values = {
        "base.run": str(options.expression),
        "base.checkpoint": options.checkpoint,
        "data.root": root,
        "data.person": person,
        "data.seconds": options.seconds,
        "face.path": face.path,
        "logger.group": person or Path(root).stem,
    }
    if options.tracker_model:
        values["data.tracker_model"] = options.tracker_model
    overrides = [f"adapter={options.adapter}", f"face={face.name}"]
    overrides += [f"{key}={value if isinstance(value, float) else _quoted(value)}" for key, value in values.items()]
    return compose(EXPERIMENT, [*overrides, *options.overrides])


def _quoted(value: str) -> str:
    """Paths and names as one word of an override, whatever they hold."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _check_adapter(config: DictConfig) -> None:
    """Attach the change once on trial: what does not fit is told before a run folder is made or a video tracked."""
    from networks.weight_adapters import attach
    from runtime.assemble import load_module
    from runtime.instantiate import build
    from runtime.run_folder import existing_run

    net = load_module(existing_run(config.base.run), str(config.base.checkpoint))[0].net
    if config.adapter.spec:
        attach(net, build(config.adapter.spec)(net), "trial")


class _Pose(NamedTuple):
    """The pose half of a persona: PoseGPT, the style chosen for the person, what is recorded of it, and the reference."""

    net: PoseAdapter
    style: Tensor
    record: dict[str, Any]
    reference: PersonReference


def _choose_pose(options: argparse.Namespace) -> _Pose:
    """The style of head motion for the reference, from the bank beside the run, which the first call builds."""
    from datamodules.adaptation import WholePieces
    from datamodules.collate import collate
    from datamodules.person_reference import read_person
    from networks.pose_style_choice import choose_style
    from networks.pose_style_files import open_pose_styles, require_pose_adapter, style_clips
    from runtime.assemble import load_module
    from runtime.instantiate import build
    from runtime.run_folder import existing_run
    from speech.audio import SILENCE_DBFS

    run = existing_run(options.pose)
    net = require_pose_adapter(load_module(run, options.pose_checkpoint)[0].net, str(run.path))
    root, person = _reference(options)
    reference = read_person(root, person, options.seconds, options.tracker_model, silent=True)
    silent = reference.level_dbfs < SILENCE_DBFS
    if silent and options.expression is not None:
        raise ValueError(
            f"{options.reference} is silent: the face is adapted to speech; give a recording with the person's voice, or leave out --expression"
        )
    bank, units = open_pose_styles(run.path / "pose_styles", net, lambda: build(run.config.data))
    pieces = WholePieces(reference.pieces, reference.motion)
    batch = collate([pieces[i] for i in range(len(pieces))])
    clips = style_clips(batch, net.style_by, None if silent else units)
    known = None if any(clip.units is None for clip in clips) else units.fingerprint
    chosen = choose_style(options.pose_style, net, bank, clips, known, options.seed, options.pose_distance)
    record = {
        "run": str(run.path.resolve()),
        "run_id": run.run_id,
        "checkpoint": options.pose_checkpoint,
        "vqvae": net.vqvae.fingerprint(),
        "units": units.fingerprint,
        "method": chosen.method,
        "distance": options.pose_distance if chosen.nearest.from_speech else "statistics",
        "nearest": {"name": chosen.nearest.source, "distance": round(chosen.nearest.distance, 4)},
        "between_known": round(bank.typical_distance(), 4),
        "known_styles": len(bank),
        "silent": silent,
        "seconds": reference.num_frames / 25,
        "sampling": options.sampling,
    }
    return _Pose(net, chosen.embedding, record, reference)


def _reference(options: argparse.Namespace) -> tuple[str, str]:
    """Where the reference lies and which clip or speaker of it, "" for a file."""
    root, _, person = options.reference.rpartition("#") if "#" in options.reference else (options.reference, "", "")
    return root, person


def _write_pose_persona(folder: Path, pose: _Pose, command: str) -> None:
    """A persona of pose alone."""
    from networks.persona import Persona, save_persona

    reference, motion = pose.reference, pose.reference.motion
    meta = reference.pieces[0].clip.meta
    record = {
        "reference": {
            "person": reference.person,
            "corpus": meta.corpus,
            "synthetic": meta.synthetic,
            "reference_keys": [piece.clip.key for piece in reference.pieces],
            "seconds": reference.num_frames / 25,
        },
        "command": command,
        "pose": pose.record,
    }
    persona = Persona(folder.resolve().name, None, motion.identity, motion.identity_space, record, pose.style)
    save_persona(folder, None, persona, None, pose.net)


def _print_pose(record: dict[str, Any]) -> None:
    nearest = record["nearest"]
    if record["silent"]:
        print("the reference is silent: its pose style was chosen by the statistics of its head motion alone")
    print(
        f"pose style: {record['method']}; of {record['known_styles']} known people {nearest['name']} is nearest at "
        f"{nearest['distance']:.2f} by {record['distance']} (known people to their nearest: {record['between_known']:.2f})"
    )


def _write_persona(folder: Path, run: RunFolder, command: str, pose: _Pose | None) -> dict[str, Any]:
    from callbacks.adaptation_scores import REFERENCE, SCORES
    from faces.motion import FaceMotion
    from lightning_modules.molora_adaptation import PERSON
    from networks.animation import manner_of
    from networks.persona import Persona, save_persona
    from runtime.assemble import load_module
    from runtime.run_folder import existing_run

    module, _ = load_module(run, "best")
    config, facts = run.config, run.data
    base = existing_run(config.base.run)
    identity_space = base.data["identity_space"] if module.identity_fits else ""
    manner = manner_of(module.net, FaceMotion.load(run.path / REFERENCE), identity_space)
    assert manner.style is not None
    record = {
        "base": {"run": str(base.path.resolve()), "run_id": base.run_id, "checkpoint": str(config.base.checkpoint)},
        "reference": {
            name: facts[name] for name in ("person", "corpus", "synthetic", "reference_keys", "seconds", "frames")
        },
        "adapter": _method(config),
        "run_id": run.run_id,
        "seed": config.run.seed,
        "command": command,
        **json.loads((run.path / SCORES).read_text()),
    }
    name, style = folder.resolve().name, None
    if pose is not None:
        record["pose"], style = pose.record, pose.style
    persona = Persona(name, manner.style, manner.identity, manner.identity_space, record, style)
    save_persona(folder, module.net, persona, PERSON if module.is_adapted else None, pose.net if pose else None)
    return record


def _method(config: DictConfig) -> dict[str, Any]:
    """The change as the configuration names it; empty where nothing was trained."""
    return {name: value for name, value in _plain(config.adapter.spec).items() if not name.startswith("_")}


def _plain(node: DictConfig) -> dict[str, Any]:
    from omegaconf import OmegaConf

    values: Any = OmegaConf.to_container(node)
    return values


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
            row = scores[name]
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
        "  python adapt.py ada.mp4 --expression runs/real_video-1983457b --out personas/ada\n"
        "  python adapt.py ada.mp4 --expression RUN --pose runs/pose_gpt-11464f80 --out personas/ada\n"
        "  python adapt.py data/synthetic#synthetic-224 --expression RUN --out personas/p224 --seconds 20 adapter.spec.ranks=[2,4]\n"
        "  python animate.py speech.wav --persona personas/ada --out ada.mp4",
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
    parser.add_argument("--adapter", default="molora", help=f"method: {methods}")
    parser.add_argument(
        "--checkpoint", default="best", help="of the base: best (by validation), last, or a step number"
    )
    parser.add_argument(
        "--pose-style", choices=POSE_STYLES, default="retrieved", help="how the style of head motion is chosen"
    )
    parser.add_argument(
        "--pose-distance",
        choices=POSE_DISTANCES,
        default="statistics",
        help="by which the nearest known person is found",
    )
    parser.add_argument("--pose-checkpoint", default="best", metavar="WHICH", help="of the PoseGPT, as --checkpoint")
    parser.add_argument(
        "--sampling",
        choices=SAMPLINGS,
        default="nucleus",
        help="of pose codes, the persona's own: from the likeliest nine tenths (nucleus, default), from all (sampled), the likeliest (greedy)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of --pose-style random (the training's is run.seed)")
    parser.add_argument("--tracker-model", default=None, help="MediaPipe face_landmarker.task, for a video")
    return parser


if __name__ == "__main__":
    sys.exit(main())
