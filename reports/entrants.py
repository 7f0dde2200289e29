"""What is compared: scored runs and motion folders, read from disk and put together where only the seed differs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from reports.errors import ReportError
from reports.score_files import read_scores
from runtime.metrics_log import read_metrics
from runtime.run_folder import VOLATILE, existing_run, flatten
from runtime.sweeps.folder import FINISHED, existing_sweep
from runtime.sweeps.results import results

# Two runs that differ in nothing else are two draws of one method.
SEED_KEYS = ("run.seed", "data.seed", "run.label")
LONGEST_NAME = 60


@dataclass(frozen=True)
class Entrant:
    """A scored run, or a folder of motion files (then without settings, starts and curves)."""

    folder: Path
    scores: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    starts: list[dict[str, Any]] = field(default_factory=list)
    pose_codes: str = ""  # fingerprint of the VQ-VAE whose codes a PoseGPT predicts

    @property
    def name(self) -> str:
        return self.scores["run"]

    @property
    def seed(self) -> str:
        return str(self.settings.get("run.seed", ""))

    @cached_property
    def curves(self) -> list[dict[str, Any]]:
        return read_metrics(self.folder / "metrics.jsonl")

    def videos(self) -> dict[str, Path]:
        """Clip key -> the newest rendered video of it."""
        return {file.parent.name: file for file in sorted((self.folder / "media").glob("step-*/*/*.mp4"))}


@dataclass(frozen=True)
class Method:
    """Runs that differ in their seed alone, under the name that the report shows."""

    name: str
    entrants: list[Entrant]

    @property
    def settings(self) -> dict[str, Any]:
        return self.entrants[0].settings


def find_folders(paths: list[Path]) -> list[Path]:
    """The given folders, with the finished trials in place of a sweep's folder, each once."""
    folders: list[Path] = []
    for path in paths:
        if (path / "sweep.yaml").is_file():
            trials = [
                t for t in results(existing_sweep(str(path)))["trials"] if t["status"] == FINISHED and t["folder"]
            ]
            if not trials:
                raise ReportError(f"{path} has no finished trial to compare; run its sweep.py command again")
            folders += [Path(trial["folder"]) for trial in trials]
        elif path.is_dir():
            folders.append(path)
        else:
            raise ReportError(
                f"{path} is not a folder; give run folders, folders of scored motions or a sweep's folder"
            )
    unique = {folder.resolve(): folder for folder in folders}
    return list(unique.values())


def read_entrant(folder: Path, split: str) -> Entrant:
    """Raises ReportError where the folder was not scored on `split`, RunError where its record is damaged."""
    scores = read_scores(folder, split)
    if not (folder / "config.yaml").is_file():
        return Entrant(folder, scores)
    run = existing_run(folder)
    settings = {k: v for k, v in flatten(run.config).items() if not _is_volatile(k)}
    pose_codes = run.data.get("pose_vqvae", {}).get("fingerprint", "")
    return Entrant(folder, scores, _with_one_seed(settings), _starts(folder / "environment.json"), pose_codes)


def _with_one_seed(settings: dict[str, Any]) -> dict[str, Any]:
    """Without what only follows `run.seed`: seeds of parts, and the number in paths such as `priors/seed-3`."""
    own = f"seed-{settings.get('run.seed')}"
    return {
        key: value.replace(own, "seed-*") if isinstance(value, str) else value
        for key, value in settings.items()
        if key == "run.seed" or not key.endswith(".seed")
    }


def group_by_settings(entrants: list[Entrant]) -> list[Method]:
    """Methods in the order of their first entrant, named by experiment and by what sets them apart.

    Where nothing but the seed differs at all, the seeds are what is compared.
    """
    groups: dict[str, list[Entrant]] = {}
    for entrant in entrants:
        kept = {k: v for k, v in entrant.settings.items() if k not in SEED_KEYS}
        # The folder tells motion files apart, whose settings nobody knows.
        identity = json.dumps(kept, sort_keys=True, default=str) if kept else str(entrant.folder.resolve())
        groups.setdefault(identity, []).append(entrant)
    members = list(groups.values())
    if len(members) == 1 and len(entrants) > 1:
        members = [[entrant] for entrant in entrants]
    differing = differing_settings([group[0].settings for group in members if group[0].settings]) or [SEED_KEYS[0]]
    return [Method(name, group) for name, group in zip(_names(members, differing), members, strict=True)]


def differing_settings(settings: list[dict[str, Any]]) -> list[str]:
    """Keys that do not have the same value everywhere, seeds left out."""
    keys = sorted({key for each in settings for key in each} - set(SEED_KEYS))
    return [key for key in keys if any(each.get(key) != settings[0].get(key) for each in settings)]


def _names(groups: list[list[Entrant]], differing: list[str]) -> list[str]:
    """A name for each group that no other has, nor any method that score.py put beside the model: as much of the folder's path as that takes."""
    columns = {_alike(method) for group in groups for entrant in group for method in entrant.scores["scores"]}
    choices = [_choices_of_name(group[0], differing) for group in groups]
    level = [0] * len(groups)
    while True:
        names = [choice[at] for choice, at in zip(choices, level, strict=True)]
        alike = [_alike(name) for name in names]
        clash = [
            i
            for i, name in enumerate(alike)
            if (alike.count(name) > 1 or name in columns) and level[i] + 1 < len(choices[i])
        ]
        if not clash:
            return names
        for i in clash:
            level[i] += 1


def _choices_of_name(entrant: Entrant, differing: list[str]) -> list[str]:
    """What sets it apart where that is short, the experiment, the run's name, then its folder with ever more of the path in front."""
    settings = entrant.settings
    experiment = str(settings.get("run.name", entrant.name))
    parts = [experiment]
    parts += [f"{key.rsplit('.', 1)[-1]}={settings[key]}" for key in differing if key != "run.name" and key in settings]
    title, folder = " ".join(parts), entrant.folder.resolve().parts
    paths = [str(Path(*folder[-count:])) for count in range(1, len(folder) + 1)]
    return [*([title] if len(title) <= LONGEST_NAME else []), experiment, entrant.name, *paths]


def _alike(name: str) -> str:
    """Equal for names that a reader would take for one: the page writes underscores as spaces."""
    return name.replace("_", " ").casefold()


def _starts(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ReportError(
            f"{path} is damaged ({error}); remove it, and the report will say that the command is not known"
        ) from error


def _is_volatile(key: str) -> bool:
    return any(key == volatile or key.startswith(f"{volatile}.") for volatile in VOLATILE)
