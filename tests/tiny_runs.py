"""Six-step runs of tiny networks, for the tests of the verbs."""

import json
from pathlib import Path

import train
from runtime.metrics_log import read_metrics

SHORT = [
    "data.global_batch=4", "data.window_frames=20", "data.reference_frames=[10,20]", "data.max_clips=12",
    "trainer.max_steps=6", "trainer.val_every_steps=3", "trainer.log_every_steps=1", "trainer.accelerator=cpu",
    "checkpoint.every_steps=2", "logger=none",
]  # fmt: skip
TINY = [
    "net.width=16", "net.blocks=1", "net.num_heads=2", "net.feed_forward=32", "net.kernel_size=3",
    "callbacks.media.every_steps=0", *SHORT,
]  # fmt: skip
TINY_POSE_VQVAE = [
    "net.width=16", "net.num_heads=2", "net.feed_forward=32", "net.kernel_size=3", "net.attention_span=4",
    "net.quantizer.width=8", "net.quantizer.num_codes=32", *SHORT,
]  # fmt: skip
TINY_POSE_GPT = [
    "net.width=16", "net.layers=2", "net.num_heads=2", "net.feed_forward=32", "net.style_width=8", "net.context=8", *SHORT,
]  # fmt: skip
TINY_ADAPTATION = [
    "adapter.spec.ranks=[2]", *(o for o in SHORT if not o.startswith(("data.reference_frames", "data.max_clips"))),
]  # fmt: skip
TINY_OF = {
    "expression_pretraining": TINY,
    "pose_vqvae": TINY_POSE_VQVAE,
    "pose_gpt": TINY_POSE_GPT,
    "molora_adaptation": TINY_ADAPTATION,
}


def train_tiny(corpus: Path, folder: Path, *overrides: str, experiment: str = "expression_pretraining") -> Path:
    arguments = [experiment, f"data.root={corpus}", f"run.folder={folder}", *TINY_OF[experiment], *overrides]
    status = train.main(arguments)
    assert status == 0, f"train.py ended with {status}"
    return folder


def assert_all_of_validation_is_described(run: Path) -> None:
    """Every `val/` number of the log is in `metrics.json`, and nothing else is."""
    logged = {name for line in read_metrics(run / "metrics.jsonl") for name in line if name.startswith("val/")}
    assert logged and set(json.loads((run / "metrics.json").read_text())) == logged
