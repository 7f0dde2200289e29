"""A batch of predictions beside their truths, in every form that a metric reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from faces.face_model import FaceModel
from faces.motion import FaceMotion
from metrics.beat_alignment import frame_energy
from metrics.bilabial_closure import bilabial_track
from metrics.checks import MetricError
from metrics.lip_closure import inner_lip_pairs

FPS = 25.0
# Of a whole face: what fits into the cache is made faster.
_FRAMES_AT_ONCE = 32


class MotionPair:
    """Predictions and truths of B clips on one face with head rotation zero; vertices are made when a metric first reads them.

    `expression` `[B, T, E]`, `jaw` `[B, T, 3]`, their truths, `mask` `[B, T]`; optional: `head`, `true_head` `[B, T, 3]` axis-angle, `identity`
    `[B, I]` (the same for both), clip names `keys`, `normalise` (a network's: expression and jaw to z-scored coefficients), the style reference
    `reference_expression` `[B, R, E]`, `reference_jaw`, `reference_mask`, `phonemes` (rows `[symbol, start_s, end_s]` of each clip), `audio` `[B, 640 T]`.

    The names that metrics read: `lips`, `upper_face`, `vertices` (metres `[B, T, V, 3]`), `upper_face_displacement`, `opening` (mm `[B, T]`),
    `pair_distances` (metres `[B, T, P]`), `head`, `normalised`, each with its `true_` twin; `reference_normalised`, `bilabial`, `energy`, `mask`.
    Others (`codes`, `head_samples`, ...) are set as attributes. Whole faces need 24 bytes a vertex and frame: keep batches small.
    """

    def __init__(
        self,
        face: FaceModel,
        expression: Tensor,
        jaw: Tensor,
        true_expression: Tensor,
        true_jaw: Tensor,
        mask: Tensor,
        *,
        head: Tensor | None = None,
        true_head: Tensor | None = None,
        identity: Tensor | None = None,
        keys: Sequence[str] | None = None,
        normalise: Callable[[Tensor, Tensor], Tensor] | None = None,
        reference_expression: Tensor | None = None,
        reference_jaw: Tensor | None = None,
        reference_mask: Tensor | None = None,
        phonemes: Sequence[Sequence[Sequence]] | None = None,
        audio: Tensor | None = None,
    ) -> None:
        if expression.shape != true_expression.shape or mask.shape != expression.shape[:2]:
            raise MetricError(
                f"predicted expression {list(expression.shape)}, true expression {list(true_expression.shape)} and mask {list(mask.shape)} "
                "do not fit; expected [B, T, E], the same, and [B, T]"
            )
        self.face, self.identity, self.normalise = face, identity, normalise
        self.coefficients = {"": (expression, jaw), "true_": (true_expression, true_jaw)}
        self.mask, self.keys = mask, keys
        self.optional = {
            "head": head,
            "true_head": true_head,
            "reference_expression": reference_expression,
            "reference_jaw": reference_jaw,
            "reference_mask": reference_mask,
            "phonemes": phonemes,
            "audio": audio,
        }

    @classmethod
    def from_motions(
        cls,
        face: FaceModel,
        predictions: Sequence[FaceMotion],
        truths: Sequence[FaceMotion],
        keys: Sequence[str],
        **options,
    ) -> MotionPair:
        """Motions of any method (`FaceMotion.load`) beside the true ones; raises MetricError naming the clip whose two do not fit."""
        if not (len(predictions) == len(truths) == len(keys)) or not keys:
            raise MetricError(
                f"received {len(predictions)} predictions, {len(truths)} truths and {len(keys)} names; expected as many of each and at least one"
            )
        for key, ours, theirs in zip(keys, predictions, truths, strict=True):
            _check_motions(face, key, ours, theirs)
        fields = {
            name: (_padded([getattr(m, name) for m in predictions]), _padded([getattr(m, name) for m in truths]))
            for name in ("expression", "jaw", "head")
        }
        lengths = torch.tensor([len(motion) for motion in truths])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        expression, jaw, head = fields["expression"], fields["jaw"], fields["head"]
        return cls(
            face,
            expression[0],
            jaw[0],
            expression[1],
            jaw[1],
            mask,
            head=head[0],
            true_head=head[1],
            keys=keys,
            **options,
        )

    def take_truth_from(self, other: MotionPair) -> None:
        """Keep what `other`, a pair with the same truths on the same face, has made of them: several methods need each truth once."""
        vars(self).update({name: part for name, part in vars(other).items() if name.startswith("true_")})

    def read(self, name: str) -> Tensor:
        """The tensor called `name`; raises MetricError where this pair was not given what it is made from."""
        if name not in vars(self) and not hasattr(type(self), name):
            raise MetricError(
                f"a metric reads {name!r}, which this batch does not have; give it or leave the metric out"
            )
        return getattr(self, name)

    def _given(self, name: str):
        if self.optional[name] is None:
            raise MetricError(
                f"a metric needs {name!r} of the clips, and there is none; give it or leave the metric out"
            )
        return self.optional[name]

    def _ids(self, region: str) -> Tensor:
        if region not in self.face.regions:
            raise MetricError(
                f"face {self.face.name} has no region {region!r}; it has {', '.join(sorted(self.face.regions))}"
            )
        return self.face.regions[region]

    def _vertices(self, side: str, ids: Tensor | None) -> Tensor:
        expression, jaw = self.coefficients[side]
        identity = None if self.identity is None else self.identity.unsqueeze(1)
        with torch.no_grad():
            if ids is not None:
                return self.face(identity, expression, jaw, vertex_ids=ids)
            vertices = expression.new_empty(*expression.shape[:2], self.face.num_vertices, 3)
            step = max(1, _FRAMES_AT_ONCE // len(expression))
            for start in range(0, expression.shape[1], step):
                frames = slice(start, start + step)
                vertices[:, frames] = self.face(identity, expression[:, frames], jaw[:, frames])
        return vertices

    def _displacement(self, vertices: Tensor) -> Tensor:
        expression, jaw = (torch.zeros_like(part[:, :1]) for part in self.coefficients["true_"])
        identity = None if self.identity is None else self.identity.unsqueeze(1)
        with torch.no_grad():
            return vertices - self.face(identity, expression, jaw, vertex_ids=self._ids("upper_face"))

    def _pair_distances(self, side: str) -> Tensor:
        upper, lower = self._lip_pairs
        both = self._vertices(side, torch.cat([upper, lower]))
        return (both[..., : len(upper), :] - both[..., len(upper) :, :]).norm(dim=-1)

    def _normalised(self, expression: Tensor, jaw: Tensor) -> Tensor:
        if self.normalise is None:
            raise MetricError(
                "a metric reads z-scored coefficients; give the network's `normalise` or leave the metric out"
            )
        with torch.no_grad():
            return self.normalise(expression, jaw)

    @cached_property
    def _lip_pairs(self) -> tuple[Tensor, Tensor]:
        self._ids("lips")
        return inner_lip_pairs(self.face, like=self.coefficients[""][0])

    @cached_property
    def lips(self) -> Tensor:
        return self._vertices("", self._ids("lips"))

    @cached_property
    def true_lips(self) -> Tensor:
        return self._vertices("true_", self._ids("lips"))

    @cached_property
    def upper_face(self) -> Tensor:
        return self._vertices("", self._ids("upper_face"))

    @cached_property
    def true_upper_face(self) -> Tensor:
        return self._vertices("true_", self._ids("upper_face"))

    @cached_property
    def upper_face_displacement(self) -> Tensor:
        return self._displacement(self.upper_face)

    @cached_property
    def true_upper_face_displacement(self) -> Tensor:
        return self._displacement(self.true_upper_face)

    @cached_property
    def vertices(self) -> Tensor:
        return self._vertices("", None)

    @cached_property
    def true_vertices(self) -> Tensor:
        return self._vertices("true_", None)

    @cached_property
    def pair_distances(self) -> Tensor:
        return self._pair_distances("")

    @cached_property
    def true_pair_distances(self) -> Tensor:
        return self._pair_distances("true_")

    @property
    def opening(self) -> Tensor:
        return 1000 * self.pair_distances.mean(-1)

    @property
    def true_opening(self) -> Tensor:
        return 1000 * self.true_pair_distances.mean(-1)

    @property
    def head(self) -> Tensor:
        return self._given("head")

    @property
    def true_head(self) -> Tensor:
        return self._given("true_head")

    @cached_property
    def normalised(self) -> Tensor:
        return self._normalised(*self.coefficients[""])

    @cached_property
    def true_normalised(self) -> Tensor:
        return self._normalised(*self.coefficients["true_"])

    @cached_property
    def reference_normalised(self) -> Tensor:
        return self._normalised(self._given("reference_expression"), self._given("reference_jaw"))

    @property
    def reference_mask(self) -> Tensor:
        return self._given("reference_mask")

    @cached_property
    def bilabial(self) -> Tensor:
        return torch.stack([bilabial_track(rows, self.mask.shape[1]) for rows in self._given("phonemes")]).to(
            self.mask.device
        )

    @cached_property
    def energy(self) -> Tensor:
        return frame_energy(self._given("audio"))


def _check_motions(face: FaceModel, key: str, prediction: FaceMotion, truth: FaceMotion) -> None:
    if prediction.fps != truth.fps or truth.fps != FPS:
        raise MetricError(
            f"{key}: the prediction has {prediction.fps:g} frames/s and the truth {truth.fps:g}; resample both to {FPS:g} (FaceMotion.resample)"
        )
    if len(prediction) != len(truth):
        raise MetricError(
            f"{key}: the prediction has {len(prediction)} frames and the truth {len(truth)}; cut both to the same speech"
        )
    if {prediction.space, truth.space} != {face.space}:
        raise MetricError(
            f"{key}: the prediction is in the {prediction.space} space, the truth in {truth.space}; the {face.name} face takes {face.space}"
        )


def _padded(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(
        [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays], batch_first=True
    )
