"""Batches of made-up speech and faces, for networks and training steps of the expression half."""

from types import SimpleNamespace

import torch

SPEAKERS = ["ada", "bob", "eve"]


def make_batch(
    lengths: list[int], seed: int = 0, phonemes: list | None = None, speakers: list[str] | None = None
) -> SimpleNamespace:
    """As much of a `SpeechFaceBatch` as steps and networks read."""
    generator = torch.Generator().manual_seed(seed)
    size, frames = len(lengths), max(lengths)
    num_frames = torch.tensor(lengths)
    return SimpleNamespace(
        audio=0.1 * torch.randn(size, 640 * frames, generator=generator),
        num_frames=num_frames,
        mask=torch.arange(frames) < num_frames[:, None],
        expression=torch.rand(size, frames, 52, generator=generator),
        jaw=torch.zeros(size, frames, 3),
        identity=torch.zeros(size, 10),
        identity_known=torch.zeros(size, dtype=torch.bool),
        reference_expression=torch.rand(size, 20, 52, generator=generator),
        reference_jaw=torch.zeros(size, 20, 3),
        reference_num_frames=torch.full((size,), 20),
        keys=[f"clip{row}" for row in range(size)],
        speakers=speakers or [SPEAKERS[row % 3] for row in range(size)],
        metas=[{"extra": {"phonemes": p}} for p in (phonemes or [[]] * size)],
        features=None,
    )
