"""From items of different lengths to one padded batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faces.motion import FaceMotion
from speech.audio import SAMPLES_PER_FRAME

# What pads cached speech units: no unit has this number.
NO_UNIT = -1


@dataclass(frozen=True, eq=False)
class SpeechFaceItem:
    """One sample as a dataset gives it: `audio [640 * T]`, `motion` of T frames, a `reference` motion of the
    same speaker.

    `identity [I]` is zeros where `identity_known` is false. `features [k * T, D]`, `units [k * T]`: cached
    arrays, cut like the motion.
    """

    key: str
    speaker: str
    meta: dict
    audio: np.ndarray
    motion: FaceMotion
    reference: FaceMotion
    identity: np.ndarray
    identity_known: bool
    features: np.ndarray | None = None
    units: np.ndarray | None = None


@dataclass(eq=False)
class SpeechFaceBatch:
    """B items, zero-padded at the end to T target and R reference frames; raw units (metres, radians,
    coefficients).

    `features [B, k * T, D]` and `units [B, k * T]` (padded with -1) are there when every item has them.
    `metas` adds to each clip's metadata `start_frame`, `reference_key` and `reference_start_frame`.
    """

    audio: Tensor  # [B, 640 * T]
    num_frames: Tensor  # [B]
    expression: Tensor  # [B, T, E]
    jaw: Tensor  # [B, T, 3]
    head: Tensor  # [B, T, 3]
    translation: Tensor  # [B, T, 3]
    identity: Tensor  # [B, I]
    identity_known: Tensor  # [B] bool
    reference_expression: Tensor  # [B, R, E]
    reference_jaw: Tensor  # [B, R, 3]
    reference_head: Tensor  # [B, R, 3]
    reference_num_frames: Tensor  # [B]
    keys: list[str]
    speakers: list[str]
    metas: list[dict]
    features: Tensor | None = None
    units: Tensor | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def mask(self) -> Tensor:
        """`[B, T]`, True where a frame is of the clip and not padding."""
        return _mask(self.num_frames, self.expression.shape[1])

    @property
    def reference_mask(self) -> Tensor:
        """`[B, R]`, True where a reference frame is valid."""
        return _mask(self.reference_num_frames, self.reference_expression.shape[1])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> SpeechFaceBatch:
        """The batch with its tensors on `device`; Lightning moves batches by this method."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> SpeechFaceBatch:
        """The batch in page-locked memory; the loader calls it when `pin_memory` is on."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> SpeechFaceBatch:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        tensors: dict[str, Any] = {n: change(value) for n, value in values.items() if isinstance(value, Tensor)}
        return dataclasses.replace(self, **tensors)


def collate(items: Sequence[SpeechFaceItem]) -> SpeechFaceBatch:
    """Pad and stack; the order of the items is kept."""
    frames = [len(item.motion) for item in items]
    reference_frames = [len(item.reference) for item in items]
    longest, longest_reference = max(frames), max(reference_frames)
    translations = [_translation(item.motion) for item in items]
    return SpeechFaceBatch(
        audio=pad([item.audio for item in items], SAMPLES_PER_FRAME * longest),
        num_frames=torch.tensor(frames),
        expression=pad([item.motion.expression for item in items], longest),
        jaw=pad([item.motion.jaw for item in items], longest),
        head=pad([item.motion.head for item in items], longest),
        translation=pad(translations, longest),
        identity=torch.from_numpy(np.stack([item.identity for item in items])),
        identity_known=torch.tensor([item.identity_known for item in items]),
        reference_expression=pad([item.reference.expression for item in items], longest_reference),
        reference_jaw=pad([item.reference.jaw for item in items], longest_reference),
        reference_head=pad([item.reference.head for item in items], longest_reference),
        reference_num_frames=torch.tensor(reference_frames),
        keys=[item.key for item in items],
        speakers=[item.speaker for item in items],
        metas=[item.meta for item in items],
        features=_pad_cached([item.features for item in items], frames, 0),
        units=_pad_cached([item.units for item in items], frames, NO_UNIT),
    )


def pad(arrays: Sequence[np.ndarray], length: int, value: float = 0) -> Tensor:
    """Stack `[L_i, ...]` arrays into `[B, length, ...]`, filled up with `value`."""
    first = arrays[0]
    stacked = np.full((len(arrays), length, *first.shape[1:]), value, dtype=first.dtype)
    for row, array in zip(stacked, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(stacked)


def _pad_cached(arrays: Sequence[np.ndarray | None], frames: Sequence[int], value: float) -> Tensor | None:
    present = [array for array in arrays if array is not None]
    if len(present) < len(arrays):
        return None
    per_frame = len(present[0]) // frames[0]
    return pad(present, per_frame * max(frames), value)


def _translation(motion: FaceMotion) -> np.ndarray:
    return np.zeros((len(motion), 3), np.float32) if motion.translation is None else motion.translation


def _mask(lengths: Tensor, longest: int) -> Tensor:
    return torch.arange(longest, device=lengths.device)[None, :] < lengths[:, None]
