"""The accumulators that metric classes derive from: sums and weights over all processes, divided once at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from metrics.checks import MetricError


class NamedClips(Metric):
    """A metric that knows the names of the clips which spoiled it: `bad_clips`, of all processes, after `compute`."""

    is_differentiable = False
    higher_is_better: bool | None = None
    full_state_update = False
    bad_names: list[Tensor]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # UTF-8 bytes as floats: torchmetrics gathers a list that is empty on one process as a tensor of its own dtype.
        self.add_state("bad_names", [], dist_reduce_fx="cat")
        self.bad_clips: list[str] = []

    def note_bad_clips(self, is_bad: Tensor, keys: Sequence[str] | None) -> None:
        """Remember the names `keys` of the clips `[B]` that are bad; without names nothing is remembered."""
        if keys is None:
            return
        if len(keys) != len(is_bad):
            raise MetricError(f"received {len(keys)} clip names for {len(is_bad)} clips; expected one each")
        for index in is_bad.nonzero().flatten().tolist():
            name = torch.frombuffer(bytearray(f"{keys[index]}\n".encode()), dtype=torch.uint8)
            self.bad_names.append(name.to(self.device, self.dtype))

    def read_bad_clips(self) -> None:
        """Called by `compute`, where the states of all processes are together."""
        # After a reduction over processes the list has become one tensor.
        parts = [self.bad_names] if isinstance(self.bad_names, Tensor) else self.bad_names
        text = b"".join(bytes(part.to(torch.uint8).tolist()) for part in parts).decode()
        self.bad_clips = sorted(set(text.splitlines()))

    @property
    def facts(self) -> dict[str, Any]:
        """What the number cannot be compared without, besides its row of the registry."""
        return {}

    def reset(self) -> None:
        super().reset()
        self.bad_clips = []


class WeightedMean(NamedClips):
    """Mean of values by weight: NaN without any weight, NaN as soon as one counted value is NaN.

    Not torchmetrics' MeanMetric: version 1.9 drops the weights when it is told to let NaN through. States are float64 sums,
    added over processes (`compute` is collective under DDP), so neither order nor number of processes changes the result.
    """

    total: Tensor
    weight: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Tensor, weights: Tensor | float = 1.0, keys: Sequence[str] | None = None) -> None:
        """Count `values` of any shape with `weights` that broadcast to it; values of weight zero may be anything.

        `keys` are the names of the clips along the first dimension; those with a counted value that is not finite end up in `bad_clips`.
        """
        values = values.detach().double()
        weights = torch.as_tensor(weights, dtype=torch.float64, device=values.device).expand_as(values)
        # A weight that is not a number counts, so that it shows.
        counted = torch.where(weights == 0, 0.0, values * weights)
        self.total += counted.sum()
        self.weight += weights.sum()
        if keys is not None:
            self.note_bad_clips(
                ~counted.flatten(1).isfinite().all(1) if counted.ndim > 1 else ~counted.isfinite(), keys
            )

    def compute(self) -> Tensor:
        self.read_bad_clips()
        return self.total / self.weight


class ClipMean(WeightedMean):
    """The twin of a pure function `(*curves, mask) -> [B]`: its mean over all clips seen.

    `average`: "frames" weighs a clip by what its own mean was taken over (its valid frames less `shortest` - 1: the pairs of a
    derivative), "clips" weighs every clip alike. Clips of fewer than `shortest` valid frames are not counted.
    """

    function: ClassVar[Callable[..., Tensor]]
    average: ClassVar[Literal["frames", "clips"]] = "frames"
    shortest: ClassVar[int] = 1

    def values(self, *inputs: Tensor) -> Tensor:
        """What is averaged, one value a clip `[B]`."""
        return type(self).function(*inputs)

    def update(self, *inputs: Tensor, keys: Sequence[str] | None = None) -> None:  # type: ignore[override]
        """The inputs of the pure function, the mask `[B, T]` last, and the names of the clips."""
        spans = (inputs[-1].sum(1) - (self.shortest - 1)).clamp(min=0)
        super().update(self.values(*inputs), spans if self.average == "frames" else spans > 0, keys)


class RootClipMean(ClipMean):
    """The twin of a function that ends in a root over frames: squares are averaged over all frames seen, then one root is taken."""

    def values(self, *inputs: Tensor) -> Tensor:
        return super().values(*inputs).double().square()

    def compute(self) -> Tensor:
        return super().compute().sqrt()


class ClipRatio(WeightedMean):
    """Sum over predictions divided by the sum over truths of a function `(curve, mask) -> [B]`: clips in which people move weigh more; NaN of still truths alone."""

    function: ClassVar[Callable[..., Tensor]]
    shortest: ClassVar[int] = 2

    def update(  # type: ignore[override]
        self, prediction: Tensor, target: Tensor, mask: Tensor, keys: Sequence[str] | None = None
    ) -> None:
        """Curves `[B, T, ...]` of prediction and truth and their mask; clips of fewer than `shortest` frames are not counted."""
        counted = mask.sum(1) >= self.shortest
        ours = torch.where(counted, type(self).function(prediction, mask).detach().double(), 0.0)
        theirs = torch.where(counted, type(self).function(target, mask).detach().double(), 0.0)
        self.total += ours.sum()
        self.weight += theirs.sum()
        self.note_bad_clips(~(ours + theirs).isfinite(), keys)

    def compute(self) -> Tensor:
        return torch.where(self.weight == 0, torch.nan, super().compute())
