import numpy as np
import pytest
import torch

from faces import load_face_model
from faces.arkit import ARKIT_INDEX, ARKIT_NAMES, MIRRORED_PAIRS, arkit_vector
from faces.face_model import REGION_NAMES
from faces.procedural_head import _build
from faces.rotations import axis_angle_to_matrix

FLIP = torch.tensor([-1.0, 1.0, 1.0])
MILLIMETRE = 0.001


@pytest.fixture(scope="module")
def head():
    return load_face_model("procedural")


def pose(head, vertex_ids=None, **weights):
    return head(None, torch.from_numpy(arkit_vector(**weights)), vertex_ids=vertex_ids)


def lip_gaps(head, **weights):
    """Distances between upper and lower lip where they meet, from the middle to just before the corner."""
    slit = head.lip_rings[-1]
    half = len(slit) // 2
    vertices = pose(head, **weights)
    return (vertices[slit[:half]] - vertices[slit.flip(0)[:half]]).norm(dim=-1)


def lid_gaps(head, **weights):
    ring = head.eyelid_ring
    half = len(ring) // 2
    vertices = pose(head, **weights)
    return (vertices[ring[1:half]] - vertices[ring.flip(0)[: half - 1]]).norm(dim=-1)


def test_the_head_is_large_enough_and_in_metres(head):
    assert head.num_vertices >= 2000
    assert (head.num_expression, head.space, head.name) == (52, "arkit", "procedural")
    assert head.num_identity == len(head.identity_names) == 10
    size = head.neutral.amax(0) - head.neutral.amin(0)
    assert 0.25 < size[1] < 0.45


def test_every_vertex_is_used_and_no_triangle_is_degenerate(head):
    corners = head.neutral.double()[head.triangles]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=-1) / 2
    assert area.min() > 1e-10
    assert torch.equal(head.triangles.unique(), torch.arange(head.num_vertices))
    assert (head.triangles.sort(dim=1).values.diff(dim=1) > 0).all()


def test_surfaces_are_closed_but_for_known_borders_and_consistently_oriented(head):
    """Each directed edge occurs once; edges with one triangle only lie on the borders of bust, hair, brows, ears, teeth, tongue, lining."""
    edges = torch.cat([head.triangles[:, [0, 1]], head.triangles[:, [1, 2]], head.triangles[:, [2, 0]]])
    key = edges[:, 0] * head.num_vertices + edges[:, 1]
    assert len(key.unique()) == len(key)
    reverse = edges[:, 1] * head.num_vertices + edges[:, 0]
    border = edges[~torch.isin(key, reverse)].unique()
    mesh = _build().mesh
    on_skin = border[torch.from_numpy(mesh.is_part("skin", "lips"))[border]]
    assert (head.neutral[on_skin, 1] < -0.13).all()


def test_triangles_of_the_face_look_outwards(head):
    mesh = _build().mesh
    corners = head.neutral[head.triangles]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = corners.mean(1) - torch.tensor([0.0, 0.03, 0.0])
    for part in ("skin", "hair", "brow"):
        chosen = torch.from_numpy(mesh.is_part(part))[head.triangles].all(1) & (corners.mean(1)[:, 1] > 0.02)
        share = ((normal * outward).sum(-1)[chosen] > 0).float().mean()
        assert share > 0.95, part


def test_left_and_right_mirror_each_other_exactly(head):
    mirror = head.mirror
    assert torch.equal(mirror[mirror], torch.arange(head.num_vertices))
    torch.testing.assert_close(head.neutral[mirror] * FLIP, head.neutral, atol=0, rtol=0)
    for left, right in MIRRORED_PAIRS:
        shapes = head.expression_basis[[ARKIT_INDEX[left], ARKIT_INDEX[right]]]
        torch.testing.assert_close(shapes[0][mirror] * FLIP, shapes[1], atol=1e-8, rtol=0)
    paired = {name for pair in MIRRORED_PAIRS for name in pair}
    for name in set(ARKIT_NAMES) - paired:
        shape = head.expression_basis[ARKIT_INDEX[name]]
        torch.testing.assert_close(shape[mirror] * FLIP, shape, atol=1e-8, rtol=0)
    for shape in head.identity_basis:
        torch.testing.assert_close(shape[mirror] * FLIP, shape, atol=1e-8, rtol=0)


def test_mirrored_triangles_are_triangles(head):
    def canonical(triangles):
        return {tuple(np.roll(t, -int(np.argmin(t)))) for t in triangles.tolist()}

    assert canonical(head.mirror[head.triangles].flip(1)) == canonical(head.triangles)


def test_left_is_the_persons_left(head):
    for name in ("eyeBlinkLeft", "mouthSmileLeft", "browDownLeft", "cheekSquintLeft", "noseSneerLeft"):
        movement = head.expression_basis[ARKIT_INDEX[name]].norm(dim=-1)
        assert (movement * head.neutral[:, 0]).sum() / movement.sum() > 0.008, name


@pytest.mark.parametrize("name", ARKIT_NAMES)
def test_every_shape_moves_something_by_millimetres(head, name):
    largest = head.expression_basis[ARKIT_INDEX[name]].norm(dim=-1).max()
    assert 1.0 * MILLIMETRE < largest < 45 * MILLIMETRE


def test_the_closed_mouth_has_no_gap_and_opens_with_the_jaw(head):
    assert lip_gaps(head).max() < 0.01 * MILLIMETRE
    gaps = lip_gaps(head, jawOpen=1.0)
    assert 25 * MILLIMETRE < gaps[0] < 32 * MILLIMETRE
    assert (gaps.diff() < 0).all()
    half = lip_gaps(head, jawOpen=0.5)
    torch.testing.assert_close(half, gaps / 2, atol=1e-5, rtol=0)


