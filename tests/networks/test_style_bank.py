"""The style bank: distances as the definition says, saved whole, refused where it does not belong."""

import pytest
import torch

import networks.style_bank as style_bank
from networks.style_bank import StyleBank, StyleBankError
from networks.style_matrix import StyleMatrix, style_matrix
from speech.tensor_file import load_tensor_file, save_tensor_file

NUM_UNITS = 60


def matrix(seed: int, frames: int = 120) -> StyleMatrix:
    generator = torch.Generator().manual_seed(seed)
    units = torch.randint(NUM_UNITS, (frames,), generator=generator)
    return style_matrix(torch.randn(frames, 4, generator=generator) + seed % 3, units, NUM_UNITS)


def bank(number: int = 12) -> StyleBank:
    statistics = torch.randn(number, 18, generator=torch.Generator().manual_seed(0))
    matrices = [matrix(seed, frames=40 + 20 * seed) for seed in range(number)]
    return StyleBank(
        [f"video {i:03d}" for i in range(number)], matrices, statistics, torch.eye(18) + 0.1, "pose-a", "units-a"
    )


def test_the_shrunk_distance_is_that_of_dense_matrices():
    query = matrix(100, frames=70).dense()
    expected = [(matrix(seed, frames=40 + 20 * seed).dense() - query).norm(dim=1).mean().item() for seed in range(12)]
    found = bank().distances(matrix(100, frames=70))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=1e-5)


def test_the_shared_distance_is_that_of_a_loop_and_infinite_where_little_is_shared():
    query = matrix(100, frames=90)
    own = dict(zip(query.units.tolist(), query.means, strict=True))
    found = bank().distances(query, "shared")
    few = 0
    for seed in range(12):
        other = matrix(seed, frames=40 + 20 * seed)
        pairs = [(own[u], m) for u, m in zip(other.units.tolist(), other.means, strict=True) if u in own]
        if len(pairs) < 32:
            few += 1
            assert found[seed] == torch.inf
        else:
            expected = torch.stack([(a - b).abs().sum() for a, b in pairs]).mean()
            assert found[seed].item() == pytest.approx(expected.item(), rel=1e-5)
    assert 0 < few < 12


@pytest.mark.parametrize("metric", ["shrunk", "shared"])
def test_a_stored_style_finds_itself_at_no_distance(metric):
    for seed in (3, 11):
        distances = bank().distances(matrix(seed, frames=40 + 20 * seed), metric)
        assert distances.argmin() == seed and distances[seed] < 1e-6 and distances.sort().values[1] > 0.1


def test_statistics_are_compared_after_projection():
    styles = bank()
    distances = styles.statistics_distances(styles.statistics[5])
    assert distances.argmin() == 5 and distances[5] == 0
    expected = ((styles.statistics[2] - styles.statistics[5]) @ (torch.eye(18) + 0.1)).norm()
    assert distances[2].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_bank_comes_back_from_its_file(tmp_path):
    styles = bank()
    styles.save(tmp_path / "bank.safetensors")
    again = StyleBank.load(tmp_path / "bank.safetensors")
    assert again.sources == styles.sources and (again.vqvae, again.unit_fingerprint) == ("pose-a", "units-a")
    for metric in ("shrunk", "shared"):
        assert torch.equal(again.distances(matrix(50), metric), styles.distances(matrix(50), metric))
    assert torch.equal(again.statistics_distances(torch.ones(18)), styles.statistics_distances(torch.ones(18)))
    assert [path.name for path in tmp_path.iterdir()] == ["bank.safetensors"]


def test_the_typical_distance_is_that_of_a_loop_and_is_kept_in_the_file(tmp_path, monkeypatch):
    styles = bank(30)
    points = (styles.statistics @ styles.projection).double()
    nearest = [min(float((a - b).norm()) for j, b in enumerate(points) if j != i) for i, a in enumerate(points)]
    expected = float(torch.tensor(nearest, dtype=torch.float64).median())
    monkeypatch.setattr(style_bank, "_ROWS_AT_ONCE", 7)
    assert styles.typical_distance() == pytest.approx(expected, rel=1e-6)
    styles.save(tmp_path / "bank")
    monkeypatch.setattr(style_bank, "_to_nearest_other", lambda points: pytest.fail("looked for it again"))
    assert StyleBank.load(tmp_path / "bank").typical_distance() == styles.typical_distance()


def test_a_file_written_before_the_typical_distance_was_kept_is_read(tmp_path):
    styles = bank()
    styles.save(tmp_path / "bank")
    arrays, metadata = load_tensor_file(tmp_path / "bank", "pose-style-bank/2")
    del metadata["typical_distance"]
    save_tensor_file(tmp_path / "bank", arrays, metadata)
    assert StyleBank.load(tmp_path / "bank").typical_distance() == styles.typical_distance() > 0
    assert bank(1).typical_distance() == 0


def test_dense_rows_are_those_of_each_styles_own_matrix():
    chosen = torch.tensor([7, 2, 11])
    expected = torch.stack([matrix(s, frames=40 + 20 * s).dense() for s in chosen.tolist()])
    torch.testing.assert_close(bank().dense(chosen), expected)


def test_files_without_a_bank_are_refused(tmp_path):
    bank().save(tmp_path / "bank")
    (tmp_path / "bank").write_bytes((tmp_path / "bank").read_bytes()[:-3])
    with pytest.raises(StyleBankError, match="make it again"):
        StyleBank.load(tmp_path / "bank")
    (tmp_path / "bank").write_bytes(b"")
    with pytest.raises(StyleBankError, match="no style bank in"):
        StyleBank.load(tmp_path / "bank")
    bank(1).save(tmp_path / "bank")
    arrays, metadata = load_tensor_file(tmp_path / "bank", "pose-style-bank/2")
    save_tensor_file(tmp_path / "bank", arrays, metadata | {"sources": "[]"})
    with pytest.raises(StyleBankError, match="names 0 styles"):
        StyleBank.load(tmp_path / "bank")


def test_another_vqvae_or_other_units_are_refused():
    styles = bank()
    styles.require_match("pose-a", "units-a")
    styles.require_match("pose-a", None)
    with pytest.raises(StyleBankError, match=r"VQ-VAE pose-a.*pose-b"):
        styles.require_match("pose-b", "units-a")
    with pytest.raises(StyleBankError, match=r"units units-a.*units-b"):
        styles.require_match("pose-a", "units-b")
    with pytest.raises(StyleBankError, match="width"):
        styles.distances(style_matrix(torch.zeros(3, 7), torch.zeros(3, dtype=torch.long), NUM_UNITS))


def test_empty_and_ambiguous_banks_are_refused():
    with pytest.raises(StyleBankError, match="at least one style"):
        StyleBank([], [], torch.zeros(0, 18), torch.eye(18), "a", "b")
    with pytest.raises(StyleBankError, match="differ"):
        StyleBank(["a", "a"], [matrix(0), matrix(1)], torch.zeros(2, 18), torch.eye(18), "a", "b")
    with pytest.raises(StyleBankError, match="not among"):
        bank().index_of("nobody")
    assert bank().index_of("video 004") == 4
