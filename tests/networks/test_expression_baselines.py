"""What holds for every baseline: padding, styles, the contract that scoring, animating and comparing rely on."""

import numpy as np
import pytest
import torch
from expression_baseline_cases import FITTED, TRAINED, give_statistics, make_baseline, reference_of
from made_up_batches import SPEAKERS, make_batch

from networks.animation import animate_speech, manner_of, mix_manners, speak
from networks.controls import predict, reference_mean_face
from networks.expression_baseline import OneHotStyle
from networks.fitted_baselines import MeanFace
from networks.speech_content import SpeechContent

ALL = TRAINED + FITTED


@pytest.mark.parametrize("name", ALL)
def test_padding_changes_nothing_whatever_stands_there(name: str) -> None:
    net, batch = make_baseline(name), make_batch([9, 14])
    expression, _ = predict(net, batch)
    changed = make_batch([9, 14])
    changed.audio[0, 9 * 640 :] = 3.0
    changed.reference_expression = torch.nn.functional.pad(changed.reference_expression, (0, 0, 0, 4), value=9.0)
    changed.reference_jaw = torch.nn.functional.pad(changed.reference_jaw, (0, 0, 0, 4), value=9.0)
    padded, _ = predict(net, changed)
    torch.testing.assert_close(padded, expression)
    alone = make_batch([9, 14])
    for field in (
        "num_frames",
        "reference_expression",
        "reference_jaw",
        "reference_num_frames",
        "identity",
        "identity_known",
    ):
        setattr(alone, field, getattr(alone, field)[:1])
    alone.audio = alone.audio[:1, : 9 * 640]
    torch.testing.assert_close(predict(net, alone)[0][0], expression[0, :9], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_output_is_in_range_has_the_length_of_the_speech_and_rests_around_the_reference(name: str) -> None:
    net, batch = make_baseline(name), make_batch([12])
    expression, jaw = predict(net, batch)
    assert expression.shape == (1, 12, 52) and jaw.shape == (1, 12, 3) and (jaw == 0).all()
    assert expression.min() >= 0 and expression.max() <= 1 and torch.isfinite(expression).all()
    moved = make_batch([12])
    moved.reference_expression = moved.reference_expression * 0.2
    style, other = (net.encode_style(reference_of(b)) for b in (batch, moved))
    a, b = (net.speak(batch.audio, batch.num_frames, s) for s in (style, other))
    # FaceFormer and CodeTalker feed back displacements, so the resting face moves everything by the same.
    torch.testing.assert_close(a - b, (style.resting - other.resting).unsqueeze(1).expand_as(a), atol=1e-4, rtol=1e-4)
    assert (style.resting - other.resting).abs().max() > 0.5


@pytest.mark.parametrize("name", ALL)
def test_animation_takes_a_style_mixes_two_and_speaks_without_one(name: str) -> None:
    from faces.motion import FaceMotion

    net = make_baseline(name)
    draw = np.random.default_rng(0)
    clips = [
        FaceMotion(
            expression=draw.uniform(0, 0.9, (30, 52)).astype(np.float32),
            head=np.zeros((30, 3), np.float32),
            space="arkit",
        )
        for _ in range(2)
    ]
    audio = draw.normal(0, 0.1, 640 * 10).astype(np.float32)
    one, other = (manner_of(net, clip) for clip in clips)
    motions = [speak(net, audio, m).expression for m in (one, mix_manners(one, other, 0.5), other)]
    assert not np.allclose(motions[0], motions[2]) and not np.allclose(motions[0], motions[1])
    neutral = animate_speech(net, audio)
    assert len(neutral) == 10 and neutral.space == "arkit"
    exaggerated = speak(net, audio, one, guidance=2.0).expression
    assert not np.allclose(exaggerated, motions[0])


@pytest.mark.parametrize("name", ALL)
def test_generation_leaves_the_mode_alone_and_is_the_same_in_both(name: str) -> None:
    net, batch = make_baseline(name), make_batch([8])
    still = predict(net, batch)[0]
    net.train()
    assert torch.equal(predict(net, batch)[0], still) and net.training


@pytest.mark.parametrize("name", ALL)
def test_weights_and_what_was_fitted_travel_in_the_state(name: str) -> None:
    net, batch = make_baseline(name), make_batch([8])
    torch.manual_seed(5)
    fresh = make_baseline(name)
    with torch.no_grad():
        for value in fresh.state_dict().values():
            value.zero_()
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(predict(fresh, batch)[0], predict(net, batch)[0])


def test_the_mean_face_is_the_control_of_that_name() -> None:
    net, batch = MeanFace(), make_batch([7, 5])
    give_statistics(net)
    wanted = reference_mean_face(make_reference_mask(batch))[0]
    torch.testing.assert_close(predict(net, batch)[0][0], wanted[0])


def make_reference_mask(batch):
    batch.reference_mask = torch.arange(batch.reference_expression.shape[1]) < batch.reference_num_frames[:, None]
    return batch


def test_unknown_speakers_get_the_mean_of_the_styles_and_known_ones_their_own() -> None:
    style = OneHotStyle(SPEAKERS, 4)
    found = style(["eve", "nobody", "ada"], 3)
    rows = style.embedding.weight
    assert torch.equal(found[0], rows[2]) and torch.equal(found[2], rows[0]) and torch.equal(found[1], rows.mean(0))
    assert torch.equal(style(None, 2), rows.mean(0).expand(2, -1))
    # As a code with 1 / N at every place times the matrix.
    torch.testing.assert_close(torch.full((3,), 1 / 3) @ rows, found[1])
    with pytest.raises(ValueError, match="no style names"):
        OneHotStyle([], 4)


def test_long_speech_is_encoded_in_pieces_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    content = make_baseline("faceformer").content
    content.encoder.attention_span, content.reach = 3, 3 + 1 + 8
    batch = make_batch([70, 41])
    whole = content(batch.audio, batch.num_frames)
    monkeypatch.setattr("networks.speech_content.PIECE_FRAMES", 16)
    torch.testing.assert_close(content.encode_long(batch.audio, batch.num_frames), whole, atol=1e-5, rtol=1e-5)


def test_content_needs_a_front_end_of_its_width_and_a_span() -> None:
    from networks.conformer import ConformerSettings
    from networks.speech_front_end import LogMelFrontEnd

    with pytest.raises(ValueError, match="gives width 8; the network has 16"):
        SpeechContent(LogMelFrontEnd(8), ConformerSettings(16, 2, 32, 3, 0.0, 5), 1)
    with pytest.raises(ValueError, match="attention_span is None"):
        SpeechContent(LogMelFrontEnd(16), ConformerSettings(16, 2, 32, 3, 0.0), 1)
