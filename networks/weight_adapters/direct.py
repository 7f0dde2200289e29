"""A change of any shape's every value: fine-tuning under the interface of the adapters."""

from __future__ import annotations

from torch import Tensor, nn


class Direct(nn.Module):
    """W = W_0 + `change`, zero at first. Its gradient is that of the parameter itself."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.change = nn.Parameter(weight.new_zeros(weight.shape))

    def forward(self, base: Tensor) -> Tensor:
        """The frozen parameter to the adapted one of its shape."""
        return base + self.change
