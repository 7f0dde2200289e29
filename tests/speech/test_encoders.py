"""Pretrained encoders, with tiny random models saved and loaded through the same path as the real ones."""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the optional extra 'pretrained' is not installed")

from speech import encoders  # noqa: E402
from speech.encoders import EncoderError, load_pretrained_encoder, num_encoder_frames  # noqa: E402

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
MODELS = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2", "wavlm": "WavLM"}


def save_tiny(folder, name: str, norm: str = "group", safetensors: bool = True):
    torch.manual_seed(0)
    stable = norm == "layer"
    config = getattr(transformers, f"{MODELS[name]}Config")(**TINY, feat_extract_norm=norm, do_stable_layer_norm=stable)
    model = getattr(transformers, f"{MODELS[name]}Model")(config)
    if safetensors:
        model.save_pretrained(folder)
    else:
        config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


@pytest.fixture(scope="module")
def hubert(tmp_path_factory):
    return load_pretrained_encoder("hubert", str(save_tiny(tmp_path_factory.mktemp("hubert"), "hubert")))


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("name", list(MODELS))
def test_each_kind_gives_two_frames_side_by_side_for_each_motion_frame(tmp_path, name, norm):
    encoder = load_pretrained_encoder(name, str(save_tiny(tmp_path, name, norm)), layer=1)
    features = encoder(0.1 * torch.randn(2, 640 * 12), torch.tensor([12, 5]))
    assert features.shape == (2, 12, 32) == (2, 12, encoder.width)
    assert torch.isfinite(features).all() and (features[1, 5:] == 0).all()
    assert encoder.normalise == (norm == "layer")


@pytest.mark.parametrize("num_samples", [399, 400, 719, 720, 16_000, 16_079, 16_080])
def test_the_length_rule_is_that_of_the_model(hubert, num_samples):
    expected = max(0, int(hubert.model._get_feat_extract_output_lengths(num_samples)))
    assert num_encoder_frames(num_samples) == expected


def test_padding_and_company_change_nothing(hubert):
    torch.manual_seed(0)
    lengths = torch.tensor([3, 20, 11])
    audio = 0.1 * torch.randn(3, 640 * 25)
    together = hubert(audio, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = hubert(audio[row : row + 1, : 640 * length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-5, rtol=0)


def test_long_audio_in_pieces_agrees_with_the_whole(tmp_path, monkeypatch):
    """With layer norm in the convolutions only attention looks across pieces; its reach is cut, so nearly equal."""
    encoder = load_pretrained_encoder("wav2vec2", str(save_tiny(tmp_path, "wav2vec2", "layer")), layer=0)
    audio, length = 0.1 * torch.randn(1, 640 * 60), torch.tensor([60])
    whole = encoder(audio, length)
    monkeypatch.setattr(encoders, "CHUNK_FRAMES", 25)
    monkeypatch.setattr(encoders, "CONTEXT_FRAMES", 10)
    torch.testing.assert_close(encoder(audio, length), whole, atol=1e-4, rtol=0)


def test_weights_are_frozen_and_training_mode_stays_off(hubert):
    hubert.train()
    assert not any(module.training for module in hubert.modules())
    assert not any(parameter.requires_grad for parameter in hubert.parameters())
    audio, length = 0.1 * torch.randn(1, 6400), torch.tensor([10])
    assert torch.equal(hubert(audio, length), hubert(audio, length))


def test_state_holds_the_fingerprint_and_no_weights_and_refuses_others(tmp_path, hubert):
    state = hubert.state_dict()
    assert list(state) == ["_extra_state"]
    torch.save(state, tmp_path / "state.pt")
    hubert.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    other = load_pretrained_encoder("hubert", str(save_tiny(tmp_path, "hubert")), layer=1)
    with pytest.raises(EncoderError, match="trained with encoder"):
        other.load_state_dict(state)


def test_fingerprint_follows_weights_and_layer(tmp_path, hubert):
    again = load_pretrained_encoder("hubert", str(save_tiny(tmp_path, "hubert")))
    assert again.fingerprint == hubert.fingerprint
    first = next(again.model.parameters())
    first.data.view(-1)[0] += 1e-3
    assert encoders.encoder_fingerprint(again.model, "hubert", None, False) != hubert.fingerprint
    assert encoders.encoder_fingerprint(hubert.model, "hubert", 1, False) != hubert.fingerprint


def test_absent_pickled_foreign_and_unknown_models_are_refused(tmp_path, monkeypatch):
    with pytest.raises(EncoderError, match="licence Apache") as caught:
        load_pretrained_encoder("hubert", str(tmp_path / "nothing"))
    assert "logmel" in str(caught.value) and "facebook/hubert-large-ls960-ft" in str(caught.value)
    with pytest.raises(EncoderError, match="safetensors"):
        load_pretrained_encoder("hubert", str(save_tiny(tmp_path, "hubert", safetensors=False)))
    (tmp_path / "wavlm").mkdir()
    with pytest.raises(EncoderError, match="holds a wavlm model; expected hubert"):
        load_pretrained_encoder("hubert", str(save_tiny(tmp_path / "wavlm", "wavlm")))
    with pytest.raises(EncoderError, match="layers 0 to 2"):
        load_pretrained_encoder("wavlm", str(tmp_path / "wavlm"), layer=3)
    with pytest.raises(EncoderError, match="unknown speech encoder"):
        load_pretrained_encoder("whisper")
