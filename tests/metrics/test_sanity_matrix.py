"""Known perturbations move exactly the metrics that they should, and by as much as they should."""

from pathlib import Path

import pytest

import metrics.sanity
from metrics.registry import METRICS
from metrics.sanity import PERTURBATIONS, as_markdown, has_moved, rows, sanity_matrix

LIP_PLACE = {
    *(
        "lip_vertex_error_mm",
        "lve_squared_m2",
        "lve_codetalker_biwi",
        "lve_streamingtalker_m2",
        "lve_imitator_mm",
        "lve_artalk_mm",
    ),
    *("lip_mean_vertex_error_mm", "mean_vertex_error_mm", "mhd_artalk_mm", "fve_memorytalker_m2"),
}
UPPER_PLACE = {"upper_face_vertex_error_mm", "upper_face_mean_vertex_error_mm"}
OPENING = {"mouth_opening_deviation_mm", "mod_streamingtalker_m"}
CLOSURES = {"lip_closure_f1", "lip_closure_recall", "lip_closure_timing_ms"}
SPEED = {"lip_speed_error_mm_per_s", "lvd_talkshow_m"}
FDD = {"fdd_signed_m2", "fdd_codetalker_biwi", "fdd_norm_signed_mm"}
FDD_OF_A_CLIP = {"fdd_absolute_m2", "fdd_artalk"}
BEATS = {"beat_consistency", "beat_alignment"}
STYLE = {"style_statistics_distance", "style_embedding_distance"}
RICHNESS = {
    *("expression_richness", "expression_richness_ratio", "expression_dispersion", "expression_dispersion_ratio"),
    "expression_diversity_adamesh",
}
POSE_AMOUNT = {
    *(
        "pose_diversity_within_deg",
        "pose_deviation_within_deg",
        "pose_deviation_ratio",
        "pose_range_deg",
        "pose_speed_deg_per_s",
    ),
    *("pose_diversity_adamesh", "pose_lsd_adamesh"),
}
ALL_OF_EXPRESSION = (
    LIP_PLACE
    | UPPER_PLACE
    | OPENING
    | SPEED
    | {"lve_demeaned_mm", "lip_dtw_mm", "lip_jerk_error_m_per_s3", "coefficient_error_sd", "frechet_expression"}
)

EXPECTED = {
    "truth": set(),
    # In place only: neither shape, opening, speed nor closures.
    "lips 1 mm aside": LIP_PLACE | {"lip_dtw_mm"},
    # Time only: warping, amounts of motion and styles do not see it; windows do.
    "3 frames late": LIP_PLACE
    | UPPER_PLACE
    | OPENING
    | CLOSURES
    | SPEED
    | BEATS
    | {"lve_demeaned_mm", "coefficient_error_sd", "head_speed_error_deg_per_s", "frechet_expression", "frechet_pose"},
    "frozen head": POSE_AMOUNT | BEATS | {"head_speed_error_deg_per_s", "head_jerk_ratio", "frechet_pose"},
    "doubled expression": ALL_OF_EXPRESSION | FDD | FDD_OF_A_CLIP | RICHNESS | STYLE | {"lip_jerk_ratio"},
    # Clips of the set exchanged: what pools or sums over clips is blind to it, also the signed deviation.
    "swapped clips": (ALL_OF_EXPRESSION - {"frechet_expression"})
    | CLOSURES
    | FDD_OF_A_CLIP
    | STYLE
    | BEATS
    | {"head_speed_error_deg_per_s"},
    "jitter": ALL_OF_EXPRESSION
    | FDD
    | FDD_OF_A_CLIP
    | RICHNESS
    | STYLE
    | POSE_AMOUNT
    | BEATS
    | {"lip_jerk_ratio", "head_jerk_ratio", "head_speed_error_deg_per_s", "frechet_pose"},
}


@pytest.fixture(scope="module")
def matrix():
    return sanity_matrix()


@pytest.mark.parametrize("column", PERTURBATIONS)
def test_a_perturbation_moves_what_it_should_and_nothing_else(column, matrix):
    moved = {name for name, row in matrix.items() if has_moved(row, column)}
    # Closures at this little noise are as good as the truth's; whether one moves by a frame is not asked.
    free = CLOSURES if column == "jitter" else set()
    assert moved - EXPECTED[column] - free == set(), "moved, and should not"
    assert EXPECTED[column] - moved == set(), "should have moved"


def test_truth_against_itself_is_perfect(matrix):
    best = {"lower": 0.0, "zero": 0.0, "higher": 1.0, "one": 1.0}
    for info in rows():
        if info.best in best:
            assert matrix[info.name]["truth"] == pytest.approx(best[info.best], abs=1e-9), info.name


def test_known_perturbations_have_known_sizes(matrix):
    assert matrix["lip_vertex_error_mm"]["lips 1 mm aside"] == pytest.approx(1)
    assert matrix["lve_squared_m2"]["lips 1 mm aside"] == pytest.approx(1e-6)
    assert matrix["lip_dtw_mm"]["lips 1 mm aside"] == pytest.approx(1)
    assert matrix["expression_dispersion_ratio"]["doubled expression"] == pytest.approx(2)
    assert matrix["lip_jerk_ratio"]["doubled expression"] == pytest.approx(2)
    assert matrix["pose_deviation_ratio"]["frozen head"] == pytest.approx(0, abs=1e-9)
    assert 80 <= matrix["lip_closure_timing_ms"]["3 frames late"] <= 120
    assert matrix["lip_closure_recall"]["3 frames late"] < 0.5
    assert matrix["beat_consistency"]["3 frames late"] < 0.7 * matrix["beat_consistency"]["truth"]
    assert matrix["head_jerk_ratio"]["jitter"] > 2
    assert matrix["pose_diversity_adamesh"]["frozen head"] > 0, "the pooled number calls frozen heads lively"


def test_the_readme_shows_the_matrix_and_every_row_of_the_registry_line_by_line(matrix):
    lines = Path(metrics.sanity.__file__).with_name("README.md").read_text().splitlines()
    rows_of_the_registry = [
        f"| `{info.name}` | {info.unit} | {info.vertices} | {info.average} | {info.best} | {info.source} |"
        for info in METRICS.values()
    ]
    for line in (*as_markdown(matrix).splitlines(), *rows_of_the_registry):
        assert line in lines, f"{line} is not in metrics/README.md; python -m metrics.sanity prints the matrix"
