import json
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from runtime.run_folder import RunError, existing_run, identity, open_run, write_atomically

FACTS = {"fingerprint": "abc", "space": "arkit"}


def config(root: Path, **changes: object) -> DictConfig:
    values: dict = {
        "run": {"name": "toy", "seed": 1, "label": "", "root": str(root), "folder": ""},
        "trainer": {"max_steps": 10, "devices": 1, "accelerator": "cpu"},
        "data": {"root": "d", "workers": 0},
        "logger": {"mode": "none"},
    }
    merged = OmegaConf.create(values)
    for key, value in changes.items():
        OmegaConf.update(merged, key.replace("__", "."), value)
    return merged


def test_devices_workers_paths_and_logging_do_not_change_the_identity(tmp_path: Path) -> None:
    base = identity(config(tmp_path), "abc")
    same = config(tmp_path / "elsewhere", trainer__devices=4, data__workers=3, data__root="e", logger__mode="online")
    assert identity(same, "abc") == base


@pytest.mark.parametrize("change", [{"run__seed": 2}, {"trainer__max_steps": 11}, {"run__label": "b"}])
def test_what_matters_changes_the_identity(tmp_path: Path, change: dict) -> None:
    assert identity(config(tmp_path, **change), "abc") != identity(config(tmp_path), "abc")


CHOOSES = {"trainer__val_every_steps": 5, "callbacks__early_stopping__patience": 9, "checkpoint__monitor": "val/other"}


@pytest.mark.parametrize("change", [{key: value} for key, value in CHOOSES.items()])
def test_what_chooses_the_kept_step_counts_for_an_adaptation_alone(tmp_path: Path, change: dict) -> None:
    plain, base = config(tmp_path), {"base": {"run": "b", "checkpoint": "best"}}
    assert identity(config(tmp_path, **change), "abc") == identity(plain, "abc")
    assert identity(config(tmp_path, **base, **change), "abc") != identity(config(tmp_path, **base), "abc")


def test_an_adaptation_is_not_known_by_the_place_of_its_base_and_records_it_absolute(tmp_path: Path) -> None:
    one, other = (
        config(tmp_path, base={"run": run, "checkpoint": which}) for run, which in (("b", "best"), ("c", "6"))
    )
    assert identity(one, "abc") == identity(other, "abc")
    assert existing_run(open_run(one, FACTS).path).config.base.run == str(Path("b").resolve())


def test_other_data_is_another_run(tmp_path: Path) -> None:
    assert identity(config(tmp_path), "abc") != identity(config(tmp_path), "abd")


def test_the_same_configuration_opens_the_same_folder_again(tmp_path: Path) -> None:
    first = open_run(config(tmp_path), FACTS)
    again = open_run(config(tmp_path, trainer__devices=2), FACTS)
    assert first.path == again.path and first.run_id == again.run_id
    assert existing_run(first.path).config.trainer.devices == 1


def test_a_folder_with_another_run_is_refused_with_the_difference(tmp_path: Path) -> None:
    folder = str(tmp_path / "mine")
    open_run(config(tmp_path, run__folder=folder), FACTS)
    with pytest.raises(RunError, match=r"run.seed: 1 -> 2"):
        open_run(config(tmp_path, run__folder=folder, run__seed=2), FACTS)


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("words")
    with pytest.raises(RunError, match="not a run folder"):
        open_run(config(tmp_path, run__folder=str(tmp_path / "thesis")), FACTS)


def test_fresh_moves_the_old_run_aside_and_loses_nothing(tmp_path: Path) -> None:
    first = open_run(config(tmp_path), FACTS)
    first.metrics_file.write_text("{}\n")
    again = open_run(config(tmp_path), FACTS, fresh=True)
    assert again.path == first.path and not again.metrics_file.exists()
    assert (first.path.with_name(first.path.name + ".old-1") / "metrics.jsonl").exists()


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        existing_run(tmp_path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_atomically(file, json.dumps(1))
    with pytest.raises(TypeError):
        write_atomically(file, None)  # type: ignore[arg-type]
    assert file.read_text() == "1" and list(tmp_path.iterdir()) == [file]
