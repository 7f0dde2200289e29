"""Every way of choosing a pose style on a small PoseGPT whose people differ: tuning lowers what it trains on, controls stay controls."""

import pytest
import torch

from networks.pose_adapter import PoseAdapter
from networks.pose_style_choice import METHODS, choose_style, known_styles
from networks.pose_style_regression import (
    PENALTIES,
    components_of_s,
    predict_style_from_s,
    ridge_prediction,
)
from networks.pose_style_tuning import tune_style
from networks.pose_vqvae import PoseVQVAE
from networks.quantizers import build_quantizer
from networks.style_bank import StyleBankError
from networks.style_retrieval import StyleClip, build_style_bank, style_matrix_of

NUM_UNITS = 16
NAMES = tuple(f"person {i}" for i in range(8))


@pytest.fixture(scope="module")
def net() -> PoseAdapter:
    torch.manual_seed(0)
    vqvae = PoseVQVAE(build_quantizer("vq", 8, 32), width=16, num_heads=2, feed_forward=32, attention_span=4)
    vqvae.set_statistics(torch.zeros(3), torch.full((3,), 0.1))
    net = PoseAdapter(vqvae, NAMES, width=16, layers=2, num_heads=2, feed_forward=32, style_width=8, context=32)
    # A fresh network hardly hears its style; a trained one does.
    with torch.no_grad():
        for name, parameter in net.gpt.named_parameters():
            if name.endswith("style.weight"):
                parameter.mul_(20)
    return net.eval()


def clip(person: int, seed: int, frames: int = 100) -> StyleClip:
    generator = torch.Generator().manual_seed(1000 * person + seed)
    habit = 0.15 * torch.randn(3, generator=torch.Generator().manual_seed(person))
    head = habit + 0.03 * torch.randn(frames, 3, generator=generator)
    units = torch.randint(NUM_UNITS, (frames,), generator=generator)
    return StyleClip(NAMES[person], head, units, 0.1 * torch.randn(640 * frames, generator=generator))


@pytest.fixture(scope="module")
def bank(net):
    return build_style_bank([clip(p, s) for p in range(8) for s in range(3)], net.vqvae, NUM_UNITS, "units-a")


