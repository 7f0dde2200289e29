"""Do the ranks of a mixture learn different things? Size, shape and frequency content of what each pair adds, over adapted people.

python -m benchmarks.rank_contributions RUN RUN ...

Each RUN is a finished `molora_adaptation` by LoRA or MoLoRA, all of the same ranks. The output that a pair adds is that of the base with this pair alone
less that of the base, in normalised coefficients of the person's other clips (of the held-out tail where there are none).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from datamodules.adaptation import AdaptationDataModule
from lightning_modules.molora_adaptation import MoLoRAAdaptation
from metrics.intervals import speaker_bootstrap
from networks.persona import PERSON
from networks.weight_adapters import delta_spectra, only_pairs
from runtime.assemble import load_module
from runtime.instantiate import build
from runtime.run_folder import existing_run
from speech.audio import MOTION_FPS

# Resting face and emotion, phrases and gestures, syllables and sounds; the rest up to 12.5 Hz is counted with the last.
BANDS_HZ = {"still": (0.0, 0.0), "under 1 Hz": (0.0, 1.0), "1 to 4 Hz": (1.0, 4.0), "over 4 Hz": (4.0, 12.5)}


def contributions(folder: Path) -> tuple[str, dict[str, dict[str, float]]]:
    """The person, and by pair ("all", "rank 4", ...) the Frobenius norm of its deltas, their stable rank (squared Frobenius over squared spectral norm,
    mean over layers), the root mean square that it adds to the output, and the shares of that power by band.
    """
    run = existing_run(folder)
    module: MoLoRAAdaptation = load_module(run, "best")[0]
    data: AdaptationDataModule = build(run.config.data)
    batches = list(data.evaluation_dataloader("test" if data.has_rest else "val"))
    spectra = delta_spectra(module.net, PERSON)
    labels = list(next(iter(spectra.values())))
    with module.unadapted():
        base = [_normalised(module, batch) for batch in batches]
    found = {}
    for number, label in enumerate(labels):
        pairs = list(range(len(labels) - 1)) if label == "all" else [number - 1]
        with only_pairs(module.net, PERSON, pairs):
            changed = [_normalised(module, batch) for batch in batches]
        squares = [spectrum[label].square() for spectrum in spectra.values()]
        added = [
            (after - before)[row, :frames].numpy()
            for after, before, batch in zip(changed, base, batches, strict=True)
            for row, frames in enumerate(batch.num_frames.tolist())
        ]
        found[label] = {
            "norm of the deltas": float(sum(square.sum() for square in squares)) ** 0.5,
            "stable rank": float(np.mean([float(square.sum() / square.max().clamp(min=1e-30)) for square in squares])),
            "added to the output": float(np.sqrt(np.mean(np.concatenate(added) ** 2))),
            **band_shares(added),
        }
    return data.reference.person, found


def band_shares(signals: list[np.ndarray]) -> dict[str, float]:
    """Shares of the power of `[T, C]` signals at 25 Hz by `BANDS_HZ`; "still" is that of each signal's mean over time."""
    power = dict.fromkeys(BANDS_HZ, 0.0)
    for signal in signals:
        spectrum = np.abs(np.fft.rfft(signal, axis=0)) ** 2 / len(signal)
        spectrum[1 : (len(signal) + 1) // 2] *= 2  # of a real signal, negative frequencies too
        frequencies = np.fft.rfftfreq(len(signal), 1 / MOTION_FPS)
        power["still"] += spectrum[0].sum()
        for name, (low, high) in list(BANDS_HZ.items())[1:]:
            power[name] += spectrum[(frequencies > low) & (frequencies <= high)].sum()
    total = sum(power.values())
    return {name: value / total if total else float("nan") for name, value in power.items()}


def _normalised(module: MoLoRAAdaptation, batch: object) -> torch.Tensor:
    prediction = module.evaluate(batch).prediction
    return module.net.normalise(prediction.expression, prediction.jaw)


def main(folders: list[str]) -> None:
    people, tables = zip(*(contributions(Path(folder)) for folder in folders), strict=True)
    columns = list(tables[0]["all"])
    print("means over people (95 % bootstrap interval)\n\n| | " + " | ".join(columns) + " |")
    print("| --- " * (1 + len(columns)) + "|")
    for label in tables[0]:
        cells = [speaker_bootstrap([table[label][name] for table in tables], people) for name in columns]
        print(f"| {label} | " + " | ".join(f"{c.mean:.3f} ({c.low:.3f} to {c.high:.3f})" for c in cells) + " |")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("give runs of molora_adaptation: python -m benchmarks.rank_contributions RUN RUN ...")
    main(sys.argv[1:])
