from pathlib import Path

import pytest
from made_up_flame import write_pickles

from faces import load_face_model
from faces.face_model import FaceModel
from faces.flame_conversion import convert_flame
from reports.face_hash import face_hash


@pytest.fixture(params=["procedural", "flame"])
def face(request: pytest.FixtureRequest, tmp_path: Path) -> FaceModel:
    if request.param == "procedural":
        return load_face_model("procedural")
    model, masks = write_pickles(tmp_path)
    convert_flame(model, masks, tmp_path / "flame.npz")
    return load_face_model("flame", tmp_path / "flame.npz")


def test_every_part_that_scores_are_measured_on_changes_the_hash_and_the_order_of_vertex_ids_does_not(
    face: FaceModel,
) -> None:
    seen = {face_hash(face)}
    shape = "neutral" if hasattr(face, "neutral") else "template"
    for name in (shape, "expression_basis"):
        getattr(face, name)[0, ..., 0] += 1e-6
        seen.add(face_hash(face))
    face.regions["lips"] = face.regions["lips"].flip(0)
    assert face_hash(face) in seen
    for name in ("lips", "upper_face"):
        face.regions[name] = face.regions[name][1:]
        seen.add(face_hash(face))
    assert len(seen) == 5 and all(len(each) == 12 for each in seen)


def test_noise_of_a_machine_and_other_people_are_no_other_face() -> None:
    face = load_face_model("procedural")
    known = face_hash(face)
    face.expression_basis[face.expression_basis == 0] = 1e-14
    face.identity_basis.mul_(2)
    assert face_hash(face) == known