def test_mouth_close_shuts_the_lips_of_an_open_jaw(head):
    for amount in (0.3, 1.0):
        assert lip_gaps(head, jawOpen=amount, mouthClose=amount).max() < 0.05 * MILLIMETRE


@pytest.mark.parametrize("name", ["mouthFunnel", "mouthUpperUpLeft", "mouthLowerDownLeft"])
def test_opening_shapes_part_the_lips(head, name):
    assert lip_gaps(head, **{name: 1.0}).max() > 4 * MILLIMETRE


@pytest.mark.parametrize(
    "name",
    [
        "mouthPucker",
        "mouthShrugLower",
        "mouthShrugUpper",
        "mouthPressLeft",
        "mouthSmileLeft",
        "mouthFrownLeft",
    ],
)
def test_closed_shapes_keep_the_lips_together(head, name):
    assert lip_gaps(head, **{name: 1.0}).max() < 0.8 * MILLIMETRE


def test_a_blink_closes_the_lids_and_only_its_own(head):
    assert lid_gaps(head).max() > 7 * MILLIMETRE
    assert lid_gaps(head, eyeBlinkLeft=1.0).max() < 0.05 * MILLIMETRE
    torch.testing.assert_close(lid_gaps(head, eyeBlinkRight=1.0), lid_gaps(head))
    assert lid_gaps(head, eyeWideLeft=1.0).max() > lid_gaps(head).max() + MILLIMETRE
    assert lid_gaps(head, eyeSquintLeft=1.0).max() < lid_gaps(head).max() - MILLIMETRE


@pytest.mark.parametrize("amount", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_lids_never_enter_the_eyeball(head, amount):
    centre = torch.tensor([0.0315, 0.034, 0.0785])
    margin = pose(head, vertex_ids=head.eyelid_ring, eyeBlinkLeft=amount)
    assert (margin - centre).norm(dim=-1).min() > 0.0125


def test_gaze_turns_the_eyeball_and_keeps_its_size(head):
    centre = torch.tensor([0.0315, 0.034, 0.0785])
    eyeball = torch.from_numpy(_build().mesh.is_part("eyeball")) & (head.neutral[:, 0] > 0)
    pupil = eyeball.nonzero().squeeze(1)[head.neutral[eyeball, 2].argmax()]
    for name, axis, sign in (("Out", 0, 1), ("In", 0, -1), ("Up", 1, 1), ("Down", 1, -1)):
        vertices = pose(head, **{f"eyeLook{name}Left": 1.0})
        assert sign * (vertices[pupil] - head.neutral[pupil])[axis] > 4 * MILLIMETRE
        radius = (vertices[eyeball] - centre).norm(dim=-1)
        torch.testing.assert_close(radius, torch.full_like(radius, 0.0125), atol=1e-6, rtol=0)


def test_upper_teeth_stay_and_lower_teeth_follow_the_jaw(head):
    mesh = _build().mesh
    movement = head.expression_basis[ARKIT_INDEX["jawOpen"]].norm(dim=-1)
    assert movement[torch.from_numpy(mesh.is_part("upper_teeth", "eyeball", "hair", "ear"))].max() == 0
    assert movement[torch.from_numpy(mesh.is_part("lower_teeth"))].min() > 8 * MILLIMETRE


def test_regions_hold_what_their_names_say(head):
    regions = {name: set(head.regions[name].tolist()) for name in REGION_NAMES}
    assert all(regions.values())
    for first, second in [
        ("lips", "brows"),
        ("lips", "eyes"),
        ("lips", "jaw"),
        ("mouth", "eyes"),
        ("brows", "eyes"),
        ("neck", "mouth"),
        ("jaw", "upper_face"),
    ]:
        assert not regions[first] & regions[second], (first, second)
    assert regions["lips"] < regions["mouth"]
    assert regions["brows"] < regions["upper_face"]
    for ids in head.regions.values():
        twins = head.mirror[ids].sort().values
        assert torch.equal(twins, ids.sort().values)


def test_the_head_turns_rigidly_over_a_still_bust(head):
    rotation = torch.tensor([0.2, 0.4, -0.1])
    turned = head(None, torch.zeros(52), head=rotation)
    rigid = torch.cat([head.regions[name] for name in ("lips", "eyes", "brows", "upper_face")])
    expected = (head.neutral[rigid] - head.neck_pivot) @ axis_angle_to_matrix(rotation).T + head.neck_pivot
    torch.testing.assert_close(turned[rigid], expected, atol=1e-6, rtol=0)
    lowest = head.neutral[:, 1] < -0.18
    torch.testing.assert_close(turned[lowest], head.neutral[lowest])


def test_materials_are_all_used_and_eyes_have_irises(head):
    names = {head.materials[index].name for index in head.triangle_material.unique().tolist()}
    assert names == {material.name for material in head.materials}
    assert all(0 <= channel <= 1 for material in head.materials for channel in material.rgb)


def test_building_twice_gives_the_same_head(head):
    _build.cache_clear()
    again = load_face_model("procedural")
    assert torch.equal(again.neutral, head.neutral)
    assert torch.equal(again.expression_basis, head.expression_basis)
    assert torch.equal(again.triangles, head.triangles)


def test_landmarks_lie_on_lips_lids_and_brows_alike_on_both_sides(head):
    ids = set(head.landmarks.tolist())
    assert 50 <= len(ids) <= 80 and len(ids) == len(head.landmarks)
    assert {head.mirror[vertex].item() for vertex in ids} == ids
    counts = {name: len(ids & set(region.tolist())) for name, region in head.regions.items()}
    assert counts["mouth"] + counts["upper_face"] == len(ids)
    assert counts["lips"] >= 30 and counts["eyes"] >= 8 and counts["brows"] == 10
