import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from runtime.compose import EXPERIMENTS, ConfigError, compose, experiment_names

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("experiment", experiment_names())
def test_every_shipped_experiment_composes(experiment: str) -> None:
    config = compose(experiment)
    assert config.run.name == experiment


def test_all_mistakes_of_a_command_are_told_in_one_message() -> None:
    with pytest.raises(ConfigError) as error:
        compose(
            "expression_pretraining", ["trainer.max_step=3", "data.globl_batch=4", "trainer.devices=two", "net=tiny"]
        )
    message = str(error.value)
    assert "did you mean 'trainer.max_steps'" in message
    assert "did you mean 'data.global_batch'" in message
    assert "trainer.devices='two'" in message and "a whole number" in message
    assert "net=tiny" in message and "small" in message


def test_a_wrong_type_is_refused_and_a_whole_number_passes_for_a_number() -> None:
    with pytest.raises(ConfigError, match=r"trainer.gradient_clip='high' is text; expected a number"):
        compose("expression_pretraining", ["trainer.gradient_clip=high"])
    assert compose("expression_pretraining", ["data.root=d", "trainer.gradient_clip=2"]).trainer.gradient_clip == 2


def test_an_unknown_experiment_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="did you mean 'expression_pretraining'"):
        compose("expresion_pretraining")


def test_keys_cannot_be_added_or_deleted() -> None:
    with pytest.raises(ConfigError, match="set, not added"):
        compose("expression_pretraining", ["+run.extra=1"])


def test_text_without_an_equals_sign_is_explained() -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        compose("expression_pretraining", ["max_steps"])


def test_a_tree_is_composed_anew_when_a_file_of_it_changes_and_nobody_changes_anothers_configuration(
    tmp_path: Path,
) -> None:
    root = Path(shutil.copytree(EXPERIMENTS, tmp_path / "experiments"))
    first, second = (compose("expression_pretraining", ["trainer.max_steps=3"], root) for _ in range(2))
    assert first == second == compose("expression_pretraining", ["trainer.max_steps=3"]) and first is not second
    OmegaConf.set_readonly(first, False)
    first.net.width = first.trainer.max_steps = 7
    assert compose("expression_pretraining", ["trainer.max_steps=3"], root) == second
    small = root / "net" / "small.yaml"
    small.write_text(small.read_text().replace("width: 128", "width: 64"))
    assert compose("expression_pretraining", root=root).net.width == 64


def test_two_typos_end_the_command_before_torch_is_imported() -> None:
    code = (
        "import sys, train\n"
        "code = train.main(['expression_pretraining', 'trainer.max_step=3', 'data.worker=1'])\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert "trainer.max_step" in done.stderr and "data.worker" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
