"""In which manners a network is to speak: a persona's own, those of style clips, a mixture of two, with a feeling or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.style_clip import read_style_clip
from networks.animation import Manner, add_feeling, manner_of, mix_manners
from networks.persona import Persona


@dataclass(frozen=True)
class StyleWishes:
    """What was asked for: `styles`, names of clips; `mix`, a share between two styles; `feeling`, names of two clips of one person, felt and neutral."""

    styles: Sequence[str] = ()
    mix: float | None = None
    feeling: Sequence[str] = ()
    tracker_model: str | None = None


def choose_manners(
    net: Any, persona: Persona | None, identity_space: str, wishes: StyleWishes
) -> list[tuple[str, Manner]]:
    """(caption, manner) of every column: the styles that were named, the mixture of two, the persona's own or the neutral one.

    A persona keeps its identity whatever style it takes on. Raises ValueError where there are not two styles to mix or none to add a feeling to.
    """

    def of_clip(name: str) -> Manner:
        return manner_of(net, read_style_clip(name, wishes.tracker_model), identity_space)

    manners = []
    if persona is not None and (not wishes.styles or wishes.mix is not None):
        manners.append((persona.name, Manner(persona.style, persona.identity, persona.identity_space)))
    for name in wishes.styles:
        manner = of_clip(name)
        if persona is not None:
            manner = manner._replace(identity=persona.identity, identity_space=persona.identity_space)
        manners.append((_caption(name), manner))
    if wishes.feeling:
        felt, neutral = (of_clip(name) for name in wishes.feeling)
        if not manners:
            raise ValueError("--emotion adds a feeling to a person's style; give --persona or --style, too")
        manners = [(f"{name} + {_caption(wishes.feeling[0])}", add_feeling(m, felt, neutral)) for name, m in manners]
    if wishes.mix is not None:
        if len(manners) != 2:
            raise ValueError(f"--mix {wishes.mix:g} with {len(manners)} expression styles; give two")
        (first, one), (second, other) = manners
        return [(f"{first} to {second}, {wishes.mix:g}", mix_manners(one, other, wishes.mix))]
    return manners or [("style: neutral", manner_of(net, None))]


def _caption(style: str) -> str:
    """What stands above a column in the style of this clip."""
    return f"style: {Path(style).name.rpartition('#')[2]}"
