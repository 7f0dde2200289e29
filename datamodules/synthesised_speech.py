"""The datamodule of phonetic pretraining: speech made while training, as a pure function of (seed, epoch, sample)."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from corpora.synthesised_speech import SPEECH_VERSION, LabelledSpeech, speak_labelled
from datamodules.epoch_plan import EpochPlan
from datamodules.errors import ShardError
from datamodules.loader_workers import outlive_stop_signals, worker_context
from datamodules.recording_conditions import RecordingConditions
from datamodules.sampler import (
    EvaluationSampler,
    PlanSampler,
    SampleRequest,
    check_divisible,
    check_enough_to_validate,
    rank_and_world,
)
from runtime.seeding import keyed_generator
from speech.audio import SAMPLES_PER_FRAME
from speech.phonemes import LABELS_PER_MOTION_FRAME, PHONEMES, UNLABELLED

WINDOWS_OF_AN_UTTERANCE = 4
# Utterances whose windows are shuffled together: so many voices are in a batch, and so many are made ahead.
SHUFFLED_UTTERANCES = 8
UTTERANCES_OF_AN_EPOCH = 1024
NOISY = RecordingConditions(reverberation=1.0, colour=1.0, noise=1.0, snr_db=(0.0, 20.0))
CONDITIONS = {"val": ("clean", "noisy"), "test": ("clean", "noisy", "new_language")}


@dataclass(frozen=True, eq=False)
class LabelledWindow:
    """`audio [640 * T]` as a microphone heard it, `labels [2 * T]` of `speech.phonemes`."""

    key: str
    voice: str
    condition: str
    audio: np.ndarray
    labels: np.ndarray


@dataclass(eq=False)
class PhonemeBatch:
    """B windows, zero-padded at the end to T motion frames; padded labels are `UNLABELLED`. `conditions`: train, clean, noisy or new_language."""

    audio: Tensor  # [B, 640 * T]
    num_frames: Tensor  # [B]
    labels: Tensor  # [B, 2 * T]
    keys: list[str]
    voices: list[str]
    conditions: list[str]

    def __len__(self) -> int:
        return len(self.keys)


def collate_windows(windows: Sequence[LabelledWindow]) -> PhonemeBatch:
    frames = [len(window.audio) // SAMPLES_PER_FRAME for window in windows]
    audio = torch.zeros(len(windows), max(frames) * SAMPLES_PER_FRAME)
    labels = torch.full((len(windows), max(frames) * LABELS_PER_MOTION_FRAME), UNLABELLED)
    for row, window in enumerate(windows):
        audio[row, : len(window.audio)] = torch.from_numpy(window.audio)
        labels[row, : len(window.labels)] = torch.from_numpy(window.labels)
    names = ([getattr(window, name) for window in windows] for name in ("key", "voice", "condition"))
    return PhonemeBatch(audio, torch.tensor(frames), labels, *names)


class TrainingWindows(Dataset[LabelledWindow]):
    """Windows of utterances that are spoken when first asked for; voice, text, place and sound depend on (seed, epoch, sample) alone."""

    def __init__(self, seed: int, window_frames: int, conditions: RecordingConditions) -> None:
        self.seed, self.window_frames, self.conditions = seed, window_frames, conditions
        self._spoken: OrderedDict[tuple[int, int], LabelledSpeech] = OrderedDict()

    def __getitem__(self, request: SampleRequest) -> LabelledWindow:
        epoch, _, sample = request
        number = sample // WINDOWS_OF_AN_UTTERANCE
        speech = self._utterance(epoch, number)
        generator = keyed_generator("window", self.seed, epoch, sample)
        frames = min(self.window_frames, speech.num_frames)
        start = int(generator.integers(speech.num_frames - frames + 1))
        audio = speech.audio[start * SAMPLES_PER_FRAME : (start + frames) * SAMPLES_PER_FRAME]
        labels = speech.labels[start * LABELS_PER_MOTION_FRAME : (start + frames) * LABELS_PER_MOTION_FRAME]
        return LabelledWindow(
            f"{epoch}-{number}-{start}", speech.voice, "train", self.conditions(audio, generator), labels
        )

    def _utterance(self, epoch: int, number: int) -> LabelledSpeech:
        key = (epoch, number)
        if key not in self._spoken:
            self._spoken[key] = speak_labelled("train", keyed_generator("utterance", self.seed, epoch, number))
            if len(self._spoken) > 2 * SHUFFLED_UTTERANCES:
                self._spoken.popitem(last=False)
        self._spoken.move_to_end(key)
        return self._spoken[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_spoken": OrderedDict()}


class HeldOutUtterances(Dataset[LabelledWindow]):
    """Whole utterances of the voices of a split, the same whatever the run's seed; each in all conditions of the split."""

    def __init__(self, split: str, count: int) -> None:
        self.split = split
        self.places = [(number, condition) for condition in CONDITIONS[split] for number in range(count)]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: int) -> LabelledWindow:
        number, condition = self.places[place]
        new_language = condition == "new_language"
        generator = keyed_generator(f"{self.split}-{'new' if new_language else 'known'}", 0, number)
        speech = speak_labelled(self.split, generator, num_words=12, new_language=new_language)
        audio = NOISY(speech.audio, generator) if condition == "noisy" else speech.audio
        return LabelledWindow(f"{self.split}-{number}-{condition}", speech.voice, condition, audio, speech.labels)


