"""From `run.motion_prior=RUN` to the frozen motion prior of a run: into its identity, network and checkpoints."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf

from runtime.instantiate import accepted
from runtime.run_folder import RunError, RunFolder, existing_run

# The key of section `run`, and of a run's facts, for the prior whose codes it predicts.
MOTION_PRIOR, PRIOR_TARGET = "motion_prior", "networks.codetalker_prior.MotionPrior"


def takes_prior(config: DictConfig) -> bool:
    """Whether the network is built on a trained motion prior."""
    return "net" in config and bool(accepted(config.net, {"prior": None}))


def prior_facts(config: DictConfig, space: str, checkpoint_sha256: str) -> dict[str, Any]:
    """What a run is recorded with of its prior, as plain JSON values. Raises RunError for a prior of another expression space."""
    run = prior_run(config)
    if run.data["space"] != space:
        raise RunError(
            f"run.motion_prior={run.path} is of the {run.data['space']} space, the data of {space}; train one on this data"
        )
    return {"net": OmegaConf.to_container(run.config.net), "fingerprint": checkpoint_sha256}


def prior_run(config: DictConfig) -> RunFolder:
    """The run that `run.motion_prior` names. Raises RunError where it names none, or a run of something else."""
    folder = OmegaConf.select(config, f"run.{MOTION_PRIOR}")
    if not folder:
        raise RunError(
            "run.motion_prior is empty; give the folder that `python train.py codetalker_prior` printed as `run:`"
        )
    run = existing_run(folder)
    if run.config.net._target_ != PRIOR_TARGET:
        raise RunError(
            f"run.motion_prior={folder} is a run of {run.config.run.name}, whose network is {run.config.net._target_}; expected {PRIOR_TARGET}"
        )
    return run
