"""The ablations of adaptation: each level composes, and what is reported is over people."""

from pathlib import Path

import pytest

from benchmarks.network_speed import SIZES
from networks.expression_adapter import ExpressionAdapter
from networks.speech_front_end import build_front_end
from networks.weight_adapters import attach, remove, report
from runtime.compose import EXPERIMENTS, compose
from runtime.instantiate import build
from runtime.sweeps.reading import read_sweep
from runtime.sweeps.trials import make_trials

FILES = sorted((EXPERIMENTS / "sweeps").glob("adaptation_*.yaml"))
FEW_PEOPLE = ("adaptation_real", "adaptation_learning_rate")  # few are recorded; a choice of settings is no result


def test_there_are_ablations_and_their_intervals_are_over_people() -> None:
    assert len(FILES) >= 8
    for file in FILES:
        sweep = read_sweep(file, [])
        people = next(axis for axis in sweep.axes if axis.name == "data.person")
        assert len(people.levels) >= (3 if file.stem in FEW_PEOPLE else 8), file.stem
        assert sweep.report.over == "data.person" or "data.person" in sweep.report.rows, file.stem


def changes_of(file: Path) -> dict[str, tuple[str, ...]]:
    """Label -> the overrides of each level that say how the network is changed."""
    levels = [level for axis in read_sweep(file, []).axes for level in axis.levels]
    chosen = {level.label: tuple(o for o in level.overrides if o.startswith("adapter")) for level in levels}
    return {label: found for label, found in chosen.items() if found and not found[0].startswith("adapter.lr=")}


@pytest.fixture(scope="module")
def small_net() -> ExpressionAdapter:
    return ExpressionAdapter(build_front_end("logmel", SIZES["small"]["width"]), num_identity=10, **SIZES["small"])


def trained_values(net: ExpressionAdapter, overrides: tuple[str, ...]) -> int:
    spec = compose("molora_adaptation", ["base.run=RUN", *overrides]).adapter.spec
    if not spec:
        return 0
    attach(net, build(spec)(net), "person")
    values = report(net, "person").trained
    remove(net, "person")
    return values


@pytest.mark.slow
def test_every_method_and_every_level_of_the_ablations_attaches_to_the_small_network(
    small_net: ExpressionAdapter,
) -> None:
    methods = {f"adapter={file.stem}" for file in (EXPERIMENTS / "adapter").glob("*.yaml")}
    changes = {(method,) for method in methods} | {found for file in FILES for found in changes_of(file).values()}
    assert len(methods) == 10 and len(changes) >= 30
    for overrides in sorted(changes):
        assert (trained_values(small_net, overrides) > 0) == (overrides != ("adapter=none",)), overrides


def test_single_ranks_at_the_mixtures_budget_are_at_it(small_net: ExpressionAdapter) -> None:
    found = changes_of(EXPERIMENTS / "sweeps" / "adaptation_single_rank.yaml")
    budget = trained_values(small_net, found.pop("4 + 8 + 16"))
    assert budget == 222_208
    for label, overrides in found.items():
        values = trained_values(small_net, overrides)
        if "(" in label:  # a label says how many where they are fewer
            assert f"({values:,})" in label and values < 0.75 * budget
        else:
            assert 0.975 * budget < values < 1.025 * budget, (label, values)
    assert {"8, feed-forward and convolutions", "28"} <= set(found)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_level_of_an_ablation_composes(file: Path) -> None:
    sweep = read_sweep(file, [])
    first = {axis.name: axis.levels[0] for axis in sweep.axes}
    wanted = [("first", first, 1)]
    wanted += [
        (f"{axis.name} {level.label}", first | {axis.name: level}, 1)
        for axis in sweep.axes
        if axis.name != "data.person"
        for level in axis.levels[1:]
    ]
    trials = make_trials(sweep, wanted)
    assert len({trial.identity for trial in trials}) == len(wanted) > 1


def test_results_are_told_against_the_same_people_before_adaptation() -> None:
    for file in FILES:
        if file.stem != "adaptation_learning_rate":
            assert read_sweep(file, []).report.against == "test/lip_vertex_error_mm_before", file.stem
