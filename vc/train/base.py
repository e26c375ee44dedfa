"""What every family of methods is to the loop and to a checkpoint."""

from typing import Protocol

import torch
from torch import Tensor, nn

from vc.segments import Batch


class Training(Protocol):
    """Networks and optimisers by name, and the step that moves them."""

    modules: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]

    def step(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Move every network once; return each unweighted loss under its name, detached. `step` counts from 0."""
