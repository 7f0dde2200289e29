from types import SimpleNamespace

import numpy as np
import torch

from benchmarks.emotion_transfer import FEELINGS, MEASURES, METHODS, Feelings, errors, measure
from faces import load_face_model
from faces.motion import FaceMotion
from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import LogMelFrontEnd

FRAMES = 8


class MadeUpIndex:
    """Three test people with a neutral clip and two of each feeling, and a training person who must not be asked."""

    def __init__(self) -> None:
        self.draw = np.random.default_rng(0)
        people = [("ann", "test"), ("ben", "test"), ("cas", "test"), ("dee", "train")]
        self.entries = [
            SimpleNamespace(speaker=name, split=split, emotion=emotion)
            for name, split in people
            for emotion in ("neutral", *FEELINGS, *FEELINGS)
        ]

    def read_motion(self, i: int) -> FaceMotion:
        assert self.entries[i].split == "test"
        expression = np.random.default_rng(i).uniform(0, 0.5, (FRAMES, 52)).astype(np.float32)
        return FaceMotion(expression=expression, head=np.zeros((FRAMES, 3), np.float32))

    def read(self, i: int) -> SimpleNamespace:
        audio = np.random.default_rng(i).normal(0, 0.1, FRAMES * 640).astype(np.float32)
        return SimpleNamespace(clip=SimpleNamespace(audio=audio, motion=self.read_motion(i)))


def test_every_test_person_is_spoken_in_every_way() -> None:
    torch.manual_seed(0)
    net = ExpressionAdapter(LogMelFrontEnd(16), width=16, blocks=1, num_heads=2, feed_forward=16)
    net.set_statistics(torch.full((55,), 0.3), torch.full((55,), 0.2))
    rows = measure(net.eval(), load_face_model("procedural"), MadeUpIndex(), clips_each=2)
    assert [row["speaker"] for row in rows] == ["ann", "ann", "ben", "ben", "cas", "cas"]
    for row in rows:
        values = [row[method][name] for method in METHODS for name in MEASURES]
        assert np.isfinite(values).all() and len(set(values)) == len(values), "two ways gave the same face"


def test_the_truth_has_no_error() -> None:
    truth = MadeUpIndex().read_motion(0)
    assert errors(truth, truth, load_face_model("procedural")) == dict.fromkeys(MEASURES, 0.0)


def test_a_clip_is_never_its_own_style_and_a_donor_is_somebody_else() -> None:
    clips = Feelings(MadeUpIndex())
    spoken = clips.by_person["ann"]["happy"][0]
    assert all(clips.draw("ann", "happy", spoken) != spoken for _ in range(20))
    assert {clips.donor("ann", "happy") for _ in range(20)} == {"ben", "cas"}
    assert clips.draw("ann", "neutral", clips.by_person["ann"]["neutral"][0]) is None
