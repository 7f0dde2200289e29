"""adapt.py from the command to the persona."""

import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from adapt_commands import arguments, run_of
from safetensors.torch import load_file

import adapt
from callbacks.throughput import Throughput
from networks.persona import load_persona
from networks.weight_adapters import base_hash, deltas, switch
from personas.making import check_adapter
from runtime.assemble import load_module
from runtime.compose import compose
from runtime.exit_codes import INTERRUPTED
from runtime.metrics_log import read_metrics
from runtime.run_folder import existing_run


@pytest.fixture(scope="module")
def adapted(made_up_corpus: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapted")
    assert adapt.main(arguments(made_up_corpus, tiny_run, root)) == 0
    return root


def record_of(root: Path) -> dict:
    return json.loads((root / "persona" / "persona.json").read_text())


def test_a_persona_says_where_it_is_from_and_what_it_changed(adapted: Path, tiny_run: Path) -> None:
    record = record_of(adapted)
    assert sorted(file.name for file in (adapted / "persona").iterdir()) == [
        "adapter.safetensors", "identity.npz", "persona.json", "style.safetensors",
    ]  # fmt: skip
    assert record["base_hash"] == base_hash(load_module(existing_run(tiny_run))[0].net)
    assert record["reference"]["person"] == "theo" and record["seed"] == 1
    frames, used = record["reference"]["frames"], 25 * record["reference"]["seconds"]
    assert (
        90 < used <= 100
        and 70 < frames["train"] <= 80
        and 10 <= frames["val"] <= 20
        and record["adapter"]["ranks"] == [2]
    )
    saved = load_file(adapted / "persona" / "adapter.safetensors")
    assert record["adapter"]["trained_values"] == sum(tensor.numel() for tensor in saved.values()) > 0
    assert "fusion" in record["adapter"]["trained_layers"] and "left_out" in record["adapter"]
    assert set(record["scores"]) == {"held_out_tail", "other_clips"}
    for scores in record["scores"].values():
        methods = ("without_style", "before", "after", "reference_mean_face")
        assert set(scores) == {"clips", "frames", *methods}
        assert all(np.isfinite(list(scores[name].values())).all() for name in methods)
        assert scores["without_style"]["lip_vertex_error_mm"] != scores["before"]["lip_vertex_error_mm"]
    assert not [file for file in adapted.iterdir() if file.name.startswith(".")]


def test_the_best_step_is_the_one_of_the_lowest_loss_on_the_tail_and_the_base_counts(adapted: Path) -> None:
    record, rows = record_of(adapted), read_metrics(run_of(adapted) / "metrics.jsonl")
    losses = {(row["step"] + 1 if row["step"] else 0): row["val/loss"] for row in rows if "val/loss" in row}
    assert set(losses) == {0, 2, 4, 6}
    assert record["best_step"] == min(losses, key=losses.__getitem__)
    tail = record["scores"]["held_out_tail"]
    assert tail["after"]["loss"] == pytest.approx(min(losses.values()), rel=1e-5)
    assert tail["before"]["loss"] == pytest.approx(losses[0], rel=1e-5)


def test_where_every_step_makes_it_worse_the_base_is_kept_and_training_ends_early(
    made_up_corpus: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["adapter.lr=3.0", "trainer.max_steps=40", "callbacks.early_stopping.patience=2"]
    command = arguments(made_up_corpus, tiny_run, tmp_path, *more)
    assert adapt.main(command) == 0
    record = record_of(tmp_path)
    assert record["best_step"] == 0 and 4 <= record["last_step"] < 40
    assert record["scores"]["other_clips"]["after"] == record["scores"]["other_clips"]["before"]
    net = load_module(existing_run(tiny_run))[0].net
    person = load_persona(tmp_path / "persona", net).person
    assert all(delta.abs().max() == 0 for delta in deltas(net, person).values())
    assert adapt.main(command) == 0
    assert f"finished already at step {record['last_step']}" in capsys.readouterr().out


def test_nobody_else_is_changed_by_a_persona(adapted: Path, tiny_run: Path) -> None:
    net = load_module(existing_run(tiny_run))[0].net
    speech, frames = 0.1 * torch.randn(1, 640 * 30, generator=torch.Generator().manual_seed(0)), torch.tensor([30])
    reference = torch.rand(1, 20, 55, generator=torch.Generator().manual_seed(1))
    before = net.generate(speech, frames, reference)
    persona = load_persona(adapted / "persona", net)
    adapted_output = net.generate(speech, frames, style=persona.style)
    switch(net, None)
    after = net.generate(speech, frames, reference)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not torch.equal(adapted_output[0], net.generate(speech, frames, style=persona.style)[0])


def test_the_same_seed_gives_the_same_persona_and_an_interruption_changes_nothing(
    adapted: Path, made_up_corpus: Path, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = arguments(made_up_corpus, tiny_run, tmp_path)
    whole = Throughput.on_train_batch_end

    def interrupted(self, trainer, *rest):
        whole(self, trainer, *rest)
        if trainer.global_step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Throughput, "on_train_batch_end", interrupted)
        assert adapt.main(command) == INTERRUPTED
    assert [file.name for file in tmp_path.iterdir()] == ["runs"]
    assert adapt.main(command) == 0
    for name in ("adapter.safetensors", "style.safetensors"):
        first, second = (load_file(root / "persona" / name) for root in (adapted, tmp_path))
        assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    assert record_of(tmp_path)["scores"] == record_of(adapted)["scores"]


def test_another_seed_gives_another_persona(
    adapted: Path, made_up_corpus: Path, tiny_run: Path, tmp_path: Path
) -> None:
    assert adapt.main(arguments(made_up_corpus, tiny_run, tmp_path, "run.seed=2", "trainer.max_steps=2")) == 0
    first, second = (load_file(root / "persona" / "adapter.safetensors") for root in (adapted, tmp_path))
    assert first.keys() == second.keys() and not all(torch.equal(first[key], second[key]) for key in first)


def test_the_method_none_trains_nothing_and_still_gives_a_persona(
    made_up_corpus: Path, tiny_run: Path, tmp_path: Path
) -> None:
    command = [a for a in arguments(made_up_corpus, tiny_run, tmp_path, "--adapter", "none") if "ranks" not in a]
    assert adapt.main(command) == 0
    scores = record_of(tmp_path)["scores"]["other_clips"]
    assert scores["before"] == scores["after"]
    assert not (tmp_path / "persona" / "adapter.safetensors").exists()
    net = load_module(existing_run(tiny_run))[0].net
    assert load_persona(tmp_path / "persona", net).name == "persona"


@pytest.mark.parametrize("method", ["full", "decoder_only", "style_vector", "bias_only", "lora", "dora", "oft", "boft"])
def test_every_method_of_the_tree_attaches(method: str, made_up_corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    sizes = {
        "oft": ["adapter.spec.block_size=4"],
        "boft": ["adapter.spec.block_size=4"],
        "lora": ["adapter.spec.ranks=[2]"],
        "dora": ["adapter.spec.ranks=[2]"],
    }
    config = compose("molora_adaptation", [f"adapter={method}", f"base.run={tiny_run}", *sizes.get(method, [])])
    check_adapter(config)


def test_a_base_with_other_weights_is_another_adaptation_and_another_spelling_of_its_path_the_same(
    made_up_corpus: Path,
    tiny_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_run, base)
    command = arguments(made_up_corpus, base, tmp_path, "trainer.max_steps=2", out="people/ada")
    assert adapt.main(command) == 0
    assert existing_run(run_of(tmp_path)).config.base.run == str(base)
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    assert adapt.main([*command, "base.run=base"]) == 0
    assert "finished already" in capsys.readouterr().out
    checkpoints = base / "checkpoints"  # as if the base's own training had gone on and found a better step
    for suffix in (".ckpt", ".ckpt.json"):
        shutil.copy(checkpoints / f"step-00000004{suffix}", checkpoints / f"best{suffix}")
    assert adapt.main(command) == 0
    assert "finished already" not in capsys.readouterr().out and len(list((tmp_path / "runs").iterdir())) == 2
    net = load_module(existing_run(base))[0].net
    assert load_persona(tmp_path / "people" / "ada", net).name == "ada"


def test_a_fresh_start_moves_the_run_aside(made_up_corpus: Path, tiny_run: Path, tmp_path: Path) -> None:
    command = arguments(made_up_corpus, tiny_run, tmp_path, "trainer.max_steps=2")
    assert adapt.main(command) == 0
    assert adapt.main([*command, "--fresh"]) == 0
    assert [folder.suffix for folder in sorted((tmp_path / "runs").iterdir())] == ["", ".old-1"]


def test_an_interruption_outside_training_is_one_line(
    made_up_corpus: Path,
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("personas.making.check_adapter", interrupted)
    assert adapt.main(arguments(made_up_corpus, tiny_run, tmp_path)) == INTERRUPTED
    assert len(capsys.readouterr().err.splitlines()) == 1
