"""The training step of the CycleGAN family: two generators, a discriminator for each, two more for the second step.

With x of the source, y of the target, and generators G (to the target) and F (to the source), the generators
minimise, as in CycleGAN-VC2 (Kaneko et al., ICASSP 2019), the weighted sum of

                        forward                 backward
    adversarial         D_y on G(x)             D_x on F(y)
    second_adversarial  D'_x on F(G(x))         D'_y on G(F(y))    (discriminators of their own)
    cycle_consistency   F(G(x)) to x            G(F(y)) to y
    identity_mapping    G(y) to y               F(x) to x          (first steps only)
    content             E(G(x)) to E(x)         E(F(y)) to E(y)    (with a fixed encoder E)

Any of the ten can be left out. A term whose weight is 0 is not computed, a discriminator that no loss uses is not
built, and a generator that neither faces a discriminator nor is part of a cycle stays as it was drawn: identity mapping
or content alone trains none.

Nothing is computed that is thrown away: discriminators get no gradients while the generators learn and then see the
same fakes; a generator takes the two inputs that it has at a time in one batch, a discriminator real and fake.
Instance normalisation sees each sample alone, so none of this changes a gradient.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vc import devices, losses
from vc.config import require, require_range
from vc.models.base import PairConverter
from vc.train.engine import Setup
from vc.train.held_out import HeldOut
from vc.train.optimise import AdversarialConfig, Optimiser
from vc.train.sampling import Batch, PairSampler


@dataclass(frozen=True)
class Direction:
    """One direction of conversion, and of the cycle that begins with it."""

    source: str
    target: str

    @property
    def discriminators(self) -> dict[str, str]:
        """The discriminator of each adversarial loss, named after what it sees."""
        return {"adversarial": self.target, "second_adversarial": f"restored_{self.source}"}


DIRECTIONS = {"forward": Direction("source", "target"), "backward": Direction("target", "source")}
DISCRIMINATORS = {  # name, of what it sees -> speaker of the recordings that it sees, and name of its loss
    "source": ("source", "discriminator"),
    "target": ("target", "discriminator"),
    "restored_source": ("source", "second_discriminator"),
    "restored_target": ("target", "second_discriminator"),
}
LOSSES = {  # loss -> what it is called in the names of its factors
    "adversarial": "adversarial",
    "second_adversarial": "second_adversarial",
    "cycle_consistency": "cycle",
    "identity_mapping": "identity",
    "content": "content",
}
ORDER = ("identity_mapping", "adversarial", "content", "cycle_consistency", "second_adversarial")  # of summation
ADVERSARIAL = ("adversarial", "second_adversarial")
CONVERTED = (*ADVERSARIAL, "cycle_consistency", "content")  # of what one generator made of the other speaker
ROUND_TRIP = ("cycle_consistency", "second_adversarial")  # of what has gone through both generators


@dataclass(frozen=True)
class CycleGANObjective(AdversarialConfig):
    """Weights of the losses and how they are minimised.

    The defaults are those on which the public reproductions of the paper agree; docs/decisions.md says what of it we
    could check.
    """

    adversarial: float = 1.0
    second_adversarial: float = 1.0
    cycle_consistency: float = 10.0
    identity_mapping: float = 5.0
    identity_steps: int = 10_000  # the identity mapping loss counts before this step only
    forward_adversarial: float = 1.0  # these ten: factors on the weights above, for one direction
    backward_adversarial: float = 1.0
    forward_second_adversarial: float = 1.0
    backward_second_adversarial: float = 1.0
    forward_cycle: float = 1.0
    backward_cycle: float = 1.0
    forward_identity: float = 1.0
    backward_identity: float = 1.0
    forward_content: float = 1.0
    backward_content: float = 1.0

    def __post_init__(self) -> None:
        factors = (f"{direction}_{part}" for direction in DIRECTIONS for part in LOSSES.values())
        super().__post_init__()
        require_range(self, "objective", *LOSSES, *factors, "identity_steps", at_least=0)
        used = self.content == 0 or bool(self.factors("content"))
        require(used, "objective.content counts in no direction that learns")
        nothing = "adversarial, second_adversarial and cycle_consistency are 0 in both directions: nothing is learnt"
        require(bool(self.learning), f"objective: {nothing}")

    @property
    def learning(self) -> list[str]:
        """The directions whose generators learn: a round trip needs both, an adversarial loss only its own."""
        if self.factors("cycle_consistency") or self.factors("second_adversarial"):
            return list(DIRECTIONS)
        return list(self.factors("adversarial"))

    def factors(self, name: str) -> dict[str, float]:
        """The directions in which a loss counts, with their factors, without the loss's own weight."""
        factors = {key: getattr(self, f"{key}_{LOSSES[name]}") for key in DIRECTIONS if getattr(self, name) > 0}
        if name in ("identity_mapping", "content"):
            factors = {key: factor for key, factor in factors.items() if key in self.learning}
        return {key: factor for key, factor in factors.items() if factor > 0}

    def weights(self, step: int) -> dict[str, float]:
        """The losses that count at `step` (from 0), with their weights."""
        names = [name for name in LOSSES if self.factors(name)]
        return {name: getattr(self, name) for name in names if name != "identity_mapping" or step < self.identity_steps}


