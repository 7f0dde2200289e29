"""adapt.py's command for a persona of a few steps."""

from pathlib import Path

TINY = [
    "data.window_frames=20", "data.global_batch=4", "adapter.spec.ranks=[2]", "trainer.max_steps=6",
    "trainer.val_every_steps=2", "trainer.log_every_steps=1", "trainer.accelerator=cpu", "checkpoint.every_steps=2", "logger=none",
]  # fmt: skip


def arguments(
    corpus: Path, base: Path, root: Path, *more: str, person: str = "theo", out: str = "persona"
) -> list[str]:
    root.mkdir(exist_ok=True)
    command = [f"{corpus}#{person}", "--expression", str(base), "--out", str(root / out), "--seconds", "4"]
    return [*command, f"run.root={root / 'runs'}", *TINY, *more]


def run_of(root: Path) -> Path:
    return next((root / "runs").iterdir())
