"""Semantic units: nearest of their own encoder, refused for another's, features that padding cannot change."""

import numpy as np
import pytest
import torch

from speech.semantic_units import MfccContext, SemanticUnits, UnitsError, average_pairs


def units(seed: int = 0, encoder: str = "hubert-abc") -> SemanticUnits:
    generator = np.random.default_rng(seed)
    return SemanticUnits(generator.normal(size=(20, 5)), generator.uniform(0.5, 2, 5), encoder)


def test_each_frame_gets_its_nearest_unit():
    features = np.random.default_rng(1).normal(size=(40, 5))
    found = units().assign(features, "hubert-abc")
    scaled = features / units().scale
    expected = [int(np.linalg.norm(units().centroids - frame, axis=1).argmin()) for frame in scaled]
    assert found.dtype == np.int64 and found.tolist() == expected


def test_a_frame_is_assigned_alike_in_any_company():
    features = np.random.default_rng(1).normal(size=(40_000, 5)).astype(np.float32)
    whole = units().assign(features, "hubert-abc")
    for start in (0, 16_380, 39_999):
        assert (units().assign(features[start : start + 8], "hubert-abc") == whole[start : start + 8]).all()


def test_features_of_another_encoder_are_refused():
    with pytest.raises(UnitsError, match=r"hubert-xyz.*hubert-abc"):
        units().assign(np.zeros((3, 5)), "hubert-xyz")
    with pytest.raises(UnitsError, match=r"\[T, 5\]"):
        units().assign(np.zeros((3, 6)), "hubert-abc")
    with pytest.raises(UnitsError, match="finite"):
        units().assign(np.full((3, 5), np.nan), "hubert-abc")


def test_units_come_back_from_a_file_with_their_identity(tmp_path):
    units().save(tmp_path / "units.safetensors")
    again = SemanticUnits.load(tmp_path / "units.safetensors")
    assert again.encoder == "hubert-abc" and again.fingerprint == units().fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["units.safetensors"]
    fingerprints = {units().fingerprint, units(1).fingerprint, units(encoder="other").fingerprint}
    assert len(fingerprints) == 3


def test_files_that_hold_no_units_are_refused(tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    units().save(damaged)
    damaged.write_bytes(damaged.read_bytes()[:-10])
    with pytest.raises(UnitsError, match="make it again"):
        SemanticUnits.load(damaged)
    from speech.tensor_file import save_tensor_file

    save_tensor_file(tmp_path / "other", {"x": np.zeros(3)}, {"format": "something/1"})
    with pytest.raises(UnitsError, match="semantic-units/1"):
        SemanticUnits.load(tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        SemanticUnits.load(tmp_path / "absent")


def test_mfcc_context_does_not_change_with_padding_or_company():
    torch.manual_seed(0)
    encoder, length = MfccContext(), torch.tensor([30, 12, 1])
    audio = 0.1 * torch.randn(3, 640 * 30)
    together = encoder(audio, length)
    assert together.shape == (3, 30, encoder.width)
    for row, frames in enumerate(length.tolist()):
        alone = encoder(audio[row : row + 1, : 640 * frames], length[row : row + 1])
        torch.testing.assert_close(together[row, :frames], alone[0], atol=1e-4, rtol=1e-4)
        assert (together[row, frames:] == 0).all()


def test_mfcc_context_tells_sounds_apart_but_not_their_level():
    time = torch.arange(640 * 50) / 16_000
    low, high = torch.sin(2 * torch.pi * 200 * time), torch.sin(2 * torch.pi * 3000 * time)
    audio = 0.3 * torch.cat([low, high]) + 0.01 * torch.randn(640 * 100, generator=torch.Generator().manual_seed(0))
    length = torch.tensor([100])
    features = MfccContext()(audio[None], length)[0]
    quieter = MfccContext()(0.5 * audio[None], length)[0]
    between = (features[:48].mean(0) - features[52:].mean(0)).norm()
    assert (features - quieter).norm(dim=-1).median() < 0.1 * between
    assert features[4:46].std(0).norm() < 0.3 * between


def test_pairs_are_averaged():
    assert average_pairs(np.array([[1.0, 2.0, 3.0, 6.0]])).tolist() == [[2.0, 4.0]]
    with pytest.raises(UnitsError, match="side by side"):
        average_pairs(np.zeros((4, 3)))
