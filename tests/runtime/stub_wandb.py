"""A stand-in for the wandb package that can be slow, raise or hang, and remembers what it was told."""

from __future__ import annotations

import sys
import threading
import types
from typing import Any

import pytest


class StubWandb(types.ModuleType):
    """`misbehave` maps a call (`init`, `log`, `finish`, ...) to what it does first, for example raising."""

    def __init__(self, **misbehave: Any) -> None:
        super().__init__("wandb")
        self.misbehave = misbehave
        self.rows: list[dict[str, Any]] = []
        self.opened: list[dict[str, Any]] = []
        self.config = StubConfig()
        self.calls: list[tuple[str, str]] = []  # what was called, in which thread

    def install(self, monkeypatch: pytest.MonkeyPatch) -> StubWandb:
        monkeypatch.setitem(sys.modules, "wandb", self)
        return self

    def Settings(self, **settings: Any) -> dict[str, Any]:
        return settings

    def Video(self, path: str, **kwargs: Any) -> str:
        return f"video {path}"

    def setup(self, settings: Any) -> None:
        self._called("setup")

    def init(self, **arguments: Any) -> StubWandb:
        self._called("init", arguments)
        self.opened.append(arguments)
        return self

    def define_metric(self, *arguments: Any, **kwargs: Any) -> None:
        self._called("define_metric")

    def log(self, row: dict[str, Any]) -> None:
        self._called("log", row)
        self.rows.append(row)

    def mark_preempting(self) -> None:
        self._called("mark_preempting")

    def finish(self, exit_code: int = 0) -> None:
        self._called("finish")

    def teardown(self) -> None:
        self._called("teardown")

    def _called(self, name: str, argument: Any = None) -> None:
        self.calls.append((name, threading.current_thread().name))
        if name in self.misbehave:
            self.misbehave[name](argument)


class StubConfig(dict):
    def update(self, values: dict[str, Any], allow_val_change: bool = False) -> None:  # type: ignore[override]
        assert allow_val_change or not set(values) & set(self), "the package refuses changed values"
        super().update(values)


def hang(_: Any) -> None:
    threading.Event().wait()


def fail(_: Any) -> None:
    raise ConnectionError("the service is down")
