import dataclasses

import numpy as np
import pytest
import torch
from made_up_clips import make_clip
from pytorch_lightning.utilities import move_data_to_device

from datamodules.collate import SpeechFaceItem, collate


def _item(
    key: str, frames: int, reference_frames: int, per_frame: int | None = 2, translation: bool = True
) -> SpeechFaceItem:
    clip, other = make_clip(key, frames), make_clip(key + "-reference", reference_frames)
    motion = clip.motion if translation else clip.motion.replace(translation=None)
    rng = np.random.default_rng(frames)
    return SpeechFaceItem(
        key=key,
        speaker="ada",
        meta=clip.meta.to_dict(),
        audio=clip.audio,
        motion=motion,
        reference=other.motion,
        identity=clip.motion.identity,
        identity_known=True,
        features=None if per_frame is None else rng.normal(size=(per_frame * frames, 4)).astype(np.float32),
        units=None if per_frame is None else rng.integers(0, 100, per_frame * frames),
    )


ITEMS = [_item("a", 7, 20), _item("b", 12, 9), _item("c", 3, 5, translation=False)]


def test_masks_mark_exactly_the_frames_of_each_clip() -> None:
    batch = collate(ITEMS)
    assert batch.mask.dtype == torch.bool and batch.mask.shape == (3, 12)
    assert batch.mask.sum(1).tolist() == batch.num_frames.tolist() == [7, 12, 3]
    assert batch.reference_mask.sum(1).tolist() == batch.reference_num_frames.tolist() == [20, 9, 5]
    assert batch.mask[0, :7].all() and not batch.mask[0, 7:].any()


def test_valid_frames_are_the_clip_s_and_the_rest_is_zero() -> None:
    batch = collate(ITEMS)
    for row, item in enumerate(ITEMS):
        frames = len(item.motion)
        np.testing.assert_array_equal(batch.expression[row, :frames], item.motion.expression)
        np.testing.assert_array_equal(batch.audio[row, : 640 * frames], item.audio)
        np.testing.assert_array_equal(batch.features[row, : 2 * frames], item.features)
        np.testing.assert_array_equal(batch.reference_head[row, : len(item.reference)], item.reference.head)
        assert not batch.expression[row, frames:].any() and not batch.audio[row, 640 * frames :].any()
        assert (batch.units[row, 2 * frames :] == -1).all()
    assert batch.audio.shape == (3, 12 * 640) and batch.translation[2].eq(0).all()


def test_an_item_looks_the_same_alone_and_among_others() -> None:
    alone, among = collate(ITEMS[:1]), collate(ITEMS)
    assert torch.equal(alone.expression[0], among.expression[0, :7])
    assert torch.equal(alone.audio[0], among.audio[0, : 7 * 640])


def test_cached_arrays_are_left_out_unless_every_item_has_them() -> None:
    batch = collate([ITEMS[0], _item("d", 4, 4, per_frame=None)])
    assert batch.features is None and batch.units is None


def test_lightning_moves_every_tensor_of_a_batch() -> None:
    moved = move_data_to_device(collate(ITEMS), torch.device("meta"))
    tensors = [v for f in dataclasses.fields(moved) if isinstance(v := getattr(moved, f.name), torch.Tensor)]
    assert len(tensors) == 14 and all(tensor.device.type == "meta" for tensor in tensors)
    assert moved.keys == ["a", "b", "c"] and len(moved) == 3


@pytest.mark.parametrize("name", ["audio", "expression", "jaw", "head", "translation", "identity", "features"])
def test_floating_point_fields_are_single_precision(name: str) -> None:
    assert getattr(collate(ITEMS), name).dtype == torch.float32
