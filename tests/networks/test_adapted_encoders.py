"""Adaptation leaves the pretrained encoder of a front end alone, by whatever method and whatever layers are asked for."""

from pathlib import Path

import pytest
import torch
from test_phonetic_front_end import make as make_phonetic
from torch import nn
from weight_adapter_cases import SMALL_SIZES

from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import PretrainedFrontEnd, SpeechFrontEnd
from networks.weight_adapters import (
    EXPRESSION_METHODS,
    AdapterError,
    attach,
    expression_spec,
    load_person,
    person_state,
    save_person,
    train_only,
)


def phonetic() -> SpeechFrontEnd:
    return make_phonetic()


def fine_tuned_phonetic() -> SpeechFrontEnd:
    return make_phonetic(trainable=True)


def hubert() -> SpeechFrontEnd:
    transformers = pytest.importorskip("transformers", reason="the optional extra 'pretrained' is not installed")
    from speech.encoders import PretrainedEncoder

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    positions = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    config = transformers.HubertConfig(**sizes, **positions, conv_dim=(8,) * 7)
    return PretrainedFrontEnd(PretrainedEncoder(transformers.HubertModel(config), "hubert"), 16)


def base(make_front_end) -> ExpressionAdapter:
    torch.manual_seed(0)
    net = ExpressionAdapter(make_front_end(), "arkit", 16, 16, 1, 2, 32, 5).eval()
    assert isinstance(net.front_end.encoder, nn.Module) and len(list(net.front_end.encoder.parameters())) > 5
    return net


@pytest.mark.parametrize("make_front_end", [phonetic, fine_tuned_phonetic, hubert])
@pytest.mark.parametrize("method", EXPRESSION_METHODS)
def test_adaptation_leaves_the_encoder_as_it_is(method: str, make_front_end) -> None:
    net = base(make_front_end)
    changed = attach(net, expression_spec(net, method, **SMALL_SIZES.get(method, {})), "ada")
    assert changed and not any(name.startswith("front_end.encoder.") for name in changed)
    train_only(net, "ada")
    assert not any(parameter.requires_grad for parameter in net.front_end.encoder.parameters())
    if method == "full":  # and takes everything else
        others = [
            name for name, _ in base(make_front_end).named_parameters() if not name.startswith("front_end.encoder.")
        ]
        assert changed == others


@pytest.mark.parametrize("make_front_end", [phonetic, hubert])
def test_every_tensor_that_full_fine_tuning_stores_has_a_gradient_or_is_for_what_is_unknown(make_front_end) -> None:
    net = base(make_front_end)
    attach(net, expression_spec(net, "full"), "ada")
    train_only(net, "ada")
    frames, reference = torch.tensor([8, 8]), torch.randn(2, 12, 55)
    net.train()(
        0.1 * torch.randn(2, 640 * 8), frames, reference, torch.tensor([12, 12]), torch.randn(2, 16)
    ).final.sum().backward()
    without = {name for name, p in net.named_parameters() if p.requires_grad and p.grad is None}
    assert len(without) < 8 and not any("front_end" in name for name in without), without
    assert not any(name.startswith("front_end.encoder.") for name in person_state(net, "ada"))


@pytest.mark.parametrize("method", ["lora", "full", "bias"])
def test_layers_of_the_encoder_that_are_asked_for_are_refused_and_a_star_passes_them_by(method: str) -> None:
    net = base(phonetic)
    sizes = {"ranks": (1,)} if method == "lora" else {}
    with pytest.raises(
        AdapterError, match=r"^'front_end.encoder.\*' matches only layers that stay frozen, those of front_end.encoder"
    ):
        attach(net, expression_spec(net, method, layers=["front_end.encoder.*"], **sizes), "ada")
    changed = attach(net, expression_spec(net, method, layers=["front_end.*"], **sizes), "ada")
    assert {name.split(".")[1] for name in changed} <= {"output", "norm"} and changed


def test_a_saved_person_comes_back_without_the_encoder(tmp_path: Path) -> None:
    net = base(phonetic)
    attach(net, expression_spec(net, "full"), "ada")
    save_person(net, "ada", tmp_path / "ada.safetensors")
    again = base(phonetic)
    assert load_person(again, tmp_path / "ada.safetensors") == "ada"
    assert person_state(again, "ada").keys() == person_state(net, "ada").keys()
