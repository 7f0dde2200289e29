"""From a checked configuration and the facts of its data to built objects; and back from a run folder to a trained module."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from runtime.checkpoint_io import choose_checkpoint, load_checkpoint
from runtime.compose import ConfigError
from runtime.instantiate import accepted, build, check
from runtime.phonetic_part import PhoneticPart
from runtime.run_folder import RunError, RunFolder, existing_run
from runtime.seeding import stream_seed
from runtime.trained_part import PartOfRun, TrainedPart

# Sections that are built from `_target_` nodes.
BUILT_SECTIONS = ("data", "net", "task", "face", "callbacks")
BASE_HASH = "networks.weight_adapters.base_hash"  # by which a persona knows its base
PARTS: tuple[TrainedPart, ...] = (
    PartOfRun("pose_vqvae", "vqvae", "networks.pose_vqvae.PoseVQVAE", "pose_vqvae"),
    PartOfRun("motion_prior", "prior", "networks.codetalker_prior.MotionPrior", "codetalker_prior"),
    PhoneticPart(),
)


def check_targets(config: DictConfig) -> None:
    """Check every `_target_` node of a run in one go; raises ConfigError with all problems, or RunError for an adaptation without a base."""
    if "base" in config:
        check_adaptation(config)
    problems = [p for section in BUILT_SECTIONS if section in config for p in check(config[section], path=section)]
    if problems:
        raise ConfigError("\n".join(problems))


def run_facts(config: DictConfig, data: Any) -> dict[str, Any]:
    """What a run is recorded with besides its configuration, as plain JSON values: the facts of its data, the names of the styles that its
    network learns, if any, and the trained parts and the base that it takes from other runs, whose weights count into the fingerprint.

    Raises RunError where these are not what they should be.
    """
    facts = dict(data.facts)
    for part in parts_of(config):
        facts[part.name] = part.facts(config, data.facts)
        facts["fingerprint"] = _joined(facts["fingerprint"], facts[part.name]["fingerprint"])
    if "base" in config:
        facts["base"] = _base_facts(config)
        facts["fingerprint"] = _joined(facts["fingerprint"], facts["base"]["fingerprint"])
    if "net" in config and accepted(config.net, {"style_names": None}):
        facts["style_names"] = _style_names(config, data)
    return facts


def _joined(*fingerprints: str) -> str:
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()


def parts_of(config: DictConfig) -> list[TrainedPart]:
    """The trained parts that the network of a run is built on."""
    return [part for part in PARTS if part.wanted(config)]


def _style_names(config: DictConfig, data: Any) -> list[str]:
    by = OmegaConf.select(config, "net.style_by", default="speaker")
    if by not in ("speaker", "source"):
        raise RunError(f"net.style_by={by!r}; expected speaker or source")
    return data.speakers("train") if by == "speaker" else data.sources("train")


def build_module(config: DictConfig, facts: dict[str, Any]) -> Any:
    """The Lightning module of a run with freshly initialised weights, a function of `run.seed` alone.

    `facts` of `run_facts` (`space`, `num_expression`, `num_identity`, ...) are given to the network where its constructor asks for them;
    so are the trained parts that they describe, with weights still to come from a checkpoint or `TrainedPart.copy_into`.
    """
    torch.manual_seed(stream_seed(config.run.seed, "init"))
    if "base" in config:
        return build_adaptation(config, facts)
    net, offers = config.net, dict(facts)
    for part in PARTS:
        if part.name in facts:
            net, offers = part.described(net, facts), offers | part.offers(facts)
    return build(config.task, net=build(net, **accepted(net, offers)))


def check_adaptation(config: DictConfig) -> None:
    """What can be told of an adaptation before its recording is read. Raises RunError for no base or one that is no expression run, and for last
    steps that would never be validated: the step that is kept could not be among them.
    """
    if not config.base.run:
        raise RunError("base.run is not set; give the folder of an expression run: base.run=RUN")
    expression_base(config.base.run)
    steps, every = config.trainer.max_steps, config.trainer.val_every_steps
    if every < 1 or steps % every:
        whole = f"trainer.max_steps={max(steps // every, 1) * every}" if every > 0 else "a larger number"
        raise RunError(
            f"trainer.max_steps={steps} is no multiple of trainer.val_every_steps={every}: the last steps would never be validated and so never be "
            f"kept; give {whole} or trainer.val_every_steps={steps}"
        )


def _base_facts(config: DictConfig) -> dict[str, Any]:
    net = adaptable_network(expression_base(config.base.run), str(config.base.checkpoint))
    return {"fingerprint": build(OmegaConf.create({"_target_": BASE_HASH}), net=net)}


def build_adaptation(config: DictConfig, facts: dict[str, Any]) -> Any:
    """The module of an adaptation run: its network is the trained one of the run `base.run`. It is told whether the recording's identity is of
    the base's kind (`identity_fits`). Raises RunError for no base or one of another expression space.
    """
    if not config.base.run:
        raise RunError("base.run is not set; give the folder of an expression run: base.run=RUN")
    run = expression_base(config.base.run)
    if run.data["space"] != facts["space"]:
        raise RunError(
            f"the recording's motion is in the {facts['space']} space, the base {run.path} speaks {run.data['space']}; use a base of that space"
        )
    net = adaptable_network(run, str(config.base.checkpoint))
    fits = bool(facts["identity_space"]) and all(facts[k] == run.data[k] for k in ("identity_space", "num_identity"))
    return build(config.task, net=net, **accepted(config.task, {"identity_fits": fits}))


_ADAPTABLE = "give a run of expression_pretraining or real_video"


def expression_base(folder: str | Path) -> RunFolder:
    """The run that a face is to be adapted from; raises RunError for runs of other things and for adaptations."""
    run = existing_run(folder)
    if "base" in run.config:
        raise RunError(f"{run.path} is itself an adaptation, to {run.data['person']}; {_ADAPTABLE}")
    if "face" not in run.config:
        raise RunError(f"{run.path} is a run of {run.config.run.name}, which has no face; {_ADAPTABLE}")
    return run


def adaptable_network(run: RunFolder, checkpoint: str) -> Any:
    """The trained network of an expression run; raises RunError where it has no style that a person could have."""
    net = load_module(run, checkpoint)[0].net
    if not hasattr(net, "style_encoder"):
        raise RunError(f"{run.path} cannot be adapted: {type(net).__name__} has no style of a person; {_ADAPTABLE}")
    return net


def start_from(net: torch.nn.Module, run: RunFolder) -> list[str]:
    """Copy the best weights of another run's network into `net` wherever name and shape agree; returns the names left as they were.

    The normalisation statistics stay those of the new data. Raises RunError if nothing fits.
    """
    state = load_checkpoint(choose_checkpoint(run.checkpoints, "best"))["state_dict"]
    weights = {name.removeprefix("net."): value for name, value in state.items() if name.startswith("net.")}
    parameters = dict(net.named_parameters())
    fitting = {n: p for n, p in parameters.items() if n in weights and weights[n].shape == p.shape}
    if not fitting:
        raise RunError(f"no weight of {run.path} fits this network; start from a run of the same kind")
    with torch.no_grad():
        for name, parameter in fitting.items():
            parameter.copy_(weights[name])
    return sorted(parameters.keys() - fitting.keys())


def load_module(run: RunFolder, which: str = "best") -> tuple[Any, Path]:
    """A run's module with trained weights in eval mode, and the checkpoint they came from (`best`, `last` or a step number)."""
    path = choose_checkpoint(run.checkpoints, which)
    module = build_module(run.config, run.data)
    state = load_checkpoint(path)["state_dict"]
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise RunError(
            f"checkpoint {path} does not fit the network that {run.path / 'config.yaml'} describes: {error}"
        ) from error
    return module.eval(), path


def face_of(run: RunFolder) -> Any:
    """The face model of a run; raises RunError for a run that has none, since it learns no faces."""
    if "face" not in run.config:
        raise RunError(f"{run.path} is a run of {run.config.run.name}, which has no face; give an expression run")
    return build(run.config.face)
