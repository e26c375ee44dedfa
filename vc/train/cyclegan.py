"""The training step of the CycleGAN family: two generators, a discriminator for each, two more for the second step.

With x of the source, y of the target, and generators G (to the target) and F (to the source), the generators
minimise, as in CycleGAN-VC2 (Kaneko et al., ICASSP 2019), the weighted sum of

                        forward                 backward
    adversarial         D_y on G(x)             D_x on F(y)
    second_adversarial  D'_x on F(G(x))         D'_y on G(F(y))    (discriminators of their own)
    cycle_consistency   F(G(x)) to x            G(F(y)) to y
    identity_mapping    G(y) to y               F(x) to x          (first steps only)
    content             E(G(x)) to E(x)         E(F(y)) to E(y)    (with a fixed encoder E)

Any of the ten can be left out. A term whose weight is 0 is not computed, a discriminator that judges nothing is not
built, and a generator that neither fools a discriminator nor is part of a cycle stays as it was drawn: identity mapping
or content alone moves none.

Nothing is computed that is thrown away: discriminators get no gradients while the generators learn and then judge the
same fakes; a generator takes the two inputs that it has at a time in one batch, a discriminator real and fake.
Instance normalisation sees each sample alone, so none of this changes a gradient.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from vc import losses
from vc.config import require
from vc.models.base import PairConverter, RandomDraws
from vc.train.base import Setting
from vc.train.held_out import HeldOut
from vc.train.player import Player
from vc.train.rates import Rates
from vc.train.sampling import Batch, PairSampler


@dataclass(frozen=True)
class Way:
    """One way round the cycle: from a voice to the other and back."""

    start: str
    end: str

    @property
    def judges(self) -> dict[str, str]:
        """Of each adversarial loss, named after what they judge."""
        return {"adversarial": self.end, "second_adversarial": f"restored_{self.start}"}


WAYS = {"forward": Way("source", "target"), "backward": Way("target", "source")}
PARTS = {  # loss -> what it is called in the names of its factors
    "adversarial": "adversarial",
    "second_adversarial": "second_adversarial",
    "cycle_consistency": "cycle",
    "identity_mapping": "identity",
    "content": "content",
}
ADVERSARIES = ("adversarial", "second_adversarial")
CONVERTED = (*ADVERSARIES, "cycle_consistency", "content")  # of what has gone through a generator from the other voice
AROUND = ("cycle_consistency", "second_adversarial")  # of what has gone through both generators


@dataclass(frozen=True)
class CycleGANObjective(Rates):
    """Weights of the losses and how they are minimised.

    The defaults are those on which the public reproductions of the paper agree; docs/decisions.md says what of it we
    could check.
    """

    adversarial: float = 1.0
    second_adversarial: float = 1.0
    cycle_consistency: float = 10.0
    identity_mapping: float = 5.0
    content: float = 0.0
    encoder: str = ""  # that `content` compares by: a model of many speakers, a content encoder, or a folder
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
        factors = (f"{way}_{part}" for way in WAYS for part in PARTS.values())
        super().__post_init__()
        for name in (*PARTS, *factors, "identity_steps"):
            require(getattr(self, name) >= 0, f"objective.{name} must be 0 or more, got {getattr(self, name)}")
        asked = not self.encoder or bool(self.factors("content"))
        require(asked, "objective.encoder is named, but objective.content is 0")
        nothing = "adversarial, second_adversarial and cycle_consistency are 0 in both directions: nothing is learnt"
        require(bool(self.learners), f"objective: {nothing}")

    @property
    def learners(self) -> list[str]:
        """The directions whose generators learn: a way round needs both, a way out its own alone."""
        if self.factors("cycle_consistency") or self.factors("second_adversarial"):
            return list(WAYS)
        return list(self.factors("adversarial"))

    def factors(self, name: str) -> dict[str, float]:
        """The directions in which a loss counts, with their factors, the loss's own weight aside."""
        factors = {way: getattr(self, f"{way}_{PARTS[name]}") for way in WAYS if getattr(self, name) > 0}
        if name in ("identity_mapping", "content"):
            factors = {way: factor for way, factor in factors.items() if way in self.learners}
        return {way: factor for way, factor in factors.items() if factor > 0}

    def weights(self, step: int) -> dict[str, float]:
        """The losses that count at `step` (from 0), with their weights."""
        names = [name for name in PARTS if self.factors(name)]
        return {name: getattr(self, name) for name in names if name != "identity_mapping" or step < self.identity_steps}


@dataclass(frozen=True)
class Fakes:
    """What the generators made in their step, for the discriminators to learn from; detached. None: nobody asks."""

    source: Tensor | None = None  # F(y)
    target: Tensor | None = None  # G(x)
    restored_source: Tensor | None = None  # F(G(x))
    restored_target: Tensor | None = None  # G(F(y))


