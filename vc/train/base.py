"""What every family of methods is to the engine and to a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from vc.train.player import Player
from vc.train.processes import ALONE, Processes
from vc.train.rates import Rates

if TYPE_CHECKING:
    from vc.train.content_encoder import ContentEncoder
    from vc.train.conversions import Conversions


@dataclass(frozen=True)
class Setting:
    """What a training is made in, beside its network and its objective."""

    steps: int
    precision: str = "float32"
    processes: Processes = ALONE
    encoder: "ContentEncoder | None" = None  # fixed, of what is said
    conversions: "Conversions | None" = None  # of recognition-synthesis, where a loss is of them

    def how(self, objective: Rates) -> tuple[tuple[float, float], str, Processes]:
        """What every player takes behind its networks and losses."""
        return (objective.beta1, objective.beta2), self.precision, self.processes


class Training(Protocol):
    """Networks and the players that move them, by name, and the step that they take."""

    sampler: ClassVar[type]  # its `of` makes a Sampler
    held_out: ClassVar[type]  # its `read` makes what scores a converter
    network: nn.Module  # what a model file gets
    modules: dict[str, nn.Module]
    called: list[nn.Module]  # the networks that a step calls, for torch.compile
    players: dict[str, Player]

    def schedule(self, step: int, scale: float) -> Mapping[str, float]:
        """Set the learning rates of `step` (from 0), times `scale`; return the losses that count and their weights."""

    def step(self, batch: Any, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Move every player once; return each unweighted loss under its name, detached.

        The same `weights` are the same work on the device, and no value is read back: a step can be recorded.
        """


class Sampler(Protocol):
    """What draws a family's batches on the training device; its random state is part of a checkpoint."""

    generator: torch.Generator

    def draw(self) -> Any:
        """The next batch, as the family's `Training.step` takes it."""
