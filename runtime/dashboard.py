"""A ready W&B workspace: ablation table, lip vertex error, codebook, rendered videos, throughput.

    python -m runtime.dashboard ENTITY/PROJECT [RUN ...]

Given run folders, runs are grouped by the configuration keys in which those differ (the seed apart, so seeds are averaged); else by group.
Needs the network, a W&B key and the extra `dashboard`; docs/WANDB.md lists the panels for building them by hand.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime.run_folder import RunError, existing_run
from runtime.wandb_session import RESUME_COUNT, STEP, first_line
from runtime.wandb_view import shown_config

NAME = "Persona faces"
LIPS = "val/lip_vertex_error_mm"
VIDEO = "media/prediction_beside_truth"

# section: {panel title: metrics drawn over the global step}
CURVES: dict[str, dict[str, list[str]]] = {
    "Lip vertex error": {
        "Lip vertex error, validation (mm)": [LIPS, "val/lip_vertex_error_mean_face_mm"],
        "Lip vertex error, training (mm)": ["train/loss_lip_vertex"],
        "Loss": ["train/loss", "val/loss"],
        "Expression richness (1 = as people)": ["val/expression_richness_ratio"],
    },
    "Codebook": {
        "Code usage (share of codes in use)": ["val/code_usage"],
        "Code perplexity": ["val/code_perplexity"],
    },
    "Throughput": {
        "Samples per second": ["perf/samples_per_s"],
        "Share of time waiting for data": ["perf/data_wait_fraction"],
        "Resumes so far": [RESUME_COUNT],
    },
}

# Where and how often a run was made, not what it is.
NOT_ABLATED = ("run/", "run_hash", "logger/", "checkpoint/", "callbacks/", "data/root", "data/workers")


def differing_keys(configs: Sequence[dict[str, Any]]) -> list[str]:
    """Keys of W&B configurations (`shown_config`) to group by: the config groups whose option differs, then the keys that differ among runs
    with the same options. Seeds, labels and logging are left out, so that repetitions fall into one group."""
    choices = [key for key in _varying(configs) if key.startswith("choice/")]
    classes: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for config in configs:
        classes.setdefault(tuple(config.get(choice) for choice in choices), []).append(config)
    return choices + sorted(set().union(*map(_varying, classes.values())))


def _varying(configs: Sequence[dict[str, Any]]) -> list[str]:
    keys = sorted(key for key in set().union(*configs) if not key.startswith(NOT_ABLATED))
    return [key for key in keys if any(config.get(key) != configs[0].get(key) for config in configs)]


def build_workspace(entity: str, project: str, group_by: Sequence[str] = ()) -> Any:
    """A `wandb_workspaces` Workspace; `group_by` are configuration keys as `a/b`. Nothing is sent. Raises RunError without the package."""
    workspaces, reports, expressions = _packages()
    sections = [_ablation_section(workspaces, reports, group_by)]
    for title, panels in CURVES.items():
        lines = [reports.LinePlot(title=name, x=STEP, y=metrics) for name, metrics in panels.items()]
        sections.append(workspaces.Section(name=title, panels=lines, is_open=True))
    videos = reports.MediaBrowser(title="Prediction beside truth", media_keys=[VIDEO], gallery_axis="step")
    sections.insert(-1, workspaces.Section(name="Rendered videos", panels=[videos], is_open=True))
    keys = [expressions.Config(key) for key in group_by] or [expressions.Metric("Group")]
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis=STEP, group_by_prefix="first", max_runs=50),
        runset_settings=workspaces.RunsetSettings(
            groupby=keys,
            pinned_columns=[f"summary:{LIPS}"],
        ),
    )


def save_workspace(entity: str, project: str, group_by: Sequence[str] = ()) -> str:
    """Save the layout as a new view of a project; returns its address."""
    return build_workspace(entity, project, group_by).save_as_new_view().url


def _ablation_section(workspaces: Any, reports: Any, group_by: Sequence[str]) -> Any:
    panels = [reports.RunComparer(diff_only="split")]
    for key in group_by:
        panels.append(
            reports.BarPlot(
                title=f"Lip vertex error by {key} (mm, mean and deviation over runs)",
                metrics=[LIPS],
                groupby=reports.Config(key),
                groupby_aggfunc="mean",
                groupby_rangefunc="stddev",
            )
        )
    return workspaces.Section(name="Ablation table", panels=panels, is_open=True)


def _packages() -> tuple[Any, Any, Any]:
    try:
        import wandb_workspaces.expr as expressions
        import wandb_workspaces.reports.v2 as reports
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise RunError(
            f"the dashboard layout needs the package wandb-workspaces ({error}); install the extra: pip install '.[dashboard]'"
        ) from error
    return workspaces, reports, expressions


def main(arguments: list[str] | None = None) -> int:
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m runtime.dashboard", description=description)
    parser.add_argument("project", metavar="ENTITY/PROJECT", help="an existing W&B project")
    parser.add_argument(
        "runs", nargs="*", type=Path, help="run folders; W&B groups by the configuration keys in which they differ"
    )
    options = parser.parse_args(arguments)
    try:
        entity, _, project = options.project.partition("/")
        if not entity or not project:
            raise RunError(f"{options.project!r} is not a W&B project; expected ENTITY/PROJECT, as in its address")
        configs = [shown_config(existing_run(path)) for path in options.runs]
        print(save_workspace(entity, project, differing_keys(configs) if configs else ()))
    except ValueError as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001 - the package raises its own kinds for no key and no network
        print(f"dashboard: W&B did not take the layout ({first_line(error)}); nothing was changed", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
