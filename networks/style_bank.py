"""The pose styles of a training corpus, searched by the distance between style matrices: one style for each
person, or for each source video (`net.style_by`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from networks.style_matrix import StyleMatrix, shrunk
from speech.tensor_file import load_tensor_file, save_tensor_file

_FORMAT = "pose-style-bank/2"
_ARRAYS = ("styles", "units", "counts", "means", "centres", "statistics", "projection")
LEAST_SHARED_UNITS = 32
# Styles whose distances to all others are held at once.
_ROWS_AT_ONCE = 256

Metric = Literal["shrunk", "shared", "statistics"]


class StyleBankError(ValueError):
    """A style bank cannot be built, read or asked; the message says what was received and what was expected."""


class StyleBank:
    """Style matrices of N sources, by column: for each unit, which styles occupy it and with which mean latent.

    `sources` [N] names them, and a style's index is its place there; `statistics` `[N, P]` are `pose_statistics` of
    each, and `projection` `[P, P]` makes their differences tell people apart (see `pose_statistics.telling_apart`).
    `vqvae` and `units` are the fingerprints of the VQ-VAE that made the latents and of the semantic units. Held in
    memory: twice n * D float32 for n occupied columns in all.
    """

    def __init__(
        self,
        sources: Sequence[str],
        matrices: Sequence[StyleMatrix],
        statistics: Tensor,
        projection: Tensor,
        vqvae: str,
        units: str,
    ) -> None:
        if len(sources) == 0:
            raise StyleBankError("a style bank needs at least one style, got none; is the training split empty?")
        if len(set(sources)) != len(sources):
            raise StyleBankError("sources of a style bank must differ: pool the clips of one source first")
        if len(matrices) != len(sources) or statistics.shape[:1] != (len(sources),):
            raise StyleBankError(
                f"got {len(sources)} sources, {len(matrices)} style matrices and statistics {list(statistics.shape)}; "
                "expected one of each for every style"
            )
        lengths = torch.tensor([len(matrix.units) for matrix in matrices])
        order = torch.cat([matrix.units for matrix in matrices]).sort(stable=True)
        self._fill(
            list(sources),
            styles=torch.arange(len(sources)).repeat_interleave(lengths)[order.indices],
            units=order.values,
            counts=torch.cat([matrix.counts for matrix in matrices])[order.indices],
            means=torch.cat([matrix.means for matrix in matrices])[order.indices],
            centres=torch.stack([matrix.mean for matrix in matrices]),
            statistics=statistics.float(),
            projection=projection.float(),
            num_units=matrices[0].num_units,
            fingerprints=(vqvae, units),
        )

    def _fill(
        self,
        sources: list[str],
        styles: Tensor,
        units: Tensor,
        counts: Tensor,
        means: Tensor,
        centres: Tensor,
        statistics: Tensor,
        projection: Tensor,
        num_units: int,
        fingerprints: tuple[str, str],
    ) -> None:
        """Entries sorted by unit, then style."""
        self._typical: float | None = None
        self.sources, self.num_units, self.centres = sources, num_units, centres
        self.statistics, self.projection = statistics, projection
        self.vqvae, self.unit_fingerprint = fingerprints
        self._styles, self._units, self._counts, self._means = styles, units, counts, means
        numbers = torch.bincount(units, minlength=num_units)
        ends = numbers.cumsum(0).tolist()
        self._columns = [slice(end - number, end) for number, end in zip(numbers.tolist(), ends, strict=True)]
        self._shrunk = torch.empty_like(means)
        for column in self._columns:
            self._shrunk[column] = shrunk(means[column], counts[column], centres[styles[column]])

    def __len__(self) -> int:
        return len(self.sources)

    def index_of(self, source: str) -> int:
        """The style index of a source. Raises StyleBankError for one that the bank does not know."""
        if source not in self.sources:
            raise StyleBankError(f"source {source!r} is not among the {len(self)} of this style bank")
        return self.sources.index(source)

    def require_match(self, vqvae: str, units: str | None) -> None:
        """Raise StyleBankError unless the bank was built with this VQ-VAE and these units (None: no units are used)."""
        for what, given, own in (("VQ-VAE", vqvae, self.vqvae), ("semantic units", units, self.unit_fingerprint)):
            if given is not None and given != own:
                raise StyleBankError(
                    f"this style bank was built with {what} {own}, but {given} is loaded; load that one or build the bank again"
                )

    @torch.no_grad()
    def distances(self, matrix: StyleMatrix, metric: Literal["shrunk", "shared"] = "shrunk") -> Tensor:
        """Distance [N] float64 of a style matrix from every style.

        `shrunk`: mean over all units of the Euclidean distance of shrunk columns (`StyleMatrix.dense`). `shared`: mean
        L1 distance of the plain columns that are occupied in both, infinite where those are fewer than 32.
        """
        if matrix.num_units != self.num_units or matrix.means.shape[1] != self._means.shape[1]:
            raise StyleBankError(
                f"the style matrix has {matrix.num_units} units of width {matrix.means.shape[1]}; "
                f"this bank has {self.num_units} of {self._means.shape[1]}"
            )
        return self._shrunk_distance(matrix) if metric == "shrunk" else self._shared_distance(matrix)

    def _shrunk_distance(self, matrix: StyleMatrix) -> Tensor:
        # First as if every column of the bank were empty, that is, its style's centre. Empty columns of the query are all its mean: one row.
        centre = matrix.mean
        columns = torch.cat([shrunk(matrix.means, matrix.counts, centre), centre[None]])
        to_centres = torch.cdist(columns, self.centres, compute_mode="donot_use_mm_for_euclid_dist")
        weight = torch.ones(len(columns), dtype=torch.float64)
        weight[-1] = self.num_units - len(matrix.units)
        total = (to_centres.double() * weight[:, None]).sum(0)
        # Then every occupied column in its centre's place.
        row_of_unit = torch.full((self.num_units,), len(matrix.units)).index_copy_(
            0, matrix.units, torch.arange(len(matrix.units))
        )
        for column, row in zip(self._columns, row_of_unit.tolist(), strict=True):
            styles = self._styles[column]
            distance = (self._shrunk[column] - columns[row]).square().sum(1).sqrt()
            total.index_add_(0, styles, distance.double() - to_centres[row].index_select(0, styles).double())
        return total.clamp_(min=0) / self.num_units

    def _shared_distance(self, matrix: StyleMatrix) -> Tensor:
        total = torch.zeros(len(self), dtype=torch.float64)
        shared = torch.zeros(len(self), dtype=torch.float64)
        for unit, mean in zip(matrix.units.tolist(), matrix.means, strict=True):
            column = self._columns[unit]
            styles = self._styles[column]
            total.index_add_(0, styles, (self._means[column] - mean).abs().sum(1).double())
            shared.index_add_(0, styles, torch.ones(len(styles), dtype=torch.float64))
        return torch.where(shared >= LEAST_SHARED_UNITS, total / shared.clamp(min=1), torch.inf)

    def statistics_distances(self, statistics: Tensor) -> Tensor:
        """Euclidean distance [N] float64 of projected `pose_statistics` [P] from those of every style."""
        return ((self.statistics - statistics) @ self.projection).double().square().sum(1).sqrt()

    def typical_distance(self) -> float:
        """Median over the styles of the `statistics` distance to the nearest other one, 0 for one style: what to hold a stranger's
        against. Looked for once and kept in the file.
        """
        if self._typical is None:
            self._typical = float(_to_nearest_other((self.statistics @ self.projection).double()).median())
        return self._typical

    def dense(self, styles: Tensor) -> Tensor:
        """`StyleMatrix.dense` `[n, num_units, D]` of the styles with the indices `styles` [n], each named once."""
        full = self.centres[styles].unsqueeze(1).repeat(1, self.num_units, 1)
        row = torch.full((len(self),), -1).index_copy_(0, styles, torch.arange(len(styles)))[self._styles]
        there = row >= 0
        full[row[there], self._units[there]] = self._shrunk[there]
        return full

    def save(self, path: str | os.PathLike[str]) -> None:
        """One safetensors file, whole or absent."""
        values = (self._styles, self._units, self._counts, self._means, self.centres, self.statistics, self.projection)
        metadata = {
            "format": _FORMAT,
            "sources": json.dumps(self.sources),
            "num_units": str(self.num_units),
            "vqvae": self.vqvae,
            "units": self.unit_fingerprint,
            "typical_distance": repr(self.typical_distance()),
        }
        arrays: dict[str, np.ndarray] = {name: value.numpy() for name, value in zip(_ARRAYS, values, strict=True)}
        save_tensor_file(path, arrays, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StyleBank:
        """Raises StyleBankError for a file that holds no style bank; call `require_match` before using one."""
        try:
            arrays, metadata = load_tensor_file(path, _FORMAT)
            tensors = {name: torch.from_numpy(arrays[name].copy()) for name in _ARRAYS}
            fingerprints = (metadata["vqvae"], metadata["units"])
            sources, num_units = json.loads(metadata["sources"]), int(metadata["num_units"])
            # Older files do not tell it.
            typical = float(metadata["typical_distance"]) if "typical_distance" in metadata else None
        except (ValueError, KeyError) as error:
            raise StyleBankError(f"no style bank in {path}: {error}") from error
        if not sources or not len(sources) == len(tensors["centres"]) == len(tensors["statistics"]):
            raise StyleBankError(
                f"no style bank in {path}: it names {len(sources)} styles and holds {len(tensors['centres'])}; expected at least one, and as many"
            )
        bank = cls.__new__(cls)
        bank._fill(sources, **tensors, num_units=num_units, fingerprints=fingerprints)
        bank._typical = typical
        return bank


def _to_nearest_other(points: Tensor) -> Tensor:
    """Distance [N] of each point `[N, P]` to the nearest other one, 0 where there is no other."""
    if len(points) == 1:
        return torch.zeros(1, dtype=points.dtype)
    half_squares = points.square().sum(1) / 2
    found = []
    for start in range(0, len(points), _ROWS_AT_ONCE):
        rows = points[start : start + _ROWS_AT_ONCE]
        # Half the squared distances, less what is the same in a row.
        order = torch.addmm(half_squares, rows, points.T, alpha=-1)
        order[torch.arange(len(rows)), start + torch.arange(len(rows))] = torch.inf
        found.append((rows - points[order.argmin(1)]).norm(dim=1))
    return torch.cat(found)
