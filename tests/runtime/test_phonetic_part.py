"""Where a phonetic encoder may come from, and what is said of anything else."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from networks.phonetic_encoder import PhoneticEncoder, save_phonetic_encoder
from runtime.instantiate import build
from runtime.phonetic_part import (
    ENCODER_TARGET,
    FILE_NAME,
    FRONT_END_TARGET,
    PhoneticPart,
    load_phonetic,
)

SMALL = {"width": 16, "blocks": 1, "num_heads": 2, "feed_forward": 32, "kernel_size": 5, "attention_span": 4}


def hearing(run: str = "", weights: str = ""):
    front_end = {"_target_": FRONT_END_TARGET, "width": 8, "run": run, "weights": weights}
    return OmegaConf.create({"net": {"_target_": "networks.x.Y", "front_end": front_end}})


def make_run(folder: Path, target: str, name: str = "phonetic_pretraining") -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text(f"run: {{name: {name}}}\nnet: {{_target_: {target}}}\n")
    (folder / "data.json").write_text("{}")
    return folder


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    folder = make_run(tmp_path / "finished", ENCODER_TARGET)
    save_phonetic_encoder(folder / FILE_NAME, PhoneticEncoder(**SMALL))
    return folder


def test_a_run_and_its_file_give_the_same_encoder(finished: Path) -> None:
    by_run, by_file = load_phonetic(hearing(str(finished))), load_phonetic(hearing("", str(finished / FILE_NAME)))
    assert by_run.fingerprint() == by_file.fingerprint()


def test_the_facts_of_a_run_describe_an_encoder_of_the_same_sizes(finished: Path) -> None:
    config = hearing(str(finished))
    encoder = load_phonetic(config)
    part = PhoneticPart()
    described = part.described(config.net, {part.name: part.facts(config, {})})
    assert build(described.front_end).encoder.settings == encoder.settings
    assert "encoder" not in config.net.front_end


def test_only_networks_with_this_front_end_take_an_encoder() -> None:
    wanted = PhoneticPart().wanted
    assert wanted(hearing())
    assert not wanted(
        OmegaConf.create({"net": {"front_end": {"_target_": "networks.speech_front_end.build_front_end"}}})
    )
    assert not wanted(OmegaConf.create({"net": {"width": 3}})) and not wanted(OmegaConf.create({}))


def test_anything_else_is_refused_in_a_sentence_that_says_what_to_give(finished: Path, tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", "networks.expression_adapter.ExpressionAdapter", "expression_pretraining")
    unfinished = make_run(tmp_path / "unfinished", ENCODER_TARGET)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((finished / FILE_NAME).read_bytes()[:99])
    refused = {
        (): "give exactly one",
        (str(finished), str(finished / FILE_NAME)): "give exactly one",
        ("nowhere",): "nowhere is not a run folder",
        (str(other),): "is a run of expression_pretraining; expected one of phonetic_pretraining",
        (str(unfinished),): "let its training come to its end",
        ("", "nowhere.safetensors"): "nowhere.safetensors does not exist",
        ("", str(broken)): "not a whole safetensors file",
    }
    for source, said in refused.items():
        with pytest.raises(ValueError, match=said):
            load_phonetic(hearing(*source))
