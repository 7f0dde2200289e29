"""Choosing the next code from logits: greedy, temperature, top-k, top-p and repetition control, for many clips at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# A nucleus rarely has more codes than this; where one does, all codes are sorted.
_USUAL_NUCLEUS = 128


@dataclass(frozen=True)
class Sampling:
    """How a code is chosen. The default is greedy, as in the paper.

    `temperature` divides the logits, 0 is greedy. `top_k`: only the k likeliest codes. `top_p`: of those, the fewest
    whose probabilities reach p (Holtzman et al., 2020). `repetition_penalty` is taken off a code's logit for each time
    it was chosen in the last `repetition_window` steps, before anything else; greedy obeys it too.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 0.0
    repetition_window: int = 50

    def __post_init__(self) -> None:
        problems = []
        if self.temperature < 0:
            problems.append(f"temperature {self.temperature} is below 0")
        if self.top_k is not None and self.top_k < 1:
            problems.append(f"top_k {self.top_k} is below 1")
        if not 0 < self.top_p <= 1:
            problems.append(f"top_p {self.top_p} is not in (0, 1]")
        if self.repetition_window < 1:
            problems.append(f"repetition_window {self.repetition_window} is below 1")
        if self.temperature == 0 and (self.top_k is not None or self.top_p < 1):
            problems.append("top_k and top_p do nothing at temperature 0 (greedy); set temperature=1")
        if problems:
            raise ValueError("sampling: " + "; ".join(problems))

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0


# By the names that adapt.py and animate.py give them; the paper's is greedy.
GREEDY, NUCLEUS, SAMPLED = Sampling(), Sampling(temperature=1.0, top_p=0.9), Sampling(temperature=1.0)
SAMPLINGS = {"greedy": GREEDY, "nucleus": NUCLEUS, "sampled": SAMPLED}


class CodeSampler:
    """Chooses one code a step for each clip of a batch.

    Each clip draws from a stream of its own, given by its seed: what it is batched with changes nothing. All draws are
    made in advance.
    """

    def __init__(
        self, sampling: Sampling, num_codes: int, num_steps: int, seeds: Sequence[int], device: torch.device
    ) -> None:
        self.sampling = sampling
        self.uniforms: tuple[Tensor, ...] = ()
        if not sampling.is_greedy:
            streams = [torch.rand(num_steps, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
            self.uniforms = torch.stack(streams, 1).unsqueeze(2).to(device).unbind(0)
        self.repeated: Tensor | None = None
        if sampling.repetition_penalty != 0:
            self.repeated = torch.zeros(len(seeds), num_codes, device=device)
            self.added = torch.full((len(seeds), 1), sampling.repetition_penalty, device=device)
            self.recent: list[Tensor] = []

    def choose(self, logits: Tensor, step: int) -> Tensor:
        """Codes [b] from logits `[b, V]` of the first b clips; `step` counts from 0, and b never grows."""
        active = len(logits)
        if self.repeated is not None:
            logits = logits - self.repeated[:active]
        codes = logits.argmax(-1) if self.sampling.is_greedy else self._draw(logits, self.uniforms[step][:active])
        if self.repeated is not None:
            self._remember(codes, step)
        return codes

    def _remember(self, codes: Tensor, step: int) -> None:
        assert self.repeated is not None
        active, window = len(codes), self.sampling.repetition_window
        now = codes.unsqueeze(1)
        self.repeated[:active].scatter_add_(1, now, self.added[:active])
        self.recent.append(now)
        if step >= window:
            gone = self.recent[step - window][:active]
            self.repeated[:active].scatter_add_(1, gone, -self.added[:active])

    def _draw(self, logits: Tensor, uniform: Tensor) -> Tensor:
        sampling = self.sampling
        if sampling.temperature != 1:
            logits = logits / sampling.temperature
        if sampling.top_k is not None and sampling.top_k < logits.shape[1]:
            values, codes = logits.topk(sampling.top_k)
            return _from_likeliest(values.softmax(-1), codes, sampling.top_p, uniform)
        probabilities = logits.softmax(-1)
        if sampling.top_p == 1:
            return _inverse(probabilities.cumsum(-1), uniform).squeeze(1)
        values, codes = probabilities.topk(min(_USUAL_NUCLEUS, logits.shape[1]))
        if (values.sum(-1) < sampling.top_p).any():
            values, codes = probabilities.sort(descending=True)
        return _from_likeliest(values, codes, sampling.top_p, uniform)


def _from_likeliest(probabilities: Tensor, codes: Tensor, top_p: float, uniform: Tensor) -> Tensor:
    """Draw from probabilities in descending order `[b, n]` (of codes `[b, n]`), cut to the nucleus."""
    cumulative = probabilities.cumsum(-1)
    if top_p < 1:
        # A code is in the nucleus as long as those before it do not reach p: the first always is.
        inside = (cumulative - probabilities) < top_p
        probabilities = probabilities * inside
        cumulative = probabilities.cumsum(-1)
    return codes.gather(1, _inverse(cumulative, uniform)).squeeze(1)


def _inverse(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """The first entry whose cumulative mass exceeds the draw `[b, 1]`: one of positive probability."""
    drawn = uniform * cumulative[:, -1:]
    # A draw next to 1 can round up to the total; no entry exceeds that.
    drawn = torch.minimum(drawn, torch.nextafter(cumulative[:, -1:], torch.zeros_like(drawn)))
    return torch.searchsorted(cumulative, drawn, right=True)
