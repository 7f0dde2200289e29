"""Reading a trial's `metrics.jsonl` while it is written."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.sweeps.definition import Metric


@dataclass
class MetricsTail:
    """Follows one file; `update` reads what was added since. A resumed run replaces the file: then it is read anew."""

    path: Path
    metric: Metric
    step: int = 0
    validations: list[dict[str, Any]] = field(default_factory=list)
    _position: int = 0
    _file: int = 0
    _rate_from: tuple[int, float] | None = None
    _newest: tuple[int, float] = (0, 0.0)

    def update(self) -> None:
        try:
            with self.path.open("rb") as handle:
                self._start_again_if_replaced(handle)
                handle.seek(self._position)
                added = handle.read()
        except FileNotFoundError:
            return
        whole = added[: added.rfind(b"\n") + 1]  # the last line may still be being written
        self._position += len(whole)
        for line in whole.splitlines():
            self._take(line)

    @property
    def steps_per_s(self) -> float | None:
        """Over the lines that were written while this object watched; None before there are two."""
        if self._rate_from is None or self._newest[0] <= self._rate_from[0]:
            return None
        return (self._newest[0] - self._rate_from[0]) / max(self._newest[1] - self._rate_from[1], 1e-3)

    @property
    def last(self) -> float | None:
        return self.validations[-1][self.metric.name] if self.validations else None

    @property
    def chosen(self) -> dict[str, Any] | None:
        """The logged line that counts: the best validation, or the last one. None where the metric was never logged as a number."""
        if not self.validations or self.metric.at == "last":
            return self.validations[-1] if self.validations else None
        chosen = self.validations[0]
        for line in self.validations[1:]:
            if self.metric.better(line[self.metric.name], chosen[self.metric.name]):
                chosen = line
        return chosen

    def _start_again_if_replaced(self, handle: Any) -> None:
        status = os.fstat(handle.fileno())
        if status.st_ino != self._file or status.st_size < self._position:
            self._position, self._file, self._rate_from = 0, status.st_ino, None
            self.step, self.validations = 0, []

    def _take(self, text: bytes) -> None:
        try:
            line = json.loads(text)
            step, time = int(line["step"]), float(line.get("time", 0.0))
        except (ValueError, KeyError, TypeError):
            return
        self.step = max(self.step, step)
        self._newest = (step, time)
        if self._rate_from is None:
            self._rate_from = self._newest
        if isinstance(line.get(self.metric.name), int | float):
            self.validations.append(line)


def read_chosen(run_folder: Path, metric: Metric) -> dict[str, Any] | None:
    """The line of a run's record that counts for `metric`; see `MetricsTail.chosen`."""
    tail = MetricsTail(run_folder / "metrics.jsonl", metric)
    tail.update()
    return tail.chosen
