import numpy as np
import pytest
import torch

from faces.motion import FaceMotion
from networks.animation import add_feeling, manner_of, mix_motions, speak
from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import LogMelFrontEnd

FRAMES = 12
DRAW = np.random.default_rng(0)
AUDIO = DRAW.normal(0, 0.1, FRAMES * 640).astype(np.float32)


def clip_of(level: float, **fields) -> FaceMotion:
    expression = np.clip(DRAW.normal(level, 0.1, (30, 52)), 0, 1).astype(np.float32)
    return FaceMotion(expression=expression, head=np.full((30, 3), level, np.float32), **fields)


@pytest.fixture
def net() -> ExpressionAdapter:
    torch.manual_seed(0)
    net = ExpressionAdapter(LogMelFrontEnd(16), width=16, blocks=1, num_heads=2, feed_forward=16)
    net.set_statistics(torch.full((55,), 0.3), torch.full((55,), 0.2))
    return net.eval()


def test_a_feeling_taken_from_two_clips_alike_changes_nothing(net: ExpressionAdapter) -> None:
    own, other = manner_of(net, clip_of(0.2)), manner_of(net, clip_of(0.7))
    moved = add_feeling(own, other, other)
    np.testing.assert_allclose(speak(net, AUDIO, moved).expression, speak(net, AUDIO, own).expression, atol=1e-6)


def test_adding_a_persons_own_feeling_to_their_neutral_style_is_the_style_of_that_feeling(
    net: ExpressionAdapter,
) -> None:
    neutral, felt = manner_of(net, clip_of(0.2)), manner_of(net, clip_of(0.5))
    moved = add_feeling(neutral, felt, neutral)
    np.testing.assert_allclose(speak(net, AUDIO, moved).expression, speak(net, AUDIO, felt).expression, atol=1e-5)


def test_a_feeling_leaves_the_person_their_shape_and_head(net: ExpressionAdapter) -> None:
    own = manner_of(net, clip_of(0.2))._replace(identity=np.ones(3, np.float32), identity_space="ict")
    moved = add_feeling(own, manner_of(net, clip_of(0.7)), manner_of(net, clip_of(0.4)))
    assert moved.identity is own.identity and moved.identity_space == "ict" and moved.clip is own.clip
    assert moved.style is not None and (moved.style.spread >= 0).all()


def test_a_feeling_needs_styles_of_clips(net: ExpressionAdapter) -> None:
    own, neutral = manner_of(net, clip_of(0.2)), manner_of(net, None)
    for three in ((neutral, own, own), (own, neutral, own), (own, own, neutral)):
        with pytest.raises(ValueError, match="added to a style"):
            add_feeling(*three)


def test_two_peoples_answers_are_mixed_from_one_to_the_other() -> None:
    one = clip_of(0.2, identity=np.zeros(2), identity_space="ict")
    other = clip_of(0.6, identity=np.ones(2), identity_space="ict")
    for share, nearer in ((0.0, one), (1.0, other)):
        np.testing.assert_array_equal(mix_motions(one, other, share).expression, nearer.expression)
    mixed = mix_motions(one, other, 0.75)
    np.testing.assert_allclose(mixed.expression, 0.25 * one.expression + 0.75 * other.expression, atol=1e-6)
    np.testing.assert_allclose(mixed.identity, [0.75, 0.75])
    np.testing.assert_array_equal(mixed.head, other.head)


@pytest.mark.parametrize(
    ("second", "share"), [(clip_of(0.1)[:20], 0.5), (clip_of(0.1), 1.5), (clip_of(0.1), float("nan"))]
)
def test_what_cannot_be_mixed_is_refused(second: FaceMotion, share: float) -> None:
    with pytest.raises(ValueError, match="cannot mix"):
        mix_motions(clip_of(0.2), second, share)


def test_shapes_of_unknown_kinds_stay_the_nearer_ones() -> None:
    one, other = clip_of(0.2, identity=np.ones(2), identity_space="ict"), clip_of(0.4)
    assert mix_motions(one, other, 0.3).identity_space == "ict" and len(mix_motions(one, other, 0.7).identity) == 0