class CycleGANTraining:
    """Networks and players of a pair, and the step that moves them."""

    sampler, held_out = PairSampler, HeldOut

    def __init__(
        self,
        network: PairConverter,
        config: Any,
        objective: CycleGANObjective,
        setting: Setting,
    ):
        self.network, self.objective, self.steps = network, objective, setting.steps
        self.to_target, self.to_source = network.generators["to_target"], network.generators["to_source"]
        self.factors = {name: objective.factors(name) for name in PARTS}
        self.adversarial = losses.ADVERSARIAL[objective.adversarial_loss]
        self.judges = self._discriminators(config)
        self.speakers = dict(zip(("source", "target"), network.speakers, strict=True))
        self.encoder = setting.encoder and setting.encoder.to(next(network.parameters()).device)
        self.modules, self.called = {"network": network}, [*network.generators.values()]
        how = setting.how(objective)
        learning = network if len(objective.learners) > 1 else self._generator(WAYS[objective.learners[0]].end)
        self.players = {"network": Player(learning, self.generator_losses, *how)}
        self.judged = {}
        if len(self.judges):
            self.modules["judges"] = self.judges
            self.called += self.judges.values()
            self.players["judges"] = Player(self.judges, self.discriminator_losses, *how)
            self.judged = dict.fromkeys(map(_judged_as, self.judges), 1.0)

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set both learning rates for `step` (from 0); return the generators' losses that count, with their weights."""
        rates = self.objective.rates(step, self.steps, scale)
        for name, player in self.players.items():
            player.set_rate(rates[name])
        return self.objective.weights(step)

    def step(self, batch: Batch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Move generators, then discriminators; return each loss under its name, detached.

        Losses are unweighted, but for the factors of their directions.
        """
        terms, fakes = self.players["network"].move(weights, batch, weights)
        if "judges" not in self.players:
            return terms
        judged, _ = self.players["judges"].move(self.judged, batch, fakes)
        return {**terms, **judged}

    def generator_losses(self, batch: Batch, weights: Iterable[str]) -> tuple[dict[str, Tensor], Fakes]:
        """The losses named in `weights`, and the fakes."""
        real = {"source": batch.source, "target": batch.target}
        made = self._first_pass(real, batch.chance, weights)
        terms = self._terms(("identity_mapping", "adversarial", "content"), weights, real, made)
        made |= self._second_pass(made, weights)
        terms |= self._terms(AROUND, weights, real, made)
        return terms, Fakes(**{name: made[name].detach() for name in self.judges if name in made})

    def discriminator_losses(self, batch: Batch, fakes: Fakes) -> tuple[dict[str, Tensor], None]:
        """How far the discriminators are from telling real from fake, for each step of the cycle."""
        judged = {}
        for judge in self.judges:
            real, name = batch.target if judge.endswith("target") else batch.source, _judged_as(judge)
            judged[name] = judged.get(name, 0) + self._told(judge, real, getattr(fakes, judge), batch.chance)
        return judged, None

    def _discriminators(self, config: Any) -> nn.ModuleDict:
        """Those that an adversarial loss asks for; they are drawn in the order of the names of `Fakes`."""
        asked = {WAYS[way].judges[name] for name in ADVERSARIES for way in self.factors[name]}
        names = [field.name for field in fields(Fakes) if field.name in asked]
        device = next(self.network.parameters()).device
        return nn.ModuleDict({name: self.network.discriminator(config) for name in names}).to(device)

    def _first_pass(self, real: Mapping[str, Tensor], chance: RandomDraws | None, weights: Iterable[str]) -> dict:
        """What the generators make of both voices, by name: `target` of the source, `same_target` of the target."""
        made = {}
        for name, way in WAYS.items():
            given = {}
            if any(name in self.factors[loss] for loss in CONVERTED):
                given[way.end] = self.network.generator_input(real[way.start], chance)
            if "identity_mapping" in weights and name in self.factors["identity_mapping"]:
                given[f"same_{way.end}"] = self.network.generator_input(real[way.end])
            if given:
                made |= zip(given, self._generator(way.end)(torch.cat([*given.values()])).chunk(len(given)))
        return made

    def _second_pass(self, made: Mapping[str, Tensor], weights: Iterable[str]) -> dict[str, Tensor]:
        """What comes back of the fakes, for the losses that ask for it."""
        asked = {name for loss in AROUND if loss in weights for name in self.factors[loss]}
        ways = [way for name, way in WAYS.items() if name in asked]
        return {
            f"restored_{way.start}": self._generator(way.start)(self.network.generator_input(made[way.end]))
            for way in ways
        }

    def _generator(self, to: str) -> nn.Module:
        return self.to_target if to == "target" else self.to_source

    def _terms(self, names: Iterable[str], weights: Iterable[str], real: Mapping, made: Mapping) -> dict[str, Tensor]:
        """Of `names`, the losses that are in `weights`: sums over their directions."""
        return {
            name: sum(factor * self._loss(name, WAYS[way], real, made) for way, factor in self.factors[name].items())
            for name in names
            if name in weights
        }

    def _loss(self, name: str, way: Way, real: Mapping[str, Tensor], made: Mapping[str, Tensor]) -> Tensor:
        if name in ADVERSARIES:
            judge = way.judges[name]
            return self.adversarial.fooled(self.judges[judge](made[judge]), True)
        if name == "identity_mapping":
            return losses.identity_mapping(made[f"same_{way.end}"], real[way.end])
        if name == "content":
            with torch.no_grad():
                said = self.encoder(real[way.start], self.speakers[way.start])
            return losses.content(self.encoder(made[way.end], self.speakers[way.end]), said)
        return losses.cycle_consistency(made[f"restored_{way.start}"], real[way.start])

    def _told(self, judge: str, real: Tensor, fake: Tensor, chance: RandomDraws | None) -> Tensor:
        on_real, on_fake = self.judges[judge](torch.cat([real, fake])).chunk(2)
        loss = self.adversarial.told(on_real, True) + self.adversarial.told(on_fake, False)
        if self.adversarial.penalty:
            penalty = losses.gradient_penalty(self.judges[judge], real, fake, chance(1))
            loss = loss + self.adversarial.penalty * penalty
        return loss


def _judged_as(judge: str) -> str:
    return "second_discriminator" if judge.startswith("restored") else "discriminator"
