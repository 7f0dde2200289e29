"""A persona, or a run alone, speaks: its network, its manners and what moves the head, as one motion each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from faces.motion import FaceMotion
from networks.animation import head_there_and_back, speak
from networks.persona import Persona, load_persona, read_record
from personas.manners import StyleWishes, choose_manners
from personas.pose_half import head_of_persona
from runtime.assemble import load_module
from runtime.run_folder import RunFolder, existing_run


@dataclass(frozen=True)
class SpeakingWishes:
    """What was asked for. `expression`, `checkpoint`: the face's run, where it is not the one that the persona remembers; `guidance`: intensity of the style;
    `head`: `persona`, `style`, `still`, or None for the first that there is; `pose`, `sampling`, `seed`: of a generated head, None as the persona has them.
    """

    styles: StyleWishes
    expression: Path | None = None
    checkpoint: str | None = None
    guidance: float = 1.0
    head: str | None = None
    pose: Path | None = None
    sampling: str | None = None
    seed: int | None = None


def speak_as(
    folder: Path | None, audio: np.ndarray, wishes: SpeakingWishes
) -> tuple[RunFolder, list[tuple[str, FaceMotion]]]:
    """What the persona at `folder` (None: the run `wishes.expression` alone) makes of speech `[N]` (16 kHz): the run of its face, and (caption, motion)
    in each manner that was asked for, exactly as long as the speech.

    Raises ValueError for a persona or run that does not fit, and for wishes that would change nothing.
    """
    head_by = _head_of(wishes, folder)
    _check_head(wishes, folder, head_by)
    run, net, persona = _load_network(wishes, folder)
    head = _persona_head(wishes, folder, audio) if head_by == "persona" else None
    motions = []
    for caption, manner in choose_manners(net, persona, run.data["identity_space"], wishes.styles):
        motion = speak(net, audio, manner, wishes.guidance)
        if head is not None:
            motion = motion.replace(head=head)
        elif manner.clip is not None and head_by == "style":
            motion = motion.replace(head=head_there_and_back(manner.clip, len(motion)))
        elif wishes.head == "style":
            raise ValueError(
                f"--head style needs a clip whose head is played, but {caption} is none; give --style CLIP"
            )
        motions.append((caption, motion))
    return run, motions


def _load_network(wishes: SpeakingWishes, folder: Path | None) -> tuple[RunFolder, Any, Persona | None]:
    """The run, its network, and the persona that is selected in it; a persona knows its run and checkpoint."""
    record = {} if folder is None else read_record(folder)
    if "base" not in record:
        if wishes.expression is None:
            raise ValueError(f"{folder} holds a pose style alone; give --expression RUN for the face, too")
        run = existing_run(wishes.expression)
        return run, load_module(run, wishes.checkpoint or "best")[0].net, None
    base = record["base"]
    if wishes.expression is None and not Path(base["run"]).is_dir():
        raise ValueError(f"{folder} was made on {base['run']}, which is not there; --expression RUN says where it is")
    run = existing_run(wishes.expression or base["run"])
    net = load_module(run, wishes.checkpoint or base["checkpoint"])[0].net
    return run, net, load_persona(cast(Path, folder), net)


def _head_of(wishes: SpeakingWishes, folder: Path | None) -> str:
    """What moves the head: as asked, else the persona's pose style where it has one, else the style clip."""
    if wishes.head is not None:
        return wishes.head
    if folder is None:
        return "style"
    return "persona" if "pose" in read_record(folder) else "style"


def _persona_head(wishes: SpeakingWishes, folder: Path | None, audio: np.ndarray) -> np.ndarray:
    if folder is None:
        raise ValueError("--head persona needs --persona FOLDER, one that adapt.py --pose RUN made")
    return head_of_persona(folder, audio, wishes.sampling, wishes.seed or 0, wishes.pose)


def _check_head(wishes: SpeakingWishes, folder: Path | None, head_by: str) -> None:
    """Options of a generated head are refused where no head is generated, rather than ignored."""
    given = {"--pose": wishes.pose, "--sampling": wishes.sampling, "--seed": wishes.seed}
    unused = [name for name, value in given.items() if value is not None]
    if head_by != "persona" and unused:
        whose = "no persona was given" if folder is None else f"that of {folder} is not"
        raise ValueError(
            f"{' and '.join(unused)} would change nothing: only a persona's head is generated, and {whose}; give --persona FOLDER, "
            "one that adapt.py --pose RUN made, and no other --head"
        )
