"""W&B as a view of a run that can be slow, wrong, hanging or absent without training noticing; `metrics.jsonl` is the record."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only

from runtime.run_folder import RunFolder, flatten
from runtime.wandb_feed import WandbFeed
from runtime.wandb_session import RunDescription, WandbSession

QUEUE_ROWS = 10_000


class WandbView(Logger):
    """Lightning logger that shows a run in W&B. Only global rank 0 starts a thread and imports the package; no method raises or waits."""

    def __init__(self, description: RunDescription) -> None:
        super().__init__()
        self.description = description
        self._feed = WandbFeed(WandbSession(description), QUEUE_ROWS)

    @property
    def name(self) -> str:
        return self.description.project

    @property
    def version(self) -> str:
        return self.description.run_id

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = {name: value for name, value in metrics.items() if name != "epoch"}
        self._feed.offer(lambda session: session.log(row, int(step or 0)))

    @rank_zero_only
    def log_video(self, key: str, path: Path, step: int, caption: str = "") -> None:
        """Show a finished video file; the file stays where it is and W&B keeps a copy."""
        self._feed.offer(lambda session: session.log_video(key, path, step, caption))

    @rank_zero_only
    def log_image(self, key: str, path: Path, step: int, caption: str = "") -> None:
        """Show a finished picture, as `log_video`."""
        self._feed.offer(lambda session: session.log_image(key, path, step, caption))

    @rank_zero_only
    def log_metric_metadata(self, metadata: Mapping[str, Mapping[str, str]]) -> None:
        """Show what each logged number means, one line of the configuration a metric: `metric/val/<name>`."""
        told = described_metrics(metadata)
        self._feed.offer(lambda session: session.add_to_config(told))

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: W&B gets the run's resolved configuration when the run is opened."""

    @rank_zero_only
    def save(self) -> None:
        """Lightning calls this when training begins: a run that never logs is shown too."""
        self._feed.start()

    @rank_zero_only
    def close(self, exit_code: int = 0) -> None:
        """End the W&B run; `exit_code` is the process's (143: preempted, will go on). Waits at most `description.timeout_s`."""
        self._feed.close(exit_code)


def described_metrics(metadata: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Lines of the configuration, `metric/<logged name>`: what each logged number means."""
    return {f"metric/{name}": ", ".join(f"{key} {value}" for key, value in of.items()) for name, of in metadata.items()}


def describe(run: RunFolder) -> RunDescription:
    """What W&B is told of a run. `WANDB_RUN_ID`, which a sweep agent sets, goes before the run's own id; starts after the first count as resumes.

    Without `logger.group` an adaptation's group is the person whom it is to, that of other runs the experiment.
    """
    settings, starts = run.config.logger, run.path / "environment.json"
    choices = tuple(f"{group}:{option}" for group, option in _choices(run).items())
    return RunDescription(
        run_id=os.environ.get("WANDB_RUN_ID") or run.run_id,
        folder=run.path.resolve(),
        project=settings.project,
        mode=settings.mode,
        entity=settings.entity,
        group=settings.group or run.data.get("person") or run.config.run.name,
        tags=(*(str(tag) for tag in settings.tags), *choices),
        config=shown_config(run),
        resume_count=max(len(json.loads(starts.read_text())) - 1, 0) if starts.exists() else 0,
        timeout_s=settings.timeout_s,
    )


def shown_config(run: RunFolder) -> dict[str, Any]:
    """The configuration as W&B shows it: every leaf under `a/b`, the facts of the data under `data/`, the config groups' options under `choice/`.

    Slashes, because W&B reads a dot as a step into a nested value and then finds nothing to group by.
    """
    facts = {"data": run.data, "choice": _choices(run), "run_hash": run.run_id.rsplit("-", 1)[-1]}
    return {key.replace(".", "/"): value for key, value in (flatten(run.config) | flatten(facts)).items()}


def _choices(run: RunFolder) -> dict[str, str]:
    return dict(run.config.logger.get("choices") or {})  # absent in runs older than the key