@pytest.mark.parametrize("method", [pytest.param(m, marks=[pytest.mark.slow] * (m == "tuned")) for m in METHODS])
def test_every_method_gives_the_same_vector_again_and_leaves_the_network_as_it_was(net, bank, method):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    reference = [clip(3, 70, frames=55)] if method == "tuned" else [clip(3, 70), clip(3, 71)]
    one, two = (choose_style(method, net.train(), bank, reference, "units-a", seed=4) for _ in range(2))
    assert net.training and not net.vqvae.training
    assert one.method == method and torch.equal(one.embedding, two.embedding) and one.embedding.shape == (8,)
    assert one.nearest.source == "person 3" and not one.embedding.requires_grad
    assert all(torch.equal(value, before[name]) for name, value in net.eval().state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_retrieved_and_random_are_known_people_and_unknown_is_nobody(net, bank):
    reference = [clip(5, 70)]
    known = known_styles(net, bank)
    assert torch.equal(choose_style("retrieved", net, bank, reference, "units-a").embedding, known[5])
    assert torch.equal(choose_style("unknown", net, bank, reference, "units-a").embedding, net.gpt.styles.weight[-1])
    drawn = {
        int((known == choose_style("random", net, bank, reference, "units-a", seed).embedding).all(1).nonzero())
        for seed in range(30)
    }
    assert len(drawn) > 5


def test_tuning_never_ends_above_where_it_started_on_the_held_out_tail(net):
    start = torch.zeros(8)
    tuned = tune_style(net, [clip(2, 7), clip(2, 8)], start, steps=30, learning_rate=0.05)
    assert tuned.nll_after < tuned.nll_before - 1e-3 and tuned.best_step > 0
    nothing = tune_style(net, [clip(2, 7)], start, steps=0)
    assert nothing.best_step == 0 and torch.equal(nothing.embedding, start)
    for learning_rate in (1.0, 1e3):  # much too far
        wild = tune_style(net, [clip(2, 7)], tuned.embedding, steps=5, learning_rate=learning_rate)
        assert wild.nll_after <= wild.nll_before


def test_padding_of_the_shorter_clips_does_not_reach_the_tuned_style(net):
    long, short = clip(1, 7, frames=90), clip(1, 8, frames=40)
    one = tune_style(net, [long, short], torch.zeros(8), steps=3)
    whole = short._replace(audio=torch.cat([short.audio, torch.zeros(320)]))
    other = tune_style(net, [long, whole], torch.zeros(8), steps=3)
    torch.testing.assert_close(one.embedding, other.embedding)


def test_ridge_prediction_is_that_of_the_normal_equations_at_the_penalty_of_least_left_out_error():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(25, 4, generator=generator, dtype=torch.float64)
    targets = inputs @ torch.randn(4, 3, generator=generator, dtype=torch.float64) + 0.5
    targets = targets + 0.8 * torch.randn(25, 3, generator=generator, dtype=torch.float64)
    query = torch.randn(4, generator=generator, dtype=torch.float64)

    def fit(x, y, at, penalty):
        centred = x - x.mean(0)
        weights = torch.linalg.solve(centred.T @ centred + penalty * torch.eye(4), centred.T @ (y - y.mean(0)))
        return y.mean(0) + (at - x.mean(0)) @ weights

    def left_out(penalty):
        rest = [[j for j in range(25) if j != i] for i in range(25)]
        return sum(
            (fit(inputs[r], targets[r], inputs[i], penalty) - targets[i]).square().sum() for i, r in enumerate(rest)
        )

    best = min(PENALTIES, key=left_out)
    torch.testing.assert_close(ridge_prediction(inputs, targets, query), fit(inputs, targets, query, best))


def test_components_of_s_are_those_of_a_whole_decomposition(net, bank):
    matrix = style_matrix_of(clip(3, 70), net.vqvae, NUM_UNITS)
    inputs, query = components_of_s(bank, matrix)
    whole = bank.dense(torch.arange(8)).flatten(1)
    centre = whole.mean(0)
    _, values, right = torch.linalg.svd(whole - centre, full_matrices=False)
    assert inputs.shape == (8, 7)
    # Up to the order and sign of the components, in units of the first one's deviation.
    unit = values[0] / 8**0.5
    expected = torch.cat([whole, matrix.dense().flatten()[None]]) - centre
    found = torch.cat([inputs, query[None]])
    torch.testing.assert_close(
        found @ found.T, (expected @ right[:7].T @ right[:7] @ expected.T / unit**2).double(), atol=1e-3, rtol=1e-3
    )


def test_a_style_planted_in_s_is_predicted_from_it(net, bank):
    known = known_styles(net, bank)
    matrices = [style_matrix_of(clip(p, 0, frames=400), net.vqvae, NUM_UNITS) for p in range(8)]
    planted = torch.stack([m.mean for m in matrices])[:, : known.shape[1]]
    found = [predict_style_from_s(planted, net.vqvae, bank, [clip(p, 70, frames=300)]) for p in range(8)]
    off = [(one - planted).norm(dim=1) for one in found]
    assert sum(int(row.argmin()) == p for p, row in enumerate(off)) >= 7


def test_what_cannot_be_chosen_is_refused(net, bank):
    reference = [clip(0, 70)]
    for speechless, fingerprint in (([reference[0]._replace(units=None)], "units-a"), (reference, None)):
        with pytest.raises(StyleBankError, match="predicted_from_s reads the speech"):
            choose_style("predicted_from_s", net, bank, speechless, fingerprint)
    with pytest.raises(StyleBankError, match=r"units units-a.*units-b"):
        choose_style("predicted_from_s", net, bank, reference, "units-b")
    with pytest.raises(StyleBankError, match=r"'nearest'.*retrieved, mixed"):
        choose_style("nearest", net, bank, reference, "units-a")
    with pytest.raises(StyleBankError, match="sound"):
        choose_style("tuned", net, bank, [reference[0]._replace(audio=None)], "units-a")
    strangers = build_style_bank([clip(p, 0) for p in range(3)], net.vqvae, NUM_UNITS, "units-a")
    with pytest.raises(StyleBankError, match=r"3 styles.*8"):
        choose_style("retrieved", net, strangers, reference, "units-a")
