"""Networks that a run takes, trained, from other runs: into its identity, its own network, and its checkpoints, which need the other run no more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runtime.checkpoint_io import choose_checkpoint, load_checkpoint
from runtime.instantiate import accepted, build
from runtime.run_folder import RunError, RunFolder, existing_run


class TrainedPart(ABC):
    """A part of networks that comes with weights. `name` is the key of a run's facts for it."""

    name: str

    @abstractmethod
    def wanted(self, config: DictConfig) -> bool:
        """Whether the network of a run is built on this part."""

    @abstractmethod
    def facts(self, config: DictConfig, data: dict[str, Any]) -> dict[str, Any]:
        """What a run is recorded with of the part, beside the facts of its `data`: plain JSON values that describe it without its weights, and
        the `fingerprint` of these. Raises RunError where the configuration names no such part.
        """

    @abstractmethod
    def copy_into(self, net: Any, config: DictConfig) -> None:
        """Copy the weights into the network of a run that begins."""

    def offers(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Constructor arguments of a network whose run has such facts: the part, its weights still to come."""
        return {}

    def described(self, net: DictConfig, facts: dict[str, Any]) -> DictConfig:
        """The configuration of a network whose run has such facts."""
        return net


@dataclass(frozen=True)
class PartOfRun(TrainedPart):
    """The network, of class `target`, of the run that `run.<name>` names and `experiment` trains, for networks whose constructor asks for
    `argument` and that keep it under that name.
    """

    name: str
    argument: str
    target: str
    experiment: str

    def wanted(self, config: DictConfig) -> bool:
        return "net" in config and bool(accepted(config.net, {self.argument: None}))

    def facts(self, config: DictConfig, data: dict[str, Any]) -> dict[str, Any]:
        run = self._run(config)
        if accepted(run.config.net, {"space": None}) and run.data["space"] != data["space"]:
            raise RunError(
                f"run.{self.name}={run.path} is of the {run.data['space']} space, the data of {data['space']}; train one on this data"
            )
        return {"net": OmegaConf.to_container(run.config.net), "fingerprint": _trained(run).fingerprint()}

    def copy_into(self, net: Any, config: DictConfig) -> None:
        getattr(net, self.argument).load_state_dict(_trained(self._run(config)).state_dict())

    def offers(self, facts: dict[str, Any]) -> dict[str, Any]:
        net = OmegaConf.create(facts[self.name]["net"])
        return {self.argument: build(net, **accepted(net, facts))}

    def _run(self, config: DictConfig) -> RunFolder:
        folder = OmegaConf.select(config, f"run.{self.name}")
        if not folder:
            raise RunError(
                f"run.{self.name} is empty; give the folder that `python train.py {self.experiment}` printed as `run:`"
            )
        run = existing_run(folder)
        if run.config.net._target_ != self.target:
            raise RunError(
                f"run.{self.name}={folder} is a run of {run.config.run.name}, whose network is {run.config.net._target_}; expected {self.target}"
            )
        return run


def _trained(run: RunFolder) -> Any:
    """The network of a run with its best weights."""
    net = build(run.config.net, **accepted(run.config.net, run.data))
    state = load_checkpoint(choose_checkpoint(run.checkpoints, "best"))["state_dict"]
    net.load_state_dict({k.removeprefix("net."): value for k, value in state.items() if k.startswith("net.")})
    return net.eval()
