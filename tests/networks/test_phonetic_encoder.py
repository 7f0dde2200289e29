"""The phonetic encoder: padding invariance, its context, and weights that go through a file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from networks.phonetic_encoder import PhoneticEncoder, load_phonetic_encoder, save_phonetic_encoder
from speech.phonemes import PHONEMES
from speech.tensor_file import save_tensor_file

SMALL = {"width": 16, "blocks": 1, "num_heads": 2, "feed_forward": 32, "kernel_size": 5, "attention_span": 4}
LENGTHS = torch.tensor([12, 5, 1])


@pytest.fixture
def encoder() -> PhoneticEncoder:
    torch.manual_seed(0)
    return PhoneticEncoder(**SMALL).eval()


def test_two_labels_a_motion_frame_and_sound_behind_the_end_changes_nothing(encoder: PhoneticEncoder) -> None:
    audio = 0.1 * torch.randn(3, 640 * 15)
    together = encoder(audio, LENGTHS)
    assert together.shape == (3, 30, len(PHONEMES))
    for row, length in enumerate(LENGTHS.tolist()):
        alone = encoder(audio[row : row + 1, : 640 * length], LENGTHS[row : row + 1])
        torch.testing.assert_close(together[row, : 2 * length], alone[0], atol=1e-5, rtol=0)


def test_posteriors_are_the_probabilities_of_both_halves_of_a_frame(encoder: PhoneticEncoder) -> None:
    audio, frames = 0.1 * torch.randn(1, 640 * 6), torch.tensor([6])
    posteriors = encoder.posteriors(encoder.mel(audio, frames), torch.ones(1, 6, dtype=torch.bool))
    logits = encoder(audio, frames)
    assert posteriors.shape == (1, 6, 2 * len(PHONEMES))
    torch.testing.assert_close(posteriors[0, 3, len(PHONEMES) :], logits[0, 7].softmax(-1))


def test_nothing_beyond_its_context_is_heard(encoder: PhoneticEncoder) -> None:
    frames = torch.tensor([60])
    audio = 0.1 * torch.randn(1, 640 * 60)
    changed = audio.clone()
    first = 30 + encoder.context + 1
    changed[:, 640 * first :] = 0
    before, after = encoder(audio, frames), encoder(changed, frames)
    torch.testing.assert_close(before[:, : 2 * 31], after[:, : 2 * 31], atol=1e-5, rtol=0)
    assert not torch.allclose(before[:, 2 * first :], after[:, 2 * first :])


def test_training_hears_other_voices_and_evaluation_does_not(encoder: PhoneticEncoder) -> None:
    audio, frames = 0.1 * torch.randn(1, 640 * 8), torch.tensor([8])
    assert torch.equal(encoder(audio, frames), encoder(audio, frames))
    encoder.augmentation.train()
    assert not torch.equal(encoder(audio, frames), encoder(audio, frames))
    plain = PhoneticEncoder(**SMALL, voice_augmentation=False).eval()
    plain.augmentation.train()
    assert torch.equal(plain(audio, frames), plain(audio, frames))


def test_a_file_gives_the_same_encoder_back(encoder: PhoneticEncoder, tmp_path: Path) -> None:
    save_phonetic_encoder(tmp_path / "e.safetensors", encoder)
    loaded = load_phonetic_encoder(str(tmp_path / "e.safetensors"))
    audio, frames = 0.1 * torch.randn(2, 640 * 8), torch.tensor([8, 6])
    assert torch.equal(loaded(audio, frames), encoder(audio, frames)) and not loaded.training
    assert loaded.settings == encoder.settings and loaded.fingerprint() == encoder.fingerprint()
    with torch.no_grad():
        loaded.norm.bias += 1e-3
    assert loaded.fingerprint() != encoder.fingerprint()


def test_other_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_phonetic_encoder(str(tmp_path / "none.safetensors"))
    path = tmp_path / "other.safetensors"
    save_tensor_file(path, {"a": np.zeros(1)}, {"format": "something"})
    with pytest.raises(ValueError, match="expected 'phonetic-encoder-1'"):
        load_phonetic_encoder(str(path))
    save_tensor_file(path, {"a": np.zeros(1)}, {"format": "phonetic-encoder-1", "settings": "{}", "phonemes": "[]"})
    with pytest.raises(ValueError, match="not those of this version"):
        load_phonetic_encoder(str(path))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_phonetic_encoder(str(path))
