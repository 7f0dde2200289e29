"""The whole way on synthetic speech, as `make demo` goes it: the network beats its controls and tells styles apart."""

from pathlib import Path

import numpy as np
import pytest
import torch

import prepare
import score
import train
from datamodules.synthetic import SyntheticDataModule
from faces import load_face_model
from metrics.lip_closure import closure_agreement, inner_lip_pairs, mouth_opening_mm
from networks.animation import animate_speech
from runtime.assemble import load_module
from runtime.run_folder import existing_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader", reason="the synthetic corpus needs the extra 'synthesis'")
    folder = tmp_path_factory.mktemp("demo")
    sizes = {"speakers": 60, "clips-per-speaker": 8, "val-speakers": 4, "test-speakers": 4, "seed": 7}
    size = [word for name, number in sizes.items() for word in (f"--{name}", str(number))]
    assert prepare.main(["synthetic", "--out", str(folder / "corpus"), *size]) == 0
    overrides = [
        f"data.root={folder / 'corpus'}",
        f"run.folder={folder / 'run'}",
        "logger=none",
        "callbacks.media.every_steps=0",
    ]
    assert train.main(["demo", *overrides]) == 0
    return folder


def test_the_network_beats_every_control_on_unseen_speakers(demo: Path) -> None:
    summary = score.score(demo / "run", "test")["summary"]
    for control in ("reference_mean_face", "mean_face", "shuffled_speech", "ridge"):
        assert summary["model"]["mean"] < summary[control]["mean"], f"{control}: {summary}"


def test_two_styles_move_the_upper_face_differently_and_close_the_lips_together(demo: Path) -> None:
    data = SyntheticDataModule(root=str(demo / "corpus"))
    face = load_face_model("procedural")
    run = existing_run(demo / "run")
    module, _ = load_module(run)
    clips = [
        data.read_sample(index).clip for indices in data.clips_by_speaker("test").values() for index in indices[:1]
    ]
    speech = clips[0].audio
    motions = [animate_speech(module.net, speech, clip.motion, run.data["identity_space"]) for clip in clips[1:]]
    upper, lower = inner_lip_pairs(face)

    def vertices(motion, ids):
        return face(None, torch.from_numpy(motion.expression), vertex_ids=ids)

    openings = [mouth_opening_mm(vertices(m, upper), vertices(m, lower)).numpy() for m in motions]
    again = animate_speech(module.net, speech, clips[1].motion, run.data["identity_space"])
    upper_face = [vertices(m, face.regions["upper_face"]) for m in motions]
    repeat = (vertices(again, face.regions["upper_face"]) - upper_face[0]).norm(dim=-1).mean()
    apart_mm = 1000 * np.mean([(a - b).norm(dim=-1).mean() for a in upper_face for b in upper_face if a is not b])
    assert float(repeat) == 0.0
    assert apart_mm > 0.3, f"two styles differ by {apart_mm:.2f} mm on the upper face"
    correlations = [np.corrcoef(a, b)[0, 1] for i, a in enumerate(openings) for b in openings[:i]]
    assert min(correlations) > 0.8, f"mouth openings correlate by {correlations}"
    together = np.mean([closure_agreement(a, b).f1 for i, a in enumerate(openings) for b in openings[:i]])
    assert together > 0.7, f"of all lip closures only {together:.0%} come within 80 ms in both styles"
