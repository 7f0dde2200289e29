"""From `speech=phonetic speech.run=RUN` to the encoder of that run: into a new run's identity, network and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runtime.instantiate import build
from runtime.run_folder import RunError, existing_run

# The key of a run's facts for the encoder that its network hears with.
PHONETIC = "phonetic_encoder"
FRONT_END_TARGET = "networks.phonetic_front_end.build_phonetic_front_end"
ENCODER_TARGET, LOAD_TARGET = (
    f"networks.phonetic_encoder.{name}" for name in ("PhoneticEncoder", "load_phonetic_encoder")
)
FILE_NAME = "phonetic_encoder.safetensors"


def takes_phonetic(config: DictConfig) -> bool:
    """Whether the network hears with a phonetic encoder."""
    return OmegaConf.select(config, "net.front_end._target_") == FRONT_END_TARGET


def load_phonetic(config: DictConfig) -> Any:
    """The encoder that `speech.run` or `speech.weights` names. Raises RunError where that is none."""
    front_end = config.net.front_end
    if bool(front_end.run) == bool(front_end.weights):
        raise RunError(
            f"speech=phonetic takes one of speech.run={front_end.run!r} (the folder that a finished `python train.py phonetic_pretraining` "
            f"printed as `run:`) and speech.weights={front_end.weights!r} (such a run's {FILE_NAME}); give exactly one"
        )
    try:
        return build(OmegaConf.create({"_target_": LOAD_TARGET, "path": str(_file_of(front_end))}))
    except FileNotFoundError as error:
        raise RunError(f"speech.weights: {error}") from error


def phonetic_facts(encoder: Any) -> dict[str, Any]:
    """What a run is recorded with of its encoder, as plain JSON values."""
    return {"settings": encoder.settings, "fingerprint": encoder.fingerprint()}


def with_phonetic(net: DictConfig, facts: dict[str, Any]) -> DictConfig:
    """The configuration of a network with the encoder that the facts of its run describe; its weights are still to come."""
    if PHONETIC not in facts:
        return net
    described = {"front_end": {"encoder": {"_target_": ENCODER_TARGET, **facts[PHONETIC]["settings"]}}}
    merged = OmegaConf.merge(OmegaConf.create(OmegaConf.to_container(net)), described)
    assert isinstance(merged, DictConfig)
    return merged


def take_phonetic(net: Any, config: DictConfig) -> None:
    """Copy the encoder's weights into `net`; from then on this run's checkpoints hold them."""
    net.front_end.encoder.load_state_dict(load_phonetic(config).state_dict())


def _file_of(front_end: DictConfig) -> Path:
    if front_end.weights:
        return Path(front_end.weights)
    run = existing_run(front_end.run)
    if OmegaConf.select(run.config, "net._target_") != ENCODER_TARGET:
        raise RunError(
            f"speech.run={front_end.run} is a run of {run.config.run.name}; expected one of phonetic_pretraining"
        )
    file = run.path / FILE_NAME
    if not file.is_file():
        raise RunError(
            f"speech.run={front_end.run} has no {FILE_NAME} yet: let its training come to its end (the same command goes on)"
        )
    return file
