"""Who moves the head: linear discriminants over motion statistics, fitted on real clips and asked about generated ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from networks.pose_representation import HeadRepresentation
from networks.pose_statistics import NUM_STATISTICS, pose_statistics


class PoseSpeakerClassifier(nn.Module):
    """Log-likelihoods of speakers from the `pose_statistics` of a clip: a Gaussian for each, with one covariance (Fisher, 1936).

    In closed form it needs no training loop and has nothing to tune; a small convolutional network on the same clips was
    worse (46 against 60 % of clips of 4 s, of 212 synthetic speakers).
    """

    means: Tensor
    precision: Tensor

    def __init__(self, num_speakers: int) -> None:
        super().__init__()
        self.representation = HeadRepresentation()
        self.register_buffer("means", torch.zeros(num_speakers, NUM_STATISTICS, dtype=torch.float64))
        self.register_buffer("precision", torch.eye(NUM_STATISTICS, dtype=torch.float64))

    def forward(self, head: Tensor) -> Tensor:
        """A clip's head rotations `[T, 3]` (axis-angle, radians, 25 frames/s), T > 0, to log-likelihoods `[num_speakers]` up to a constant."""
        difference = pose_statistics(head, self.representation).double() - self.means
        return -0.5 * torch.einsum("kp,pq,kq->k", difference, self.precision, difference)


@torch.no_grad()
def fit_speaker_classifier(heads: Sequence[Tensor], speakers: Sequence[int]) -> PoseSpeakerClassifier:
    """Fitted on clips `[T, 3]` of speakers numbered from 0, at least two clips of one of them; a function of its arguments.

    The covariance within speakers is shrunk towards its diagonal by P / (P + degrees of freedom). Raises ValueError where
    there is no clip of a number, or nobody has two.
    """
    labels = torch.tensor(speakers)
    num_speakers = int(labels.max()) + 1
    counts = labels.bincount(minlength=num_speakers)
    freedom = len(labels) - num_speakers
    if len(heads) != len(speakers) or not counts.all() or freedom < 1:
        raise ValueError(
            f"got {len(heads)} clips of {len(speakers)} speakers numbered up to {num_speakers - 1}; expected a number for "
            "each clip, none left out, and two clips of somebody"
        )
    net = PoseSpeakerClassifier(num_speakers)
    frames = torch.cat(list(heads))
    net.representation.set_statistics(frames.mean(0), frames.std(0))
    values = torch.stack([pose_statistics(head, net.representation) for head in heads]).double()
    net.means.index_add_(0, labels, values).div_(counts[:, None])
    within = values - net.means[labels]
    covariance = within.T @ within / freedom
    keep = freedom / (freedom + NUM_STATISTICS)
    shrunk = keep * covariance + (1 - keep) * torch.diag(covariance.diagonal().clamp(min=1e-6))
    net.precision.copy_(torch.linalg.inv(shrunk + 1e-9 * torch.eye(NUM_STATISTICS)))
    return net


@torch.no_grad()
def clip_likelihoods(net: PoseSpeakerClassifier, heads: Sequence[Tensor]) -> Tensor:
    """Log-likelihoods `[N, num_speakers]` of clips `[T, 3]`."""
    return torch.stack([net(head) for head in heads])


def recognised(likelihoods: Tensor, speakers: Sequence[int], k: int = 1) -> list[float]:
    """For each clip 1.0 where its speaker is among the k likeliest, else 0.0."""
    return _hits(likelihoods, torch.tensor(speakers), k)


def recognised_people(likelihoods: Tensor, speakers: Sequence[int]) -> list[float]:
    """The same for each speaker in the order of their numbers, from the sum of the log-likelihoods over all their clips."""
    labels = torch.tensor(speakers)
    present = labels.unique()
    return _hits(torch.stack([likelihoods[labels == who].sum(0) for who in present]), present, 1)


def _hits(likelihoods: Tensor, labels: Tensor, k: int) -> list[float]:
    best = likelihoods.topk(min(k, likelihoods.shape[1])).indices
    return (best == labels[:, None]).any(1).double().tolist()
