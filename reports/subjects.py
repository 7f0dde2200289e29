"""What is scored or shown to raters: a run's checkpoint or a folder of motion files, with the data and the face it is scored on."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from faces import load_face_model
from faces.flame_face import PATH_VARIABLE
from networks.controls import predict, time_shuffled
from networks.speech_front_end import speech_of
from networks.weight_adapters import switch
from reports.errors import ReportError
from reports.motion_files import MotionFiles
from reports.person_clips import PersonClips
from reports.scoring import Predicted
from runtime.assemble import face_of, load_module
from runtime.checkpoint_io import manifest_of
from runtime.instantiate import build
from runtime.run_folder import existing_run

# A corpus by its own splits, one clip a batch.
CORPUS = {"_target_": "datamodules.speech_face.SpeechFaceDataModule", "eval_batch": 1}


@dataclass
class Subject:
    """`methods`: what gives predictions for a batch of one clip, `model`, for runs `shuffled_speech` and for adapted runs `base`; `facts` go into the record of scores.
    `data` has one clip a batch; `face` is None where there is no mesh of the data's space, which is FLAME's without the user's file."""

    name: str
    data: Any
    face: Any
    methods: dict[str, Callable[[Any], Any]]
    gives_head: bool
    facts: dict[str, Any]


def run_subject(folder: Path, checkpoint: str = "best", data_root: str = "", face_name: str = "") -> Subject:
    """A run's checkpoint on its own data and face, or on `data_root` and `face_name`; an adapted run on its person, beside its base. Raises RunError where
    there is none to load, and ReportError for a run that learned something else than faces from speech.
    """
    run = existing_run(folder)
    data = data_like(run, data_root)
    module, path = load_module(run, checkpoint)
    net = module.net
    check_generates(run, type(net))
    manifest = json.loads(manifest_of(path).read_text())

    fitting = module.with_fitting_identity if is_adapted(run) else lambda batch: batch

    def model(batch: Any) -> Predicted:
        return Predicted(*predict(net, fitting(batch)))

    def shuffled(batch: Any) -> Predicted:
        speech = time_shuffled(speech_of(net.front_end, batch), batch.num_frames, batch.keys)
        return Predicted(*predict(net, fitting(batch), speech))

    methods: dict[str, Callable[[Any], Any]] = {"model": model, "shuffled_speech": shuffled}
    if is_adapted(run):
        data.statistics = net.mean, net.std
        # A network of its own: clips are scored in several threads, and whether the change counts is a state of the network.
        base = load_module(run, checkpoint)[0]
        if base.is_adapted:
            switch(base.net, None)
        methods["base"] = lambda batch: Predicted(*predict(base.net, fitting(batch)))
    return Subject(
        run.run_id,
        data,
        load_face_model(face_name) if face_name else face_of(run),
        methods,
        gives_head=False,
        facts={"checkpoint": path.name, "checkpoint_sha256": manifest["sha256"], "checkpoint_step": manifest["step"]},
    )


def is_adapted(run: Any) -> bool:
    """Whether the run adapted a base to a person."""
    return "base" in run.config


def check_generates(run: Any, network: type) -> None:
    """Raises ReportError for a run whose network makes no face of speech."""
    if not callable(getattr(network, "generate", None)):
        raise ReportError(
            f"{run.path} is a run of {run.config.run.name}, whose {network.__name__} generates no face from speech; give a run that does"
        )


def motions_subject(
    folder: Path, split: str, data_root: str = "", like: Path | None = None, face_name: str = ""
) -> Subject:
    """Motion files for every clip of `split` of the data of the run `like` or of `data_root`. Raises ReportError where they do not fit."""
    if like is None and not data_root:
        raise ValueError(
            f"{folder} holds motion files: say what they are compared with, --like RUN (its data and face) or --data CORPUS"
        )
    run = existing_run(like) if like is not None else None
    data = data_like(run, data_root) if run else build(OmegaConf.create(CORPUS | {"root": data_root}))
    if data.space == "flame" and not face_name:
        face = load_face_model("flame") if os.environ.get(PATH_VARIABLE) else None
    else:
        face = face_of(run) if run and not face_name else load_face_model(face_name or "procedural")
    frames = {data.index.entries[i].key: data.index.entries[i].num_frames for i in data.indices(split)}
    files = MotionFiles(folder, frames, data.space)
    facts = {"motions_sha256": files.sha256}
    return Subject(folder.resolve().name, data, face, {"model": files}, gives_head=files.gives_head, facts=facts)


def data_like(run: Any, data_root: str = "") -> Any:
    """The run's datamodule, one clip a batch, over `data_root` where that is given; of an adapted run `PersonClips`."""
    config = run.config.data.copy()
    if "root" not in config:
        raise ValueError(f"{run.path} is a run of {run.config.run.name}, which has no faces; give an expression run")
    if config.root.startswith("pipe:") and not data_root:
        # A run folder may be somebody else's: no command is run because one stands in it.
        raise ValueError(
            f"the run was trained on data.root={config.root!r}, a shell command; to run it, give it again: --data {shlex.quote(config.root)}"
        )
    OmegaConf.set_readonly(config, False)
    config.root = data_root or config.root
    if is_adapted(run):
        config.global_batch = config.accumulate = 1
        return PersonClips(build(config))
    config.eval_batch = 1
    return build(config)
