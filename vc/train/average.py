"""An exponential moving average of a network's weights, beside the network that learns."""

import copy

import torch
from torch import nn


class Average:
    """`network` is a copy whose weights follow those of `follows`: each step, `decay` of the old and the rest new.

    What the network has gathered beside its weights, its buffers, is what `follows` has.
    """

    def __init__(self, follows: nn.Module, decay: float):
        self.network = copy.deepcopy(follows).requires_grad_(False)
        self.decay = decay
        self._own, self._theirs = list(self.network.parameters()), list(follows.parameters())
        self._buffers = list(zip(self.network.buffers(), follows.buffers()))

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(self._own, self._theirs, 1 - self.decay)
        for own, theirs in self._buffers:
            own.copy_(theirs)
