"""What every metric must pass: a reference that shares no code with it, batching that changes nothing, honest NaN."""

import pickle
from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

Clip = tuple[np.ndarray, ...]


def collate(clips: Sequence[Clip], extra: int = 0) -> tuple[Tensor, ...]:
    """Clips of several arrays `[T, ...]` to padded tensors and their mask; the padding holds NaN (True, or 1), which must not matter."""
    frames = max(len(clip[0]) for clip in clips) + extra
    padded = []
    for parts in zip(*clips, strict=True):
        dtype = parts[0].dtype if parts[0].dtype.kind in "bi" else np.float32
        batch = np.full((len(parts), frames, *parts[0].shape[1:]), np.nan if dtype == np.float32 else 1, dtype)
        for row, part in zip(batch, parts, strict=True):
            row[: len(part)] = part
        padded.append(torch.from_numpy(batch))
    lengths = torch.tensor([len(clip[0]) for clip in clips])
    return (*padded, torch.arange(frames) < lengths[:, None])


def filled(make: Callable[[], Metric], batches: Sequence[Sequence[Clip]], extra: int = 0, first: int = 0) -> Metric:
    """A metric that saw the batches; their clips are named clip-0, clip-1, ... from `first` on."""
    metric = make()
    for batch in batches:
        metric.update(*collate(batch, extra), keys=[f"clip-{first + i}" for i in range(len(batch))])
        first += len(batch)
    return metric


def check_metric(make: Callable[[], Metric], clips: list[Clip], reference: Callable[[list[Clip]], float]) -> None:
    """Run every shared check; `reference` computes the metric from unpadded clips with NumPy."""
    expected = float(reference(clips))
    assert np.isfinite(expected), "the reference must be a number, or nothing is compared"
    close = pytest.approx(expected, rel=1e-4, abs=1e-7 if abs(expected) > 1e-3 else 1e-12)
    whole = filled(make, [clips])
    assert whole.compute().item() == close, "differs from the reference"
    assert whole.bad_clips == []
    assert filled(make, [clips], extra=7).compute().item() == close, "more padding changes it"
    assert filled(make, [[c] for c in reversed(clips)]).compute().item() == close, "batching or order changes it"
    assert merged(make, clips).item() == close, "two processes with unequal shares give another value"
    assert with_empty_rank(make, clips).item() == close, "a process without clips changes it"
    assert pickle.loads(pickle.dumps(whole)).compute().item() == close  # noqa: S301  our own bytes
    assert deepcopy(whole).compute().item() == close
    assert not whole.state_dict(), "metric states do not belong into checkpoints"
    whole.reset()
    assert np.isnan(empty(whole)), "without updates it must be NaN"
    if all(part.dtype.kind == "f" for part in clips[0]):
        _check_nan(make, clips)


def check_edges(make: Callable[[], Metric], function: Callable[..., Tensor], clips: list[Clip]) -> tuple[float, float]:
    """A clip of one frame, and one in which nothing moves but the first input: function and twin must agree and never be infinite.

    Returns the function's value of each, which may be NaN.
    """
    first, *others = clips[0]
    values = []
    for clip in (
        tuple(part[:1] for part in clips[0]),
        (first, *(np.repeat(part[:1], len(part), 0) for part in others)),
    ):
        value, twin = function(*collate([clip], extra=3)).item(), filled(make, [[clip]], extra=3)
        assert twin.compute().item() == pytest.approx(value, rel=1e-4, nan_ok=True), "function and twin differ"
        assert not np.isinf(value), "what is not defined is NaN, which is left out of means; infinity is not"
        values.append(value)
    return values[0], values[1]


def merged(make: Callable[[], Metric], clips: list[Clip]) -> Tensor:
    """The value of two processes, of which the second saw one clip only."""
    first, second = filled(make, [clips[:-1]]), filled(make, [clips[-1:]])
    first.merge_state(second)
    return first.compute()


def with_empty_rank(make: Callable[[], Metric], clips: list[Clip]) -> Tensor:
    """The value of two processes, of which the second saw nothing."""
    first = filled(make, [clips])
    first.merge_state(make())
    return first.compute()


def empty(metric: Metric) -> float:
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        return metric.compute().item()


def _check_nan(make: Callable[[], Metric], clips: list[Clip]) -> None:
    for side in range(len(clips[0])):
        for frame in (0, len(clips[1][side]) // 2, -1):
            _check_nan_at(make, clips, side, frame)


def _check_nan_at(make: Callable[[], Metric], clips: list[Clip], side: int, frame: int) -> None:
    broken = tuple(part.copy() for part in clips[1])
    broken[side][frame] = np.nan
    metric = filled(make, [clips[:1], [broken, *clips[2:]]])
    assert torch.isnan(metric.compute()), f"NaN in frame {frame} of input {side} must show in the value"
    assert metric.bad_clips == ["clip-1"], "the name of the broken clip must come out"
    other = filled(make, [clips[:1]])
    other.merge_state(filled(make, [[broken]], first=1))
    assert torch.isnan(other.compute()) and other.bad_clips == ["clip-1"], "names must come from every process"
    metric.reset()
    assert metric.bad_clips == []


def random_clips(*shapes: tuple[int, ...], lengths=(12, 5, 9, 30), scale: float = 1.0, seed: int = 0) -> list[Clip]:
    """Clips of smooth random curves: one array `[T, *shape]` for each of `shapes`."""
    generator = np.random.default_rng(seed)
    return [
        tuple((scale * generator.normal(size=(length, *shape)).cumsum(0)).astype(np.float32) for shape in shapes)
        for length in lengths
    ]