@dataclass(frozen=True)
class CycleGANVCObjective(CycleGANObjective):
    """No second adversarial loss, which CycleGAN-VC2 introduced."""

    second_adversarial: float = 0.0


@dataclass(frozen=True)
class Fakes:
    """What the generators made in their step, for the discriminators to learn from; detached, None where not needed."""

    source: Tensor | None = None  # F(y)
    target: Tensor | None = None  # G(x)
    restored_source: Tensor | None = None  # F(G(x))
    restored_target: Tensor | None = None  # G(F(y))


class CycleGANTraining:
    """The networks of a pair, their optimisers, and the step that they take."""

    sampler, held_out = PairSampler, HeldOut

    def __init__(self, network: PairConverter, config: Any, objective: CycleGANObjective, setup: Setup):
        self.network, self.objective, self.steps = network, objective, setup.steps
        self.to_target, self.to_source = network.generators["to_target"], network.generators["to_source"]
        self.factors = {name: objective.factors(name) for name in LOSSES}
        self.adversarial = losses.ADVERSARIAL[objective.adversarial_loss]
        self.speakers = dict(zip(("source", "target"), network.speakers, strict=True))
        device = next(network.parameters()).device
        self.encoder = setup.encoder and setup.encoder.to(device)
        used = {DIRECTIONS[key].discriminators[name] for name in ADVERSARIAL for key in self.factors[name]}
        names = [name for name in DISCRIMINATORS if name in used]  # drawn in this order
        self.discriminators = nn.ModuleDict(
            {name: network.segment_discriminator(config, setup.segment) for name in names}
        ).to(device)
        self.discriminator_weights = {DISCRIMINATORS[name][1]: 1.0 for name in names}
        self.modules, self.step_networks = {"network": network}, [*network.generators.values()]
        optimiser = partial(Optimiser, betas=objective.betas, precision=setup.precision, processes=setup.processes)
        one_way = len(objective.learning) == 1
        learning = self._generator(DIRECTIONS[objective.learning[0]].target) if one_way else network
        self.optimisers = {"network": optimiser(learning)}
        if names:
            self.modules["discriminators"] = self.discriminators
            self.step_networks += self.discriminators.values()
            self.optimisers["discriminators"] = optimiser(self.discriminators)

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set both learning rates for `step` (from 0); return the generators' losses that count, with their weights."""
        self.objective.set_rates(self.optimisers, step, self.steps, scale)
        return self.objective.weights(step)

    def step(self, batch: Batch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Update the generators, then the discriminators; return each loss under its name, detached.

        Losses are unweighted, but for the factors of their directions.
        """
        terms, fakes = self.optimisers["network"].step(lambda: self.generator_losses(batch, weights), weights)
        if "discriminators" in self.optimisers:
            compute = partial(self.discriminator_losses, batch, fakes)
            terms |= self.optimisers["discriminators"].step(compute, self.discriminator_weights)[0]
        return terms

    def generator_losses(self, batch: Batch, weights: Collection[str]) -> tuple[dict[str, Tensor], Fakes]:
        """The losses named in `weights`, and the fakes."""
        parts = [partial(self._direction_losses, key, batch, weights) for key in DIRECTIONS]
        (forward, forward_outputs), (backward, backward_outputs) = devices.side_by_side(parts, batch.source.device)
        names = [name for name in ORDER if name in weights]
        terms = {name: sum(side[name] for side in (forward, backward) if name in side) for name in names}
        outputs = forward_outputs | backward_outputs
        return terms, Fakes(**{name: outputs[name].detach() for name in self.discriminators if name in outputs})

    def discriminator_losses(self, batch: Batch, fakes: Fakes) -> tuple[dict[str, Tensor], None]:
        """The loss of the discriminators on real and fake segments, for each step of the cycle."""
        names = [*self.discriminators]
        parts = [partial(self._discriminator_loss, name, batch, getattr(fakes, name)) for name in names]
        terms: dict[str, Tensor] = {}
        for name, loss in zip(names, devices.side_by_side(parts, batch.source.device)):
            _, loss_name = DISCRIMINATORS[name]
            terms[loss_name] = terms.get(loss_name, 0) + loss
        return terms, None

    def _discriminator_loss(self, name: str, batch: Batch, fake: Tensor) -> Tensor:
        speaker, _ = DISCRIMINATORS[name]
        real = getattr(batch, speaker)
        on_real, on_fake = self.discriminators[name](torch.cat([real, fake])).chunk(2)
        loss = self.adversarial.discriminator_loss(on_real, real=True)
        loss = loss + self.adversarial.discriminator_loss(on_fake, real=False)
        if self.adversarial.penalty:
            penalty = losses.gradient_penalty(self.discriminators[name], real, fake, share=batch.random_draws(1))
            loss = loss + self.adversarial.penalty * penalty
        return loss

    def _generator(self, target: str) -> nn.Module:
        return self.to_target if target == "target" else self.to_source

    def _direction_losses(
        self, key: str, batch: Batch, weights: Collection[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """One direction's losses, times their factors, and the generators' outputs, by what they are to be."""
        source, target = DIRECTIONS[key].source, DIRECTIONS[key].target
        same, restored = f"same_{target}", f"restored_{source}"
        real = {"source": batch.source, "target": batch.target}
        names = {name for name, factors in self.factors.items() if name in weights and key in factors}
        inputs = {}
        if names.intersection(CONVERTED):
            inputs[target] = self.network.generator_input(real[source], batch.random_draws)
        if "identity_mapping" in names:
            inputs[same] = self.network.generator_input(real[target])
        if not inputs:
            return {}, {}
        output = self._generator(target)(torch.cat([*inputs.values()]))
        outputs, terms = dict(zip(inputs, output.chunk(len(inputs)))), {}
        if "identity_mapping" in names:
            terms["identity_mapping"] = losses.identity_mapping(outputs[same], real[target])
        if "adversarial" in names:
            terms["adversarial"] = self._adversarial_loss(target, outputs)
        if "content" in names:
            with torch.no_grad():
                original = self.encoder(real[source], self.speakers[source])
            terms["content"] = losses.content(self.encoder(outputs[target], self.speakers[target]), original)
        if names.intersection(ROUND_TRIP):
            outputs[restored] = self._generator(source)(self.network.generator_input(outputs[target]))
        if "cycle_consistency" in names:
            terms["cycle_consistency"] = losses.cycle_consistency(outputs[restored], real[source])
        if "second_adversarial" in names:
            terms["second_adversarial"] = self._adversarial_loss(restored, outputs)
        return {name: self.factors[name][key] * term for name, term in terms.items()}, outputs

    def _adversarial_loss(self, name: str, outputs: Mapping[str, Tensor]) -> Tensor:
        """The generator's loss on what the discriminator `name` says of the output of that name."""
        return self.adversarial.generator_loss(self.discriminators[name](outputs[name]))
