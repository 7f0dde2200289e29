"""Does adaptation recover what was planted? Correlation over synthetic people of planted style parameters with estimates from motion.

python -m benchmarks.style_recovery RUN RUN ...

Each RUN is a finished `molora_adaptation` of a synthetic person in neutral speech. The estimates are taken from the person's other clips: from
the true motion (what the estimator itself can do), from the base's output (style by reference alone) and from the adapted network's.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import pearsonr

from corpora.style_estimation import SpokenMotion, estimate_style
from speech.synthesis import PhonemeEvent

SOURCES = ("true motion", "base", "adapted")


def recovered_styles(folder: Path) -> tuple[str, dict[str, float], dict[str, dict[str, float]]]:
    """The person, the planted parameters, and the estimates by source."""
    from datamodules.adaptation import AdaptationDataModule
    from runtime.assemble import load_module
    from runtime.instantiate import build
    from runtime.run_folder import existing_run

    run = existing_run(folder)
    module, _ = load_module(run, "best")
    data: AdaptationDataModule = build(run.config.data)
    if not data.synthetic:
        raise ValueError(f"{folder} adapts to a recording, whose style nobody planted; give runs of synthetic people")
    found: dict[str, list[SpokenMotion]] = {name: [] for name in SOURCES}
    planted: dict[str, float] = {}
    for batch in data.evaluation_dataloader("test"):
        with module.unadapted():
            base = module.evaluate(batch).prediction.expression
        outputs = (batch.expression, base, module.evaluate(batch).prediction.expression)
        for name, expression in zip(SOURCES, outputs, strict=True):
            found[name] += _spoken(expression, batch)
        planted = batch.metas[0]["extra"]["expression_style"]
    return data.reference.person, planted, {name: estimate_style(clips) for name, clips in found.items()}


def correlations(planted: list[dict[str, float]], estimated: list[dict[str, float]]) -> dict[str, tuple[float, ...]]:
    """Pearson's r over people of every estimated parameter with Fisher's 95 % interval; NaN where a parameter does not vary."""
    return {name: _correlation([p[name] for p in planted], [e[name] for e in estimated]) for name in estimated[0]}


def rows(folders: list[Path]) -> list[dict]:
    """`{"parameter", "true motion", "base", "adapted"}` with (r, low, high) each. Seeds of one person are averaged first."""
    by_person: dict[str, list[Any]] = {}
    planted: dict[str, dict[str, float]] = {}
    for folder in folders:
        person, truth, estimates = recovered_styles(folder)
        by_person.setdefault(person, []).append(estimates)
        planted[person] = truth
    people = sorted(by_person)
    if len(people) < 4:
        raise ValueError(f"{len(people)} people are no correlation with an interval; give runs of at least 4")
    tables = {}
    for source in SOURCES:
        means = [
            {name: float(np.mean([seed[source][name] for seed in by_person[p]])) for name in by_person[p][0][source]}
            for p in people
        ]
        tables[source] = correlations([planted[p] for p in people], means)
    return [{"parameter": name} | {source: tables[source][name] for source in SOURCES} for name in tables["base"]]


def _spoken(expression: Any, batch: Any) -> Iterator[SpokenMotion]:
    for row, frames in enumerate(batch.num_frames.tolist()):
        phonemes = [PhonemeEvent(*event) for event in batch.metas[row]["extra"]["phonemes"]]
        yield SpokenMotion(expression[row, :frames].numpy(), phonemes)


def _correlation(planted: list[float], estimated: list[float]) -> tuple[float, float, float]:
    if np.std(planted) == 0 or np.std(estimated) == 0:
        return math.nan, math.nan, math.nan
    found = pearsonr(planted, estimated)
    return float(found.statistic), *map(float, found.confidence_interval(0.95))


def main(arguments: list[str]) -> None:
    print("SYNTHETIC speech; Pearson's r with the planted parameter (Fisher's 95 % interval over people)\n")
    print("| parameter | " + " | ".join(SOURCES) + " |\n" + "| --- " * (1 + len(SOURCES)) + "|")
    for row in rows([Path(folder) for folder in arguments]):
        cells = [f"{r:.2f} ({low:.2f} to {high:.2f})" for r, low, high in (row[source] for source in SOURCES)]
        print(f"| {row['parameter']} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit("give runs of at least four people: python -m benchmarks.style_recovery RUN RUN RUN RUN ...")
    main(sys.argv[1:])
