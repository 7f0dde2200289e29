"""What the numbers mean that a module logs of its own validation; callbacks say it of theirs (`callbacks.validation_metric`)."""

from __future__ import annotations


def described(
    metric: str, unit: str, average: str, *, of: str = "prediction", best: str = "lower", source: str
) -> dict[str, str]:
    """The fields that `metrics.json` has for every number."""
    return {
        "metric": metric, "of": of, "unit": unit, "vertices": "-", "average": average, "best": best, "source": source
    }  # fmt: skip


def described_loss(average: str = "clips") -> dict[str, dict[str, str]]:
    """`val/loss` of a module whose validation has the objective of its training."""
    return {"val/loss": described("loss", "-", average, source="the objective of training, `task` in config.yaml")}
