import pytest
import torch

from faces import load_face_model
from faces.face_model import REGION_NAMES, FaceModelError, LinearFaceModel, Material
from faces.rotations import axis_angle_to_matrix


def make_parts(vertices=30, identities=3, expressions=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    neutral = torch.rand(vertices, 3, generator=generator) - 0.5
    triangles = torch.arange(vertices).view(-1, 3)
    return {
        "name": "toy",
        "space": "toy",
        "neutral": neutral,
        "identity_basis": torch.randn(identities, vertices, 3, generator=generator) * 0.01,
        "expression_basis": torch.randn(expressions, vertices, 3, generator=generator) * 0.01,
        "triangles": triangles,
        "triangle_material": torch.zeros(len(triangles)),
        "materials": [Material("skin", (1.0, 0.8, 0.7))],
        "regions": {name: torch.arange(index, index + 3) for index, name in enumerate(REGION_NAMES)},
        "head_weight": ((neutral[:, 1] + 0.3) * 2).clamp(0, 1),
        "neck_pivot": torch.tensor([0.0, -0.1, 0.02]),
    }


@pytest.fixture
def toy():
    return LinearFaceModel(**make_parts())


def random_inputs(model, *shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    sizes = (model.num_identity, model.num_expression, 3)
    return [torch.randn(*shape, size, generator=generator) * 0.3 for size in sizes]


def test_zero_coefficients_give_the_neutral_face(toy):
    zero = torch.zeros(toy.num_expression)
    torch.testing.assert_close(toy(None, zero), toy.neutral)
    torch.testing.assert_close(toy(torch.zeros(toy.num_identity), zero, head=torch.zeros(3)), toy.neutral)


def test_a_batch_equals_its_members_one_by_one(toy):
    identity, expression, head = random_inputs(toy, 4, 6)
    together = toy(identity, expression, head=head)
    assert together.shape == (4, 6, toy.num_vertices, 3)
    for i in range(4):
        for j in range(6):
            alone = toy(identity[i, j], expression[i, j], head=head[i, j])
            torch.testing.assert_close(together[i, j], alone)


def test_one_identity_serves_all_frames(toy):
    identity, expression, head = random_inputs(toy, 6)
    broadcast = toy(identity[0], expression, head=head)
    torch.testing.assert_close(broadcast, toy(identity[:1].expand(6, -1), expression, head=head))


def test_chosen_vertices_equal_those_of_the_whole_mesh(toy):
    identity, expression, head = random_inputs(toy, 6)
    ids = torch.tensor([7, 3, 3, 29])
    chosen = toy(identity, expression, head=head, vertex_ids=ids)
    torch.testing.assert_close(chosen, toy(identity, expression, head=head)[:, ids])


def test_gradients_reach_every_input_even_at_rest(toy):
    inputs = [torch.zeros(2, size, requires_grad=True) for size in (toy.num_identity, toy.num_expression, 3)]
    target = torch.randn(2, toy.num_vertices, 3, generator=torch.Generator().manual_seed(5))
    (toy(inputs[0], inputs[1], head=inputs[2]) * target).sum().backward()
    for values in inputs:
        assert torch.isfinite(values.grad).all()
        assert (values.grad != 0).all()


def test_the_head_turns_rigidly_and_the_bust_stays(toy):
    head = torch.tensor([0.3, -0.5, 0.2])
    rest = toy.neutral
    turned = toy(None, torch.zeros(toy.num_expression), head=head)
    on_head, on_bust = toy.head_weight == 1, toy.head_weight == 0
    assert on_head.any() and on_bust.any()
    expected = (rest - toy.neck_pivot) @ axis_angle_to_matrix(head).T + toy.neck_pivot
    torch.testing.assert_close(turned[on_head], expected[on_head])
    torch.testing.assert_close(turned[on_bust], rest[on_bust])


def test_the_definition_stays_out_of_checkpoints(toy):
    assert not toy.state_dict()
    assert not list(toy.parameters())


@pytest.mark.parametrize("part", ["identity_basis", "head_weight", "triangle_material"])
def test_parts_of_wrong_size_are_named(part):
    parts = make_parts()
    parts[part] = parts[part][..., :-1]
    with pytest.raises(FaceModelError, match=part):
        LinearFaceModel(**parts)


def test_a_missing_region_is_named():
    parts = make_parts()
    del parts["regions"]["brows"]
    with pytest.raises(FaceModelError, match="brows"):
        LinearFaceModel(**parts)


def test_coefficients_of_another_space_are_refused(toy):
    with pytest.raises(FaceModelError, match="expression"):
        toy(None, torch.zeros(4, 52))
    with pytest.raises(FaceModelError, match="identity"):
        toy(torch.zeros(7), torch.zeros(5))


def test_an_unknown_face_is_refused_with_the_known_names():
    with pytest.raises(FaceModelError, match=r"procedural.*ict"):
        load_face_model("metahuman")
