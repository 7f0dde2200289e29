"""From `speech=phonetic speech.run=RUN` to the encoder of that run: into a new run's identity, network and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runtime.instantiate import build
from runtime.run_folder import RunError, existing_run
from runtime.trained_part import TrainedPart

FRONT_END_TARGET = "networks.phonetic_front_end.build_phonetic_front_end"
ENCODER_TARGET, LOAD_TARGET = (
    f"networks.phonetic_encoder.{name}" for name in ("PhoneticEncoder", "load_phonetic_encoder")
)
FILE_NAME = "phonetic_encoder.safetensors"


class PhoneticPart(TrainedPart):
    """The phonetic encoder that a network hears with; `speech.run` or `speech.weights` says which."""

    name = "phonetic_encoder"

    def wanted(self, config: DictConfig) -> bool:
        return OmegaConf.select(config, "net.front_end._target_") == FRONT_END_TARGET

    def facts(self, config: DictConfig, data: dict[str, Any]) -> dict[str, Any]:
        encoder = load_phonetic(config)
        return {"settings": encoder.settings, "fingerprint": encoder.fingerprint()}

    def copy_into(self, net: Any, config: DictConfig) -> None:
        net.front_end.encoder.load_state_dict(load_phonetic(config).state_dict())

    def described(self, net: DictConfig, facts: dict[str, Any]) -> DictConfig:
        encoder = {"_target_": ENCODER_TARGET, **facts[self.name]["settings"]}
        merged = OmegaConf.merge(OmegaConf.create(OmegaConf.to_container(net)), {"front_end": {"encoder": encoder}})
        assert isinstance(merged, DictConfig)
        return merged


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
