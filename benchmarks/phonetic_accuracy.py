"""How well a phonetic encoder hears voices that it never heard, beside a linear map from the same sound.

python -m benchmarks.phonetic_accuracy RUN_OR_FILE [--out FILE.json]

Test utterances of eight other espeak-ng voices: clean, in rooms with noise, and clean in four other languages. The linear control is ridge
regression from +-6 motion frames of log-mel to one indicator for each class and half frame, fitted on 300 batches of the pretraining's own data, its
strength chosen on the validation voices. Means over voices with 95 % bootstrap intervals over them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from datamodules.recording_conditions import RecordingConditions
from datamodules.sampler import PlanSampler
from datamodules.synthesised_speech import (
    CONDITIONS,
    PhonemeBatch,
    SynthesisedSpeechDataModule,
    TrainingWindows,
    collate_windows,
)
from metrics.intervals import speaker_bootstrap
from networks.phonetic_encoder import load_phonetic_encoder
from networks.ridge_regression import RidgeRegression
from runtime.phonetic_part import FILE_NAME
from speech.phonemes import LABELS_PER_MOTION_FRAME, PHONEMES, UNLABELLED

FITTED_BATCHES = 300
Hear = Callable[[PhonemeBatch], Tensor]


def measure(hear: Hear, data: SynthesisedSpeechDataModule) -> dict[str, dict[str, tuple[float, float, float]]]:
    """`{condition: {"frame" | "phoneme": (mean, low, high)}}`: share of right labels of all 20 ms, and of those that are not silence."""
    found: dict[str, list[tuple[str, float, float]]] = {condition: [] for condition in CONDITIONS["test"]}
    for batch in data.evaluation_dataloader("test"):
        classes = hear(batch)
        for row, (voice, condition) in enumerate(zip(batch.voices, batch.conditions, strict=True)):
            truth = batch.labels[row]
            right = (classes[row] == truth).float()
            found[condition].append((voice, float(right[truth != UNLABELLED].mean()), float(right[truth > 0].mean())))
    return {
        condition: {
            kind: tuple(speaker_bootstrap([row[place] for row in rows], [row[0] for row in rows])[:3])
            for place, kind in ((1, "frame"), (2, "phoneme"))
        }
        for condition, rows in found.items()
    }  # fmt: skip


def fit_linear(data: SynthesisedSpeechDataModule) -> Hear:
    """The linear control."""
    model = RidgeRegression(LABELS_PER_MOTION_FRAME * len(PHONEMES))
    for batch in _training_batches(data):
        model.observe(batch.audio, batch.num_frames, _indicators(batch))
    validation = ((b.audio, b.num_frames, _indicators(b)) for b in data.evaluation_dataloader("val"))
    model.choose_strength(validation)
    return lambda batch: _classes(model(batch.audio, batch.num_frames))


def _training_batches(data: SynthesisedSpeechDataModule) -> Iterator[PhonemeBatch]:
    windows = TrainingWindows(data.seed, data.window_frames, RecordingConditions())
    for requests in PlanSampler(data.plan, lambda: 0, last_step=FITTED_BATCHES):
        yield collate_windows([windows[request] for request in requests])


def _indicators(batch: PhonemeBatch) -> Tensor:
    known = functional.one_hot(batch.labels.clamp(min=0), len(PHONEMES)).float()
    known = known * (batch.labels != UNLABELLED).unsqueeze(-1)
    return known.unflatten(1, (-1, LABELS_PER_MOTION_FRAME)).flatten(2)


def _classes(scores: Tensor) -> Tensor:
    return scores.unflatten(2, (LABELS_PER_MOTION_FRAME, -1)).flatten(1, 2).argmax(-1)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0] if __doc__ else "", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("source", type=Path, help="a finished run of phonetic_pretraining or its weights")
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    options = parser.parse_args()
    source = options.source / FILE_NAME if options.source.is_dir() else options.source
    encoder = load_phonetic_encoder(str(source))
    data = SynthesisedSpeechDataModule()
    found = {
        "encoder": measure(lambda batch: encoder(batch.audio, batch.num_frames).argmax(-1), data),
        "linear log-mel": measure(fit_linear(data), data),
    }
    for name, conditions in found.items():
        for condition, kinds in conditions.items():
            row = "  ".join(f"{kind} {mean:.3f} ({low:.3f} to {high:.3f})" for kind, (mean, low, high) in kinds.items())
            print(f"{name:15} {condition:13} {row}")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
