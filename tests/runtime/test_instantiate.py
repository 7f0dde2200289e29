import pytest
import torch
from omegaconf import OmegaConf

from runtime.compose import ConfigError
from runtime.instantiate import accepted, build, check


def node(**values: object) -> object:
    return OmegaConf.create(values)


def test_a_target_outside_the_allowed_rooms_is_refused() -> None:
    with pytest.raises(ConfigError, match="may not be built"):
        build(node(_target_="os.system", command="true"))


def test_a_target_hidden_deeper_is_refused_too() -> None:
    inner = node(_target_="torch.optim.AdamW", _partial_=True, lr=node(_target_="builtins.eval"))
    with pytest.raises(ConfigError, match=r"lr: 'builtins.eval' may not"):
        build(inner)


def test_unknown_and_wrong_arguments_are_all_named() -> None:
    problems = check(node(_target_="callbacks.step_seeding.StepSeeding", sed=1, seed="one"), path="callbacks.seeding")
    assert any("callbacks.seeding.sed" in p and "did you mean 'seed'" in p for p in problems)
    assert any("callbacks.seeding.seed='one'" in p and "int" in p for p in problems)


def test_a_missing_argument_is_named_unless_it_is_given() -> None:
    with pytest.raises(ConfigError, match="seed is missing"):
        build(node(_target_="callbacks.step_seeding.StepSeeding"))
    assert build(node(_target_="callbacks.step_seeding.StepSeeding"), seed=3).seed == 3


def test_partial_nodes_become_factories() -> None:
    factory = build(node(_target_="torch.optim.AdamW", _partial_=True, lr=0.5))
    optimiser = factory([torch.nn.Parameter(torch.zeros(1))])
    assert optimiser.param_groups[0]["lr"] == 0.5


def test_only_offers_that_the_target_takes_and_does_not_set_are_accepted() -> None:
    target = node(_target_="callbacks.step_seeding.StepSeeding")
    assert accepted(target, {"seed": 1, "folder": "x"}) == {"seed": 1}
    assert accepted(node(_target_="callbacks.step_seeding.StepSeeding", seed=2), {"seed": 1}) == {}
