"""Lip vertex error, its squared variant, upper-face error and dynamics."""

import numpy as np
import pytest
import torch
from metric_tester import check_metric, random_clips

from metrics.lip_vertex_error import (
    lip_vertex_error,
    lip_vertex_error_mm,
    lve_squared_m2,
)
from metrics.vertex_error import (
    UpperFaceDynamicsDeviation,
    upper_face_dynamics,
    upper_face_vertex_error,
)

CLIPS = random_clips((6, 3), (6, 3), scale=1e-3)


def test_upper_face_dynamics_deviation_passes_the_shared_checks():
    neutral = np.random.default_rng(3).normal(size=(6, 3)).astype(np.float32) * 1e-3

    def dynamics(vertices: np.ndarray) -> float:
        return float(np.mean(np.std(((vertices - neutral) ** 2).sum(-1), axis=0)))

    check_metric(
        lambda: UpperFaceDynamicsDeviation(torch.from_numpy(neutral)),
        CLIPS,
        lambda clips: np.mean([dynamics(target) - dynamics(prediction) for prediction, target in clips]),
    )


def test_lip_vertex_error_by_hand_and_its_square():
    prediction, target = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 3)
    prediction[0, 0, 0] = torch.tensor([0.003, 0.004, 0.0])
    prediction[0, 0, 1] = torch.tensor([0.001, 0.0, 0.0])
    both, first = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    assert lip_vertex_error(prediction, target, both).item() == pytest.approx(2.5)
    assert lip_vertex_error(prediction, target, first).item() == pytest.approx(5.0)
    assert lve_squared_m2(prediction, target, first).item() == pytest.approx(2.5e-5)
    assert upper_face_vertex_error(prediction, target, first).item() == pytest.approx(5.0)
    assert torch.isnan(lip_vertex_error(prediction, target, torch.zeros(1, 2, dtype=torch.bool))).all()


def test_a_still_face_has_no_dynamics_and_moving_together_counts():
    still = torch.ones(1, 10, 4, 3)
    mask = torch.ones(1, 10, dtype=torch.bool)
    assert upper_face_dynamics(still, torch.zeros(4, 3), mask).item() == 0
    moving = still * torch.linspace(0, 1, 10)[:, None, None]
    assert upper_face_dynamics(moving, torch.zeros(4, 3), mask).item() > 0.1


class TwoLipFace:
    """Two lip vertices: the first coefficient moves the first one by a millimetre."""

    regions = {"lips": torch.tensor([0, 1])}  # noqa: RUF012

    def __call__(self, identity, expression, jaw, vertex_ids):
        vertices = torch.zeros(*expression.shape[:-1], 2, 3)
        vertices[..., 0, 1] = 0.001 * expression[..., 0]
        return vertices[..., vertex_ids, :]


def test_error_from_coefficients_is_that_of_the_lips():
    expression, jaw, mask = torch.rand(2, 4, 5), torch.zeros(2, 4, 3), torch.ones(2, 4, dtype=torch.bool)
    error = lip_vertex_error_mm(TwoLipFace(), expression + 2.0, jaw, expression, jaw, mask)
    torch.testing.assert_close(error, torch.full((2,), 2.0))


def test_vertices_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shapes"):
        lip_vertex_error(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 4, 3), torch.ones(1, 2, dtype=torch.bool))
