from types import SimpleNamespace

import torch

from callbacks.step_seeding import StepSeeding


def draw(seed: int, step: int, rank: int) -> float:
    trainer = SimpleNamespace(fit_loop=SimpleNamespace(total_batch_idx=step), global_rank=rank)
    StepSeeding(seed).on_train_batch_start(trainer, None, None, 0)  # type: ignore[arg-type]
    return float(torch.rand(()))


def test_a_step_draws_the_same_after_any_history() -> None:
    first = draw(1, 7, 0)
    torch.rand(1000)
    assert draw(1, 7, 0) == first


def test_seeds_steps_and_ranks_draw_differently() -> None:
    drawn = {draw(1, 7, 0), draw(2, 7, 0), draw(1, 8, 0), draw(1, 7, 1)}
    assert len(drawn) == 4
