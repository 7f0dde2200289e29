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
from networks.pose_style_units import missing_units
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from networks.speech_front_end import PretrainedFrontEnd
from networks.style_bank import StyleBankError
from networks.style_matrix import style_matrix
from speech.encoders import PretrainedEncoder
from speech.semantic_units import SemanticUnits

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
        keys=[f"clip {seed} {row}" for row in range(2)],
        speakers=["bob", "ada"],
        metas=metas,
        num_frames=torch.tensor(LENGTHS),
        head=0.1 * torch.randn(2, 50, 3, generator=generator),
        audio=0.1 * torch.randn(2, 50 * 640, generator=generator),
        features=features,
        units=None,
    )


def batches() -> list[SimpleNamespace]:
    return [batch(seed) for seed in range(3)]


class Corpus:
    def __init__(self, root: str = "/nowhere") -> None:
        self.read = 0
        self.index = SimpleNamespace(
            entries=[SimpleNamespace(num_frames=n) for _ in range(3) for n in LENGTHS], root=root
        )

    def indices(self, split: str) -> list[int]:
        return list(range(6))

    def evaluation_dataloader(self, split: str) -> list[SimpleNamespace]:
        assert split == "train"
        self.read += 1
        return batches()


def test_streamed_and_kept_features_give_the_same_bank(net, monkeypatch):
    kept = build_pose_styles(net, batches, 240)
    monkeypatch.setattr(files, "KEPT_NUMBERS", 0)
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
    assert torch.equal(heard[1].units, clips[1].units), "units of sound need no cached features, and no other ones"
    assert heard[1].features.shape == (30, 8)
    assert [clip.source for clip in style_clips(batch(0), "source")] == ["bob/video 0", "ada/video 0"]


def encoded(name: str = "hubert-1") -> list[SimpleNamespace]:
    generator = torch.Generator().manual_seed(3)
    return [batch(seed, torch.rand(2, 100, 4, generator=generator), name) for seed in range(3)]


def test_an_encoders_cached_features_are_clustered_where_there_are_any(net):
    styles = build_pose_styles(net, encoded, 240)
    assert styles.units.encoder == "hubert-1" and styles.units.centroids.shape == (7, 4)
    assert all(clip.units is not None for clip in style_clips(encoded()[0], units=styles.units))
    assert all(
        clip.units is None
        for other in (encoded("hubert-2"), batches())
        for clip in style_clips(other[0], units=styles.units)
    )
    assert "of hubert-1; of this speech there are cached features of hubert-2:" in str(
        missing_units(encoded("hubert-2")[0], styles.units, None)
    )
    assert "no features, and the network has no encoder" in str(missing_units(batch(0), styles.units, None))


def test_features_of_no_named_encoder_or_of_several_are_refused(net):
    with pytest.raises(StyleBankError, match=r"clip 0 0 do not say which encoder.*prepare.py features"):
        build_pose_styles(net, lambda: encoded(""), 240)
    with pytest.raises(StyleBankError, match="of hubert-1 and of hubert-2"):
        build_pose_styles(net, lambda: [*encoded("hubert-1"), *encoded("hubert-2")], 480)


def test_a_pretrained_encoder_that_the_network_runs_is_what_units_cluster():
    pytest.importorskip("transformers")
    from test_encoders import TINY
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    encoder = PretrainedEncoder(HubertModel(HubertConfig(**TINY)), "hubert")
    vqvae = PoseVQVAE(build_quantizer("vq", 8, 32), width=16, num_heads=2, feed_forward=32, attention_span=4)
    sizes = {"width": 16, "layers": 1, "num_heads": 2, "feed_forward": 32, "style_width": 8}
    hearing = PoseAdapter(vqvae, ("ada", "bob"), front_end=PretrainedFrontEnd(encoder, width=5), **sizes).eval()
    units = build_pose_styles(hearing, batches, 240).units
    assert units.encoder == f"hubert {encoder.fingerprint}" and units.centroids.shape[1] == encoder.width // 2
    clips = style_clips(batch(0), units=units, front_end=hearing.front_end)
    whole = encoder(batch(0).audio, torch.tensor(LENGTHS))
    features = whole.reshape(2, 50, 2, -1).mean(2)[1, :30].numpy()
    assert clips[1].units.tolist() == units.assign(features, units.encoder).tolist()
    # What `prepare.py features` keeps of that encoder is known as the same.
    cached = batch(0, whole, units.encoder)
    assert torch.equal(style_clips(cached, units=units)[1].units, clips[1].units)
    assert style_clips(batch(0), units=units)[0].units is None


def cached(units: SemanticUnits, fingerprint: str = "") -> list[SimpleNamespace]:
    """The batches with units as `prepare.py units` keeps them; those of another fingerprint are wrong on purpose."""
    found = batches()
    for each in found:
        rows = [clip.units + bool(fingerprint) for clip in style_clips(each, units=units)]
        each.units = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1).int()
        for meta in each.metas:
            meta["extra"] = {"semantic_units": fingerprint or units.fingerprint}
    return found


def test_cached_units_give_the_bank_that_is_found_anew_and_are_not_assigned_again(net, monkeypatch):
    fresh = build_pose_styles(net, batches, 240)
    said: list[str] = []
    anew = build_pose_styles(net, lambda: cached(fresh.units, "units-other"), 240, fresh.units, said.append)
    assert len(said) == 1 and "units units-other, not units-" in said[0] and "anew" in said[0]
    read = cached(fresh.units)
    monkeypatch.setattr(SemanticUnits, "assign", lambda *given: pytest.fail("assigned again"))
    kept = build_pose_styles(net, lambda: read, 240, fresh.units, said.append)
    assert len(said) == 1 and kept.units.fingerprint == fresh.units.fingerprint
    query = style_matrix(torch.randn(40, 8), torch.arange(40) % len(fresh.units), len(fresh.units))
    for other in (anew, kept):
        assert torch.equal(other.bank.distances(query), fresh.bank.distances(query))


def test_a_corpus_brings_the_units_that_are_cached_in_it(net, tmp_path):
    fresh = build_pose_styles(net, batches, 240)
    more = SemanticUnits(fresh.units.centroids[:4], fresh.units.scale, fresh.units.encoder)
    more.save(tmp_path / UNITS)
    said: list[str] = []
    styles = open_pose_styles(tmp_path / "styles", net, lambda: Corpus(str(tmp_path)), said.append)
    assert styles.units.fingerprint == more.fingerprint == styles.bank.unit_fingerprint and "anew" in said[1]
    build_pose_styles(net, lambda: cached(fresh.units), 240, say=said.append)
    assert "are not read: it has no semantic_units.safetensors" in said[2]


@pytest.mark.parametrize(("name", "left"), [(BANK, 0), (BANK, 100), (UNITS, None), (UNITS, 0), (UNITS, 100)])
def test_damaged_and_missing_files_are_named_with_what_to_do(net, tmp_path, name, left):
    open_pose_styles(tmp_path, net, Corpus, lambda text: None)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    if left is not None:
        (tmp_path / name).write_bytes(content[:left])
    with pytest.raises(StyleBankError, match=rf"{tmp_path}.*{name}.*remove that folder and it is built again"):
        open_pose_styles(tmp_path, net, Corpus, lambda text: None)