class SynthesisedSpeechDataModule(pl.LightningDataModule):
    """Serves `PhonemeBatch`es of `window_frames` motion frames for training, and `val_utterances` or `test_utterances` of other voices, clean and noisy, whole.

    An epoch is 1,024 utterances of four windows each, and every epoch has new ones. `global_batch`, `accumulate`, the position and `advance` are as in
    `SpeechFaceDataModule`; each rank and each loader worker speaks the utterances that it needs, so few workers are best. Raises ShardError
    for a batch that does not split.
    """

    synthetic = True

    def __init__(
        self,
        global_batch: int = 16,
        accumulate: int = 1,
        window_frames: int = 75,
        val_utterances: int = 32,
        test_utterances: int = 96,
        eval_batch: int = 8,
        workers: int = 0,
        seed: int = 1,
    ) -> None:
        super().__init__()
        if window_frames < 1 or val_utterances < 1 or test_utterances < 1:
            raise ShardError(
                f"window_frames={window_frames}, val_utterances={val_utterances}, test_utterances={test_utterances}; expected at least 1 of each"
            )
        check_divisible(global_batch, rank_and_world()[1], accumulate)
        self.global_batch, self.accumulate, self.seed = global_batch, accumulate, seed
        self.window_frames, self.eval_batch, self.workers = window_frames, eval_batch, workers
        self.utterances = {"val": val_utterances, "test": test_utterances}
        self.plan = EpochPlan(
            [WINDOWS_OF_AN_UTTERANCE] * UTTERANCES_OF_AN_EPOCH,
            seed=seed,
            window=SHUFFLED_UTTERANCES,
            global_batch=global_batch,
        )
        self.consumed = 0
        check_enough_to_validate(val_utterances, rank_and_world()[1])

    @property
    def fingerprint(self) -> str:
        """Hash of what decides the speech besides the run's own configuration."""
        return hashlib.sha256(json.dumps([SPEECH_VERSION, PHONEMES]).encode()).hexdigest()

    @property
    def facts(self) -> dict[str, Any]:
        """What a run records of its data and gives to networks that ask; plain JSON values."""
        return {
            "fingerprint": self.fingerprint,
            "corpus": "synthesised_speech",
            "synthetic": True,
            "phonemes": list(PHONEMES),
        }

    def advance(self, batches: int = 1) -> None:
        """Count batches (micro-batches where gradients accumulate) that every rank has trained on."""
        self.consumed += batches * self.global_batch // self.accumulate

    def train_dataloader(self) -> DataLoader:
        last_step = self.trainer.max_steps if self.trainer is not None and self.trainer.max_steps > 0 else None
        windows = TrainingWindows(self.seed, self.window_frames, RecordingConditions())
        return self._loader(windows, PlanSampler(self.plan, lambda: self.consumed, self.accumulate, last_step))

    def val_dataloader(self) -> DataLoader:
        return self.evaluation_dataloader("val")

    def test_dataloader(self) -> DataLoader:
        return self.evaluation_dataloader("test")

    def evaluation_dataloader(self, split: str) -> DataLoader:
        """Utterances of the voices of a split, shared out over the ranks."""
        utterances = HeldOutUtterances(split, self.utterances[split])
        return self._loader(utterances, EvaluationSampler([1] * len(utterances), self.eval_batch))

    def state_dict(self) -> dict[str, Any]:
        return {"consumed": self.consumed, **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue at a saved position; raises ShardError where the state is of other speech or another order."""
        found = {name: state.get(name) for name in self._identity()}
        if found != self._identity():
            raise ShardError(
                f"the checkpoint's data state is {found}, this run has {self._identity()}; resume with the options that the checkpoint was made with"
            )
        self.consumed = state["consumed"]

    def _identity(self) -> dict[str, Any]:
        return {"seed": self.seed, "global_batch": self.global_batch, "fingerprint": self.fingerprint}

    def _loader(self, dataset: Dataset[LabelledWindow], sampler: Any) -> DataLoader:
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            num_workers=self.workers,
            collate_fn=collate_windows,
            worker_init_fn=outlive_stop_signals,
            persistent_workers=self.workers > 0,
            multiprocessing_context=worker_context() if self.workers else None,
            generator=torch.Generator().manual_seed(self.seed),
        )
