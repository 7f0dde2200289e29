"""Ridge regression: agrees with least squares on all data at once, finds a planted linear map, ignores padding."""

from types import SimpleNamespace

import pytest
import torch

from networks.ridge_regression import RidgeRegression, fit_ridge


def clips(count: int, frames: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    level = torch.rand(count, frames, 1, generator=generator)
    noise = torch.randn(count, frames, 640, generator=generator)
    lengths = torch.randint(frames // 2, frames + 1, (count,), generator=generator)
    return (0.2 * level * noise).flatten(1), lengths


def test_weights_agree_with_a_direct_penalised_solution():
    model = RidgeRegression(3, context=1)
    audio, lengths = clips(20)
    target = torch.randn(20, 40, 3, generator=torch.Generator().manual_seed(5))
    for start in range(0, 20, 5):
        part = slice(start, start + 5)
        model.observe(audio[part], lengths[part], target[part])
    mask = torch.arange(40) < lengths[:, None]
    inputs, values = model.inputs(audio, lengths)[mask].double()[:, :-1], target[mask].double()
    centred = inputs - inputs.mean(0)
    covariance = centred.T @ centred / len(inputs)
    penalty = 0.1 * covariance.diagonal().mean() * torch.eye(inputs.shape[1])
    slope = torch.linalg.solve(covariance + penalty, centred.T @ (values - values.mean(0)) / len(inputs))
    constant = values.mean(0) - inputs.mean(0) @ slope
    torch.testing.assert_close(model.solve(0.1), torch.cat([slope, constant[None]]).float(), atol=1e-4, rtol=1e-3)


def test_a_planted_linear_map_is_found_and_the_weakest_penalty_chosen():
    plant = RidgeRegression(2, context=1)
    generator = torch.Generator().manual_seed(1)
    plant.weight.copy_(torch.randn(plant.weight.shape, generator=generator) * 0.1)

    def batches(seeds):
        for seed in seeds:
            audio, lengths = clips(10, seed=seed)
            yield SimpleNamespace(
                audio=audio,
                num_frames=lengths,
                expression=plant(audio, lengths)[..., :1],
                jaw=plant(audio, lengths)[..., 1:],
            )

    predict = fit_ridge(batches(range(6)), batches([10]), context=1)
    (test,) = batches([11])
    expression, jaw = predict(test)
    mask = torch.arange(40) < test.num_frames[:, None]
    assert (expression - test.expression)[mask].abs().mean() < 0.1 * test.expression[mask].std()
    assert jaw.shape == (10, 40, 1)


def test_unrelated_targets_choose_a_strong_penalty():
    model = RidgeRegression(2, context=3)
    generator = torch.Generator().manual_seed(2)
    train, other = clips(10), clips(10, seed=3)
    model.observe(*train, torch.randn(10, 40, 2, generator=generator))
    assert model.choose_strength([(*other, torch.randn(10, 40, 2, generator=generator))]) >= 1.0


def test_padding_and_company_change_no_prediction():
    model = RidgeRegression(4)
    model.weight.normal_(generator=torch.Generator().manual_seed(0))
    audio, lengths = clips(3)
    together = model(audio, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = model(audio[row : row + 1, : 640 * length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, :length], alone[0], atol=1e-4, rtol=1e-4)


def test_fitting_on_nothing_is_refused():
    with pytest.raises(ValueError, match="no frames"):
        RidgeRegression(2).solve(0.1)
    with pytest.raises(ValueError, match="no training batches"):
        fit_ridge([])
