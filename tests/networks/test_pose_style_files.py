"""Units and bank of a corpus: the same whether its features are kept or streamed, kept whole, refused where they do not belong."""

from types import SimpleNamespace

import pytest
import torch

import networks.pose_style_files as files
from networks.pose_adapter import PoseAdapter
from networks.pose_style_files import (
    BANK,
    UNITS,
    build_pose_styles,
    open_pose_styles,
    require_pose_adapter,
    style_clips,
)
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from networks.style_bank import StyleBankError

LENGTHS = (50, 30)


@pytest.fixture(scope="module")
def net() -> PoseAdapter:
    torch.manual_seed(0)
    vqvae = PoseVQVAE(build_quantizer("vq", 8, 32), width=16, num_heads=2, feed_forward=32, attention_span=4)
    vqvae.set_statistics(torch.zeros(3), torch.full((3,), 0.1))
    return PoseAdapter(vqvae, ("ada", "bob"), width=16, layers=1, num_heads=2, feed_forward=32, style_width=8).eval()


def batch(seed: int, features: torch.Tensor | None = None, encoder: str = "") -> SimpleNamespace:
    generator = torch.Generator().manual_seed(seed)
    metas = [{"source": f"video {seed}", "extra": {"features_encoder": encoder} if encoder else {}} for _ in LENGTHS]
    return SimpleNamespace(
        speakers=["bob", "ada"],
        metas=metas,
        num_frames=torch.tensor(LENGTHS),
        head=0.1 * torch.randn(2, 50, 3, generator=generator),
        audio=0.1 * torch.randn(2, 50 * 640, generator=generator),
        features=features,
    )


def batches() -> list[SimpleNamespace]:
    return [batch(seed) for seed in range(3)]


class Corpus:
    index = SimpleNamespace(entries=[SimpleNamespace(num_frames=n) for _ in range(3) for n in LENGTHS])

    def __init__(self) -> None:
        self.read = 0

    def indices(self, split: str) -> list[int]:
        return list(range(6))

    def evaluation_dataloader(self, split: str) -> list[SimpleNamespace]:
        assert split == "train"
        self.read += 1
        return batches()


def test_streamed_and_kept_features_give_the_same_bank(net, monkeypatch):
    kept = build_pose_styles(net, batches, 240)
    monkeypatch.setattr(files, "KEPT_FRAMES", 0)
    streamed = build_pose_styles(net, batches, 240)
    assert kept.bank.sources == ["ada", "bob"] and len(kept.units) == 240 // 32
    assert kept.units.fingerprint == streamed.units.fingerprint == kept.bank.unit_fingerprint
    assert torch.equal(kept.bank.statistics, streamed.bank.statistics)
    assert torch.equal(kept.bank.centres, streamed.bank.centres)


def test_styles_are_built_once_and_read_back(net, tmp_path):
    corpus, said = Corpus(), []
    first = open_pose_styles(tmp_path / "styles", net, lambda: corpus, said.append)
    assert corpus.read == 1 and "2 people" in said[0]
    second = open_pose_styles(tmp_path / "styles", net, lambda: pytest.fail("read the corpus again"), said.append)
    assert len(said) == 1 and torch.equal(first.bank.statistics, second.bank.statistics)
    assert sorted(path.name for path in (tmp_path / "styles").iterdir()) == sorted([BANK, UNITS])


def test_files_of_other_networks_are_refused_and_stay(net, tmp_path):
    open_pose_styles(tmp_path, net, Corpus, lambda text: None)
    torch.manual_seed(1)
    vqvae = PoseVQVAE(build_quantizer("vq", 8, 32), width=16, num_heads=2, feed_forward=32, attention_span=4)
    sizes = {"width": 16, "layers": 1, "num_heads": 2, "feed_forward": 32, "style_width": 8}
    with pytest.raises(StyleBankError, match=r"VQ-VAE pose-.*remove that folder"):
        open_pose_styles(tmp_path, PoseAdapter(vqvae, ("ada", "bob"), **sizes), Corpus, lambda text: None)
    with pytest.raises(StyleBankError, match="2 styles"):
        open_pose_styles(tmp_path, PoseAdapter(net.vqvae, ("ada",), **sizes), Corpus, lambda text: None)
    with pytest.raises(StyleBankError, match=r"2 styles.*trained on 1 "):  # a corpus of other people is not kept
        open_pose_styles(tmp_path / "new", PoseAdapter(net.vqvae, ("eve",), **sizes), Corpus, lambda text: None)
    assert not (tmp_path / "new").exists() and (tmp_path / BANK).exists()
    with pytest.raises(StyleBankError, match=r"r1 is no run of pose_gpt.*PoseVQVAE"):
        require_pose_adapter(vqvae, "r1")


def test_units_are_of_each_clips_own_frames_and_only_of_their_encoder(net):
    units = build_pose_styles(net, batches, 240).units
    clips = style_clips(batch(0), units=units)
    assert [len(clip.head) for clip in clips] == [len(clip.units) for clip in clips] == list(LENGTHS)
    assert [len(clip.audio) for clip in clips] == [640 * n for n in LENGTHS]
    alone = batch(0)
    alone.num_frames, alone.speakers, alone.metas = torch.tensor([30]), ["ada"], alone.metas[1:]
    alone.head, alone.audio = alone.head[1:, :30], alone.audio[1:, : 30 * 640]
    assert torch.equal(style_clips(alone, units=units)[0].units, clips[1].units)
    heard = style_clips(batch(0, torch.rand(2, 100, 4), "hubert-1"), units=units)
    assert heard[0].units is None and heard[1].features.shape == (30, 8)
    assert style_clips(batch(0), "source")[0].source == "video 0"


def test_an_encoders_cached_features_are_clustered_where_there_are_any(net):
    def encoded() -> list[SimpleNamespace]:
        generator = torch.Generator().manual_seed(3)
        return [batch(seed, torch.rand(2, 100, 4, generator=generator), "hubert-1") for seed in range(3)]

    styles = build_pose_styles(net, encoded, 240)
    assert styles.units.encoder == "hubert-1" and styles.units.centroids.shape == (7, 4)
    assert all(clip.units is not None for clip in style_clips(encoded()[0], units=styles.units))
