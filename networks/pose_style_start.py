"""Where PoseGPT's style vectors begin: how each known person holds and moves the head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from networks.pose_representation import HeadRepresentation
from networks.pose_statistics import NUM_STATISTICS, pose_statistics, telling_apart, weighted_mean


@torch.no_grad()
def styles_from_statistics(
    clips: Iterable[tuple[str, Tensor]], names: Sequence[str], representation: HeadRepresentation, width: int
) -> Tensor:
    """A vector [width] for each of `names` from the clips, `(name, head [T, 3])`, axis-angle in radians at 25 frames/s: `[N, width]`.

    The mean of the person's `pose_statistics` in the directions that tell people apart best, about the mean of all people and in one unit for all
    directions, such that values have the variance 1. Beyond the 30 statistics there are zeros. People alike begin alike, so what is learned of one is
    learned of the others too; vectors that begin at random must each be learned from that person's few clips. Raises ValueError for a name
    without a clip.
    """
    found: dict[str, list[tuple[int, Tensor]]] = {name: [] for name in names}
    for name, head in clips:
        found[name].append((len(head), pose_statistics(head, representation)))
    empty = [name for name, parts in found.items() if not parts]
    if empty:
        raise ValueError(
            f"{empty[0]} has no clip to begin a style from; expected one for each of the {len(names)} names"
        )
    means = torch.stack([weighted_mean(found[name]) for name in names])
    # In order of increasing variance between people.
    directions = telling_apart([torch.stack([values for _, values in found[name]]) for name in names])[:, -width:]
    vectors = (means - means.mean(0)) @ directions
    vectors = vectors / vectors.square().mean().sqrt().clamp(min=1e-6)
    return torch.nn.functional.pad(vectors, (0, max(0, width - NUM_STATISTICS)))
