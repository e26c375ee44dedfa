"""The training step of a CycleGAN pair: two generators, two discriminators, two more for the second step.

With x of the source, y of the target, and generators G (to the target) and F (to the source), the generators
minimise, as in CycleGAN-VC2 (Kaneko et al., ICASSP 2019), the weighted sum of

    adversarial         D_y on G(x)     and D_x on F(y)
    second_adversarial  D'_x on F(G(x)) and D'_y on G(F(y))    (discriminators of their own)
    cycle_consistency   F(G(x)) to x    and G(F(y)) to y
    identity_mapping    G(y) to y       and F(x) to x          (first steps only)

Nothing is computed that is thrown away: discriminators get no gradients while the generators learn and then judge the
same fakes; a generator takes the two inputs that it has at a time in one batch, a discriminator real and fake; a term
whose weight is 0 is not computed. Instance normalisation sees each sample alone, so none of this changes a gradient.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vc import losses
from vc.config import require
from vc.models.cyclegan_vc2 import CycleGANVC2, CycleGANVC2Config, Discriminator
from vc.segments import Batch
from vc.train.player import Player
from vc.train.processes import ALONE, Processes


@dataclass(frozen=True)
class CycleGANObjective:
    """Weights of the losses and how they are minimised.

    The defaults are those on which the public reproductions of the paper agree; DECISIONS.md says what of it we could
    check.
    """

    adversarial: float = 1.0
    second_adversarial: float = 1.0
    cycle_consistency: float = 10.0
    identity_mapping: float = 5.0
    identity_steps: int = 10_000  # the identity mapping loss counts before this step only
    generator_rate: float = 2e-4
    discriminator_rate: float = 1e-4
    decay_from: int = 200_000  # step from which both rates fall linearly, to 0 at the last step
    beta1: float = 0.5
    beta2: float = 0.999

    def __post_init__(self) -> None:
        for name in ("adversarial", "second_adversarial", "cycle_consistency", "identity_mapping"):
            require(getattr(self, name) >= 0, f"objective.{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("identity_steps", "decay_from"):
            require(getattr(self, name) >= 0, f"objective.{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("generator_rate", "discriminator_rate"):
            require(0 < getattr(self, name) < 1, f"objective.{name} must be in 0..1, got {getattr(self, name)}")
        for name in ("beta1", "beta2"):
            require(0 <= getattr(self, name) < 1, f"objective.{name} must be in 0..1, got {getattr(self, name)}")
        require(self.adversarial > 0, "objective.adversarial must be above 0: without it nothing pulls to the target")

    def weights(self, step: int) -> dict[str, float]:
        """The losses that count at `step` (from 0), with their weights."""
        weights = {
            "adversarial": self.adversarial,
            "second_adversarial": self.second_adversarial,
            "cycle_consistency": self.cycle_consistency,
            "identity_mapping": self.identity_mapping if step < self.identity_steps else 0.0,
        }
        return {name: weight for name, weight in weights.items() if weight > 0}

    def decay(self, step: int, steps: int) -> float:
        """Factor on both learning rates at `step` (from 0) of `steps`."""
        if step < self.decay_from:
            return 1.0
        return max(0.0, (steps - step) / (steps - self.decay_from)) if steps > self.decay_from else 0.0


@dataclass(frozen=True)
class Fakes:
    """What the generators made in their step, for the discriminators to learn from; detached."""

    source: Tensor  # F(y)
    target: Tensor  # G(x)
    restored_source: Tensor | None  # F(G(x))
    restored_target: Tensor | None  # G(F(y))


class CycleGANTraining:
    """Networks and players of a pair, and the step that moves them."""

    def __init__(
        self,
        network: CycleGANVC2,
        config: CycleGANVC2Config,
        objective: CycleGANObjective,
        steps: int,
        precision: str = "float32",
        processes: Processes = ALONE,
    ):
        self.network, self.objective, self.steps = network, objective, steps
        self.to_target, self.to_source = network.generators["to_target"], network.generators["to_source"]
        judges, self.judged = ["source", "target"], {"discriminator": 1.0}
        if objective.second_adversarial > 0:
            judges += ["restored_source", "restored_target"]
            self.judged["second_discriminator"] = 1.0
        device = next(network.parameters()).device
        self.judges = nn.ModuleDict({name: Discriminator(config) for name in judges}).to(device)
        self.modules = {"network": self.network, "judges": self.judges}
        self.called = [*network.generators.values(), *self.judges.values()]
        how = ((objective.beta1, objective.beta2), precision, processes)
        self.players = {
            "network": Player(self.network, self.generator_losses, *how),
            "judges": Player(self.judges, self.discriminator_losses, *how),
        }

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set both learning rates for `step` (from 0); return the generators' losses that count, with their weights."""
        scale *= self.objective.decay(step, self.steps)
        self.players["network"].set_rate(self.objective.generator_rate * scale)
        self.players["judges"].set_rate(self.objective.discriminator_rate * scale)
        return self.objective.weights(step)

    def step(self, batch: Batch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Move generators, then discriminators; return each unweighted loss under its name, detached."""
        terms, fakes = self.players["network"].move(weights, batch, weights)
        judged, _ = self.players["judges"].move(self.judged, batch, fakes)
        return {**terms, **judged}

    def generator_losses(self, batch: Batch, weights: Iterable[str]) -> tuple[dict[str, Tensor], Fakes]:
        """The losses named in `weights`, and the fakes."""
        x, y = batch.source, batch.target
        terms = {}
        if "identity_mapping" in weights:
            fake_y, same_y = self.to_target(torch.cat([x, y])).chunk(2)
            fake_x, same_x = self.to_source(torch.cat([y, x])).chunk(2)
            terms["identity_mapping"] = losses.identity_mapping(same_y, y) + losses.identity_mapping(same_x, x)
        else:
            fake_y, fake_x = self.to_target(x), self.to_source(y)
        terms["adversarial"] = self._fooled("target", fake_y) + self._fooled("source", fake_x)
        restored_x = restored_y = None
        if "cycle_consistency" in weights or "second_adversarial" in weights:
            restored_x, restored_y = self.to_source(fake_y), self.to_target(fake_x)
        if "cycle_consistency" in weights:
            terms["cycle_consistency"] = losses.cycle_consistency(restored_x, x) + losses.cycle_consistency(
                restored_y, y
            )
        if "second_adversarial" in weights:
            fooled = self._fooled("restored_source", restored_x) + self._fooled("restored_target", restored_y)
            terms["second_adversarial"] = fooled
        detached = (None if fake is None else fake.detach() for fake in (fake_x, fake_y, restored_x, restored_y))
        return terms, Fakes(*detached)

    def discriminator_losses(self, batch: Batch, fakes: Fakes) -> tuple[dict[str, Tensor], None]:
        """How far the discriminators are from telling real from fake, for each step of the cycle."""
        judged = {
            "discriminator": self._told("source", batch.source, fakes.source)
            + self._told("target", batch.target, fakes.target)
        }
        if "restored_source" in self.judges:
            judged["second_discriminator"] = self._told("restored_source", batch.source, fakes.restored_source)
            judged["second_discriminator"] += self._told("restored_target", batch.target, fakes.restored_target)
        return judged, None

    def _fooled(self, judge: str, fake: Tensor) -> Tensor:
        return losses.least_squares(self.judges[judge](fake), real=True)

    def _told(self, judge: str, real: Tensor, fake: Tensor) -> Tensor:
        on_real, on_fake = self.judges[judge](torch.cat([real, fake])).chunk(2)
        return losses.least_squares(on_real, real=True) + losses.least_squares(on_fake, real=False)
