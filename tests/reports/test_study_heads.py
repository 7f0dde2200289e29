"""Pose runs in a user study: their heads are those that are scored, and every question takes the methods that can answer it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_up_study import code, fill_in, make_key, write_answers, write_key

from networks.pose_adapter import PoseAdapter
from networks.pose_methods import PoseClip
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from networks.style_retrieval import StyleClip
from reports import study_heads
from reports.errors import ReportError
from reports.pose_methods import PoseSplit, generated_by, vqvae_heads
from reports.study_analysis import analyse
from reports.study_answers import read_raters
from reports.study_folder import StudyOptions, _asked, _section, _shown_in
from reports.study_heads import HeadSubject, heads_on_recorded_faces
from reports.study_plan import QUESTIONS, STILL
from reports.subjects import Subject

FRAMES = (60, 75, 52)


@pytest.fixture(scope="module")
def split() -> PoseSplit:
    generator = torch.Generator().manual_seed(0)
    clips = [
        PoseClip(f"c{n}", "ada", 0.1 * torch.randn(640 * n, generator=generator), torch.zeros(n, 3)) for n in FRAMES
    ]
    references = [[StyleClip(clip.key, clip.head, None)] for clip in clips]
    return PoseSplit(clips, [{}] * 3, [None] * 3, references, [True] * 3)


def batch_of(clip: PoseClip) -> SimpleNamespace:
    frames = len(clip.head)
    return SimpleNamespace(keys=[clip.key], expression=torch.rand(1, frames, 52), jaw=torch.rand(1, frames, 3))


def test_a_head_in_a_study_is_the_one_that_was_scored(split: PoseSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    vqvae = PoseVQVAE(build_quantizer("vq", 4, 16), width=16, num_heads=2, feed_forward=32).eval()
    net = PoseAdapter(vqvae, ["p0"], width=16, layers=1, num_heads=2, feed_forward=16, style_width=4).eval()
    vectors = torch.randn(3, 4)
    rows = {clip.key: row for clip, row in zip(split.clips, vectors, strict=True)}
    monkeypatch.setattr(
        study_heads, "chosen_styles", lambda net, styles, of, way: torch.stack([rows[clip.key] for clip in of.clips])
    )
    scored = {
        True: generated_by(net, split, dict.fromkeys(("retrieved", "random", "unknown"), vectors))[0]["model"],
        False: vqvae_heads(vqvae, split)["model"],
    }
    for is_gpt, network in ((True, net), (False, vqvae)):
        method = heads_on_recorded_faces(network, lambda is_gpt=is_gpt: (split, object() if is_gpt else None))  # type: ignore[misc]
        for clip, expected in list(zip(split.clips, scored[is_gpt], strict=True))[::-1]:
            batch = batch_of(clip)
            shown = method(batch)
            assert shown.expression is batch.expression and shown.jaw is batch.jaw
            torch.testing.assert_close(shown.head[0], expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(ReportError, match="the clip gone is not in this split of the pose run"):
        method(SimpleNamespace(keys=["gone"]))


def subject(kind: type[Subject], name: str, gives_head: bool) -> Subject:
    return kind(name, None, None, {}, gives_head, {})


FACE, HEAD = subject(Subject, "face", False), subject(HeadSubject, "head", True)
FILES, OTHER = subject(Subject, "files", True), subject(HeadSubject, "other", True)


@pytest.mark.parametrize(
    ("subjects", "asked"),
    [
        ((HEAD,), {"pose": ["head"]}),
        ((HEAD, OTHER), {"pose": ["head", "other"]}),
        ((HEAD, FACE), {"lips": ["face"], "pose": ["head"]}),
        ((FACE, HEAD, FILES), {"lips": ["face", "files"], "pose": ["head", "files"], "richness": ["face", "files"]}),
    ],
)
def test_a_question_is_asked_of_the_methods_that_give_what_it_asks_for(
    subjects: tuple[Subject, ...], asked: dict[str, list[str]]
) -> None:
    found = _asked(subjects, StudyOptions())
    assert {name: [s.name for s in _shown_in(name, subjects)] for name in found} == asked
    for name in found:
        shown = {method for pair in _section(QUESTIONS[name], subjects, ["k"], ["c"]).alternatives for method in pair}
        assert set(asked[name]) <= shown <= {*asked[name], "truth"} and STILL not in shown


def test_what_no_method_gives_is_not_asked() -> None:
    for subjects, question, said in (
        ((HEAD,), "lips", "no method gives a face"),
        ((FACE,), "pose", "no method moves the head"),
        ((HEAD, FACE), "richness", "it compares two methods that give a face"),
    ):
        with pytest.raises(ReportError, match=f"the question '{question}' cannot be asked: {said}"):
            _asked(subjects, StudyOptions(questions=[question]))


def test_each_question_has_the_baseline_of_its_own_methods(tmp_path: Path) -> None:
    """The first method of the study is a pose run, which the questions about faces do not show."""
    key = make_key() | {"baseline": "head", "baselines": {"lips": "ours", "richness": "ours"}}
    write_key(tmp_path, key)
    paths = [write_answers(tmp_path, fill_in(key, rater, 0, 0.85, 0.9)) for rater in range(1, 13)]
    tests = {(test.question, test.other): test for test in analyse(key, read_raters(paths, key)).tests}
    assert tests["richness", "theirs"].effect > 0.7 and tests["lips", "theirs"].verdict == "ours is preferred"
    assert code("clip0", "ours") in key["videos"] and not np.isnan(tests["richness", "theirs"].holm)
