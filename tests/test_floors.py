"""The house stands: imports go down a floor, and special libraries are imported only where the architecture says."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
VERBS = {"prepare", "train", "sweep", "score", "animate", "compare", "adapt"}
MAY_IMPORT = {
    "faces": set(),
    "speech": set(),
    "networks": {"faces", "speech"},
    "losses": {"faces", "speech"},
    "metrics": {"faces"},
    "corpora": {"faces", "speech"},
    "runtime": set(),
    "datamodules": {"corpora", "faces", "speech", "runtime"},
    "lightning_modules": {"networks", "losses", "metrics", "faces", "speech"},
    "callbacks": {"networks", "metrics", "faces", "speech", "runtime"},
    "personas": {"callbacks", "datamodules", "networks", "faces", "speech", "runtime"},
    "reports": {"networks", "metrics", "faces", "runtime"},
}
LIGHTNING_ROOMS = {"lightning_modules", "callbacks", "datamodules", "runtime"}


@functools.cache
def imported_names(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return names


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    rooms = set(MAY_IMPORT) | VERBS
    for file in files_of(room):
        used = {name.split(".")[0] for name in imported_names(file)} & rooms
        forbidden = used - MAY_IMPORT[room] - {room}
        assert not forbidden, f"{file.relative_to(ROOT)} imports {sorted(forbidden)}"


@pytest.mark.parametrize("room", sorted(set(MAY_IMPORT) - LIGHTNING_ROOMS))
def test_plain_rooms_do_not_know_lightning(room: str) -> None:
    for file in files_of(room):
        assert not any(name.startswith(("pytorch_lightning", "lightning")) for name in imported_names(file)), file


def test_lightning_is_never_imported_under_its_other_name() -> None:
    for room in MAY_IMPORT:
        for file in files_of(room):
            assert not any(name.split(".")[0] == "lightning" for name in imported_names(file)), file


def test_only_runtime_touches_wandb() -> None:
    for room in set(MAY_IMPORT) - {"runtime"}:
        for file in files_of(room):
            assert "wandb" not in {name.split(".")[0] for name in imported_names(file)}, file


def test_experiments_hold_yaml_only_and_say_what_they_ask() -> None:
    for file in (ROOT / "experiments").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert file.suffix == ".yaml", f"{file.relative_to(ROOT)} is not YAML"
            assert file.read_text().startswith("#"), (
                f"{file.relative_to(ROOT)} does not begin with a comment that says what it is for"
            )
