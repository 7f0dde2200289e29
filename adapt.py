"""Adapt a trained expression model to one person from some seconds of video, and write the expression half of a persona.

    python adapt.py REFERENCE --expression RUN --out PERSONA [--seconds 10] [--adapter molora] [key=value ...]

REFERENCE is a video of one talking face, which is tracked, or a prepared clip FOLDER#KEY, or FOLDER#SPEAKER, whose clips are taken in order.
The last fifth of the seconds is held out: training stops when the error there gets no better, and the best step is kept, possibly the
base itself. The weights of RUN never change. The training is a run like any other (`train.py molora_adaptation`): the same command again goes on
where it was interrupted; the persona appears when it has finished, whole or not at all.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.compose import EXPERIMENTS, compose

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from runtime.run_folder import RunFolder

EXPERIMENT = "molora_adaptation"
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
    """Train or go on, write the persona, print the table; returns the exit code of the training."""
    from runtime.training import train

    config = _configuration(options)
    from networks.persona import require_free

    require_free(options.out)
    _check_adapter(config)
    exit_code, run = train(config)
    if exit_code == 0:
        record = _write_persona(options.out, run, shlex.join(command))
        _print_table(record)
        print(f"persona: {options.out}")
    return exit_code


def _configuration(options: argparse.Namespace) -> DictConfig:
    """The experiment, with the face of the base's run; raises ConfigError or RunError."""
    from runtime.run_folder import existing_run

    base = existing_run(options.expression)
    root, _, person = (
        str(options.reference).rpartition("#") if "#" in options.reference else (options.reference, "", "")
    )
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


def _write_persona(folder: Path, run: RunFolder, command: str) -> dict[str, Any]:
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
    persona = Persona(folder.resolve().name, manner.style, manner.identity, manner.identity_space, record)
    save_persona(folder, module.net, persona, PERSON if module.is_adapted else None)
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
        "  python adapt.py data/synthetic#synthetic-224 --expression RUN --out personas/p224 --seconds 20 adapter.spec.ranks=[2,4]\n"
        "  python animate.py speech.wav --persona personas/ada --out ada.mp4",
    )
    parser.add_argument("reference", help="video file, or FOLDER#KEY or FOLDER#SPEAKER of a prepared corpus")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=f"of the experiment {EXPERIMENT}")
    parser.add_argument("--expression", type=Path, required=True, metavar="RUN", help="run folder of the base")
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
    parser.add_argument("--tracker-model", default=None, help="MediaPipe face_landmarker.task, for a video")
    return parser


if __name__ == "__main__":
    sys.exit(main())
