"""From a checked configuration and the facts of its data to built objects; and back from a run folder to a trained module."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from runtime.checkpoint_io import choose_checkpoint, load_checkpoint, manifest_of
from runtime.compose import ConfigError
from runtime.instantiate import accepted, build, check
from runtime.motion_prior_weights import MOTION_PRIOR, prior_facts, prior_run, takes_prior
from runtime.phonetic_weights import PHONETIC, load_phonetic, phonetic_facts, takes_phonetic, with_phonetic
from runtime.run_folder import RunError, RunFolder, existing_run
from runtime.seeding import stream_seed

# Sections that are built from `_target_` nodes.
BUILT_SECTIONS = ("data", "net", "task", "face", "callbacks")
# The key of section `run`, and of a run's facts, for the VQ-VAE whose codes it predicts.
POSE_VQVAE, VQVAE_TARGET = "pose_vqvae", "networks.pose_vqvae.PoseVQVAE"


def check_targets(config: DictConfig) -> None:
    """Check every `_target_` node of a run in one go; raises ConfigError with all problems."""
    problems = [p for section in BUILT_SECTIONS if section in config for p in check(config[section], path=section)]
    if problems:
        raise ConfigError("\n".join(problems))


def run_facts(config: DictConfig, data: Any) -> dict[str, Any]:
    """What a run is recorded with besides its configuration, as plain JSON values: the facts of its data, and, for a network that predicts
    pose codes, its style names and the VQ-VAE of `run.pose_vqvae`, and, for one that hears with a phonetic encoder, that; weights of either then
    count into the fingerprint.

    Raises RunError where that is no trained pose VQ-VAE or phonetic encoder, and for an adaptation what `build_adaptation` raises: facts are taken
    before a run's folder is made, so what does not fit leaves none.
    """
    facts = dict(data.facts)
    if "base" in config:
        build_adaptation(config, facts)
    if takes_phonetic(config):
        facts[PHONETIC] = phonetic_facts(load_phonetic(config))
        facts["fingerprint"] = _joined(facts["fingerprint"], facts[PHONETIC]["fingerprint"])
    if takes_prior(config):
        checkpoint = choose_checkpoint(prior_run(config).checkpoints, "best")
        facts[MOTION_PRIOR] = prior_facts(
            config, facts["space"], json.loads(manifest_of(checkpoint).read_text())["sha256"]
        )
        joined = f"{facts['fingerprint']}\n{facts[MOTION_PRIOR]['fingerprint']}"
        facts["fingerprint"] = hashlib.sha256(joined.encode()).hexdigest()
    if not takes_vqvae(config):
        if "net" in config and accepted(config.net, {"style_names": None}):
            facts["style_names"] = data.speakers("train")
        return facts
    vqvae_run = _vqvae_run(config)
    module, _ = load_module(vqvae_run, "best")
    fingerprint = module.net.fingerprint()
    names = {"speaker": data.speakers, "source": data.sources}.get(config.net.style_by)
    if names is None:
        raise RunError(f"net.style_by={config.net.style_by!r}; expected speaker or source")
    facts[POSE_VQVAE] = {"net": OmegaConf.to_container(vqvae_run.config.net), "fingerprint": fingerprint}
    facts["style_names"] = names("train")
    facts["fingerprint"] = _joined(facts["fingerprint"], fingerprint)
    return facts


def _joined(*fingerprints: str) -> str:
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()


def takes_vqvae(config: DictConfig) -> bool:
    """Whether the network is built on a trained pose VQ-VAE."""
    return "net" in config and bool(accepted(config.net, {"vqvae": None}))


def take_vqvae(net: Any, config: DictConfig) -> None:
    """Copy the best weights of the run `run.pose_vqvae` into `net.vqvae`; from then on this run's checkpoints hold them."""
    module, _ = load_module(_vqvae_run(config), "best")
    net.vqvae.load_state_dict(module.net.state_dict())


def take_prior(net: Any, config: DictConfig) -> None:
    """Copy the best weights of the run `run.motion_prior`, and its statistics, into `net.prior`; this run's checkpoints then hold them."""
    module, _ = load_module(prior_run(config), "best")
    net.prior.load_state_dict(module.net.state_dict())


def _vqvae_run(config: DictConfig) -> RunFolder:
    folder = OmegaConf.select(config, f"run.{POSE_VQVAE}")
    if not folder:
        raise RunError("run.pose_vqvae is empty; give the folder that `python train.py pose_vqvae` printed as `run:`")
    run = existing_run(folder)
    if run.config.net._target_ != VQVAE_TARGET:
        raise RunError(
            f"run.pose_vqvae={folder} is a run of {run.config.run.name}, whose network is {run.config.net._target_}; expected {VQVAE_TARGET}"
        )
    return run


def build_module(config: DictConfig, facts: dict[str, Any]) -> Any:
    """The Lightning module of a run with freshly initialised weights, a function of `run.seed` alone.

    `facts` of `run_facts` (`space`, `num_expression`, `num_identity`, ...) are given to the network where its constructor asks for them;
    so is `vqvae`, the pose VQ-VAE that they describe, with weights still to come from a checkpoint or `take_vqvae`.
    """
    torch.manual_seed(stream_seed(config.run.seed, "init"))
    if "base" in config:
        return build_adaptation(config, facts)
    offers = dict(facts)
    if POSE_VQVAE in facts:
        offers["vqvae"] = build(OmegaConf.create(facts[POSE_VQVAE]["net"]))
    if MOTION_PRIOR in facts:
        described = OmegaConf.create(facts[MOTION_PRIOR]["net"])
        offers["prior"] = build(described, **accepted(described, facts))
    net = build(with_phonetic(config.net, facts), **accepted(config.net, offers))
    return build(config.task, net=net)


def build_adaptation(config: DictConfig, facts: dict[str, Any]) -> Any:
    """The module of an adaptation run: its network is the trained one of the run `base.run`. It is told whether the recording's identity is of
    the base's kind (`identity_fits`). Raises RunError for no base or one of another expression space.
    """
    if not config.base.run:
        raise RunError("base.run is not set; give the folder of an expression run: base.run=RUN")
    run = existing_run(config.base.run)
    if run.data["space"] != facts["space"]:
        raise RunError(
            f"the recording's motion is in the {facts['space']} space, the base {run.path} speaks {run.data['space']}; use a base of that space"
        )
    net = load_module(run, str(config.base.checkpoint))[0].net
    fits = bool(facts["identity_space"]) and all(facts[k] == run.data[k] for k in ("identity_space", "num_identity"))
    return build(config.task, net=net, **accepted(config.task, {"identity_fits": fits}))


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
