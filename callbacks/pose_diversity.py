"""How much the heads of a prediction move within a clip, beside the truth's: a frozen head scores zero however it is tilted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from callbacks.generated_heads import heads_from_heard
from callbacks.validation_metric import ValidationMetric, meaning_of
from metrics.pose_diversity import PoseDiversity, pose_range_deg, pose_speed_deg_per_s
from metrics.weighted_mean import ClipRatio
from speech.audio import MOTION_FPS


class PoseDiversityCallback(ValidationMetric):
    """Logs `val/pose_diversity_within_deg` of the prediction and `val/pose_diversity_within_truth_deg`, in degrees.

    For modules whose prediction has `head` `[B, T, 3]`, axis-angle in radians.
    """

    def __init__(self) -> None:
        super().__init__(
            {"pose_diversity_within_deg": PoseDiversity(), "pose_diversity_within_truth_deg": PoseDiversity()}
        )

    def meaning(self, name: str) -> dict[str, str]:
        return meaning_of("pose_diversity_within_deg", "truth" if "truth" in name else "prediction")

    def update(self, batch: Any, prediction: Any, module: Any) -> None:
        self.metrics["pose_diversity_within_deg"].update(prediction.head, batch.mask, keys=batch.keys)
        self.metrics["pose_diversity_within_truth_deg"].update(batch.head, batch.mask, keys=batch.keys)


class _SpeedRatio(ClipRatio):
    function = staticmethod(pose_speed_deg_per_s)


class _RangeRatio(ClipRatio):
    function = staticmethod(pose_range_deg)


class _Heard(NamedTuple):
    """One clip as validation left it: its name, speech `[S, width]`, style `[style_width]` and true head `[T, 3]`."""

    key: str
    heard: Tensor
    style: Tensor
    head: Tensor


class GeneratedPoseDiversity(ValidationMetric):
    """Generates heads for the same `num_clips` validation clips each time, as many speakers as there are, up to `max_seconds` of each, and logs

    * `val/pose_diversity_within_deg` and `val/pose_diversity_within_truth_deg`, in degrees, of the generated and of the true heads;
    * `val/pose_speed_ratio` and `val/pose_range_ratio`, their speed and range summed over clips, over the truth's: 1 = as people, 0 = frozen.

    For modules whose network is a `PoseAdapter` and whose prediction has what was `heard` and the `style`; see `heads_from_heard`. Each rank generates
    the clips that it validated, all in one batch.
    """

    def __init__(self, num_clips: int = 6, max_seconds: float = 8.0) -> None:
        if num_clips < 1 or max_seconds * MOTION_FPS < 2:
            raise ValueError(
                f"received {num_clips} clips of {max_seconds:g} s; expected one or more, of two frames at least"
            )
        self.num_clips, self.max_seconds = num_clips, max_seconds
        self._chosen: frozenset[str] = frozenset()
        self._heard: list[_Heard] = []
        super().__init__(
            {
                "pose_diversity_within_deg": PoseDiversity(),
                "pose_diversity_within_truth_deg": PoseDiversity(),
                "pose_speed_ratio": _SpeedRatio(),
                "pose_range_ratio": _RangeRatio(),
            }
        )

    def meaning(self, name: str) -> dict[str, str]:
        whose = "true" if "truth" in name else "generated"
        of = f"{whose} heads of {self.num_clips} clips, {self.max_seconds:g} s at most"
        if "diversity" in name:
            return meaning_of("pose_diversity_within_deg", of)
        metric = "pose_speed_deg_per_s" if "speed" in name else "pose_range_deg"
        return meaning_of(metric, f"{of}, over the truth's", unit="ratio", average="sums over clips", best="one")

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if not data.chosen["val"]:
            return
        turns = chain.from_iterable(zip_longest(*data.clips_by_speaker("val").values()))
        clips = [index for index in turns if index is not None][: self.num_clips]
        self._chosen = frozenset(data.index.entries[index].key for index in clips)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_validation_epoch_start(trainer, pl_module)
        self._heard = []

    def update(self, batch: Any, prediction: Any, module: Any) -> None:
        frames = batch.num_frames.clamp(max=int(self.max_seconds * MOTION_FPS))
        steps = module.net.vqvae.num_steps(frames).tolist()
        for row, (key, length) in enumerate(zip(batch.keys, frames.tolist(), strict=True)):
            if key in self._chosen:
                heard, style = prediction.heard[row, : steps[row]], prediction.style[row]
                self._heard.append(_Heard(key, heard.detach(), style.detach(), batch.head[row, :length]))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A rank that validated none of the clips counts none.
        head = torch.zeros(0, 2, 3, device=pl_module.device)
        self._count(*self._generated(pl_module.net) if self._heard else (head, head, head[..., 0] == 0, ()))
        self._heard = []
        super().on_validation_epoch_end(trainer, pl_module)

    def _generated(self, net: Any) -> tuple[Tensor, Tensor, Tensor, Sequence[str]]:
        """Generated and true heads `[B, T, 3]`, their mask `[B, T]` and the clips' names."""
        keys, heard, styles, heads = zip(*self._heard, strict=True)
        truth = pad_sequence(list(heads), batch_first=True)
        frames = torch.tensor([len(head) for head in heads], device=truth.device)
        generated = heads_from_heard(
            net, pad_sequence(list(heard), batch_first=True), torch.stack(styles), frames, keys
        )
        return generated, truth, torch.arange(truth.shape[1], device=truth.device) < frames[:, None], keys

    def _count(self, generated: Tensor, truth: Tensor, mask: Tensor, keys: Sequence[str]) -> None:
        self.metrics["pose_diversity_within_deg"].update(generated, mask, keys=keys)
        self.metrics["pose_diversity_within_truth_deg"].update(truth, mask, keys=keys)
        for name in ("pose_speed_ratio", "pose_range_ratio"):
            self.metrics[name].update(generated, truth, mask, keys=keys)
