"""The training step of one model for many speakers: conditional generators, codes freed of the speaker, common spaces.

With x a segment of speaker s, t another speaker, E the encoder, G the decoder, D the discriminator and z = E(x, s) the
code, the model minimises the weighted sum of

    adversarial         D on G(z, s, t)
    classification      the name that D gives G(z, s, t), to be t's       (its own names: of real speech alone)
    cycle_consistency   G(E(G(z, s, t), t), t, s) to x
    identity_mapping    G(z, s, s) to x                                   (before step `identity_steps`)
    code_speaker        a classifier's name for z as G gets it, to be s's; its gradient comes to E reversed
    code_consistency    E(G(z, s, t), t) to z, of a variational code the means
    code_cost           what the method's code costs: divergence, or distance from a book's entries

and D tells x, said to be made of t, from G(z, s, t): the source-and-target conditional loss of StarGAN-VC2 (Kaneko et
al., Interspeech 2019, sec. 3.1), where D is told both. With `wrong_name`, D also refuses x under the name of t: real
speech of somebody else (after Reed et al., "Generative adversarial text to image synthesis", ICML 2016). What is
refused counts as much as what is not: a mean of the two refusals, the latter weighted by `wrong_name`.

On the way round a code is not drawn, and costs nothing. A term whose weight is 0 is not computed, and a discriminator
that nobody asks is not built.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from vc import losses
from vc.config import require
from vc.models.base import DiscriminatorOutput, ManyConverter
from vc.models.bottlenecks import CodeClassifier
from vc.train.base import Setting
from vc.train.held_out import HeldOut
from vc.train.player import Player
from vc.train.rates import Rates
from vc.train.sampling import ManyBatch, ManySampler

LOSSES = (
    "adversarial",
    "classification",
    "cycle_consistency",
    "identity_mapping",
    "code_speaker",
    "code_consistency",
    "code_cost",
)
LEARNT = {"adversarial", "cycle_consistency", "identity_mapping"}  # without any of these, frames are anything
OF_FAKES = {"adversarial", "classification", "cycle_consistency", "code_consistency"}
ALWAYS = 10**9  # a step that no run reaches


@dataclass(frozen=True)
class ManyObjective(Rates):
    """Weights of the losses and how they are minimised; those of StarGAN-VC2 as far as its reproductions agree."""

    adversarial: float = 1.0
    classification: float = 0.0
    cycle_consistency: float = 10.0
    identity_mapping: float = 5.0
    identity_steps: int = 10_000  # the identity mapping loss counts before this step only
    code_speaker: float = 0.0
    code_consistency: float = 0.0
    code_cost: float = 0.0
    wrong_name: float = 0.0  # weight of real speech under a wrong name beside 1 for fakes

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (*LOSSES, "identity_steps", "wrong_name"):
            require(getattr(self, name) >= 0, f"objective.{name} must be 0 or more, got {getattr(self, name)}")
        told = self.wrong_name == 0 or self.adversarial > 0
        require(told, "objective.wrong_name counts beside objective.adversarial, which is 0")
        learns = sum(getattr(self, name) for name in LEARNT) > 0
        require(learns, "objective: adversarial, cycle_consistency and identity_mapping are 0: nothing is learnt")

    def check(self, network: ManyConverter, steps: int) -> None:
        """Refuse by name what `network` cannot learn by this in a run of so many steps."""
        named, told = not self.classification or network.classifies, not self.wrong_name or not network.classifies
        require(named, "objective.classification: this method's discriminator names nobody")
        require(told, "objective.wrong_name: this method's discriminator is told no name")
        require(
            not network.code_has_cost or self.code_cost > 0, "network.code: quantised needs objective.code_cost above 0"
        )
        later = LEARNT & set(self.weights(steps - 1))
        require(bool(later), f"objective.identity_steps: nothing is learnt from step {self.identity_steps} on")

    def weights(self, step: int) -> dict[str, float]:
        """The model's losses that count at `step` (from 0), with their weights."""
        weights = {name: getattr(self, name) for name in LOSSES}
        if step >= self.identity_steps:
            del weights["identity_mapping"]
        return {name: weight for name, weight in weights.items() if weight > 0}

    @property
    def judged(self) -> dict[str, float]:
        """The discriminator's losses, with their weights."""
        weights = {"discriminator": float(self.adversarial > 0), "classifier": self.classification}
        return {name: weight for name, weight in weights.items() if weight > 0}


@dataclass(frozen=True)
class ConditionalGANObjective(ManyObjective):
    """No cycle, and real speech under a wrong name is refused."""

    cycle_consistency: float = 0.0
    wrong_name: float = 1.0


@dataclass(frozen=True)
class StarGANVCObjective(ManyObjective):
    """The authors' later code: losses of weight 1, a critic with gradient penalty (10 here), rates 100 times apart."""

    classification: float = 1.0
    cycle_consistency: float = 1.0
    identity_mapping: float = 1.0
    identity_steps: int = ALWAYS
    generator_rate: float = 5e-4
    discriminator_rate: float = 5e-6
    adversarial_loss: str = "wasserstein_gp"


@dataclass(frozen=True)
class DRGANObjective(ManyObjective):
    """What is encoded comes back; the weights are ours."""

    classification: float = 1.0
    cycle_consistency: float = 0.0
    identity_mapping: float = 10.0
    identity_steps: int = ALWAYS
    code_speaker: float = 1.0


@dataclass(frozen=True)
class UNITObjective(ManyObjective):
    """The ratios of UNIT's weights as we know them: 10 for its GANs, 100 for what comes back, 0.1 for divergences."""

    identity_mapping: float = 10.0
    identity_steps: int = ALWAYS
    code_cost: float = 0.01


@dataclass(frozen=True)
class XGANObjective(ManyObjective):
    """No way round in frames, but one in codes; the weights are ours."""

    cycle_consistency: float = 0.0
    identity_mapping: float = 10.0
    identity_steps: int = ALWAYS
    code_speaker: float = 1.0
    code_consistency: float = 1.0


@dataclass(frozen=True)
class VQVAEObjective(ManyObjective):
    """No discriminator; the speaker is driven out of the code, with the weight that the toolkit crank gives it."""

    adversarial: float = 0.0
    cycle_consistency: float = 0.0
    identity_mapping: float = 1.0
    identity_steps: int = ALWAYS
    code_speaker: float = 0.1
    code_cost: float = 1.0


@dataclass(frozen=True)
class Round:
    """What the networks make of a batch, each thing when it is first asked for."""

    network: ManyConverter
    judge: nn.Module | None
    batch: ManyBatch
    asked: frozenset[str]  # losses that will be computed

    @cached_property
    def code(self) -> Tensor:
        return self.network.encode(self.batch.frames, self.batch.speakers)

    @cached_property
    def passed(self) -> tuple[Tensor, Tensor]:
        """The code as the decoder gets it, and its cost."""
        return self.network.pass_bottleneck(self.code, self.batch.chance)

    @cached_property
    def made(self) -> dict[str, Tensor]:
        """Of the code: `fake`, the targets' frames, and `same`, the speakers' own, as far as they are asked for."""
        aims = {"fake": self.batch.targets} if self.asked & OF_FAKES else {}
        if "identity_mapping" in self.asked:
            aims["same"] = self.batch.speakers
        code, speakers = (torch.cat([each] * len(aims)) for each in (self.passed[0], self.batch.speakers))
        made = self.network.decode(code, speakers, torch.cat([*aims.values()]), self.batch.frames.shape[-1])
        return dict(zip(aims, made.chunk(len(aims)), strict=True))

    @cached_property
    def judgement(self) -> DiscriminatorOutput:
        return self.judge(self.made["fake"], self.batch.speakers, self.batch.targets)

    @cached_property
    def back(self) -> Tensor:
        """The fakes' code, not drawn."""
        return self.network.pass_bottleneck(self.network.encode(self.made["fake"], self.batch.targets))[0]

    @cached_property
    def restored(self) -> Tensor:
        return self.network.decode(self.back, self.batch.targets, self.batch.speakers, self.batch.frames.shape[-1])


class ManyTraining:
    """Model, discriminator, classifier of codes, and the step that moves them."""

    sampler, held_out = ManySampler, HeldOut

    def __init__(self, network: ManyConverter, config: Any, objective: ManyObjective, setting: Setting):
        self.network, self.objective, self.steps = network, objective, setting.steps
        self.adversarial = losses.ADVERSARIAL[objective.adversarial_loss]
        objective.check(network, setting.steps)
        parts = (child if isinstance(child, nn.ModuleList) else [child] for child in network.children())
        self.modules, self.called, moved = {"network": network}, [*chain(*parts)], nn.ModuleList([network])
        device, how = next(network.parameters()).device, setting.how(objective)
        self.judge = self.listener = None
        if objective.code_speaker:
            self.listener = CodeClassifier(network.code_channels, len(network.numbers)).to(device)
            self.modules["listener"] = self.listener
            self.called.append(self.listener)
            moved.append(self.listener)
        self.players = {"network": Player(moved, self.model_losses, *how)}
        if objective.judged:
            self.judge = network.discriminator(config).to(device)
            self.modules["judges"] = self.judge
            self.called.append(self.judge)
            self.players["judges"] = Player(self.judge, self.discriminator_losses, *how)

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set the learning rates of `step` (from 0); return the model's losses that count, with their weights."""
        rates = self.objective.rates(step, self.steps, scale)
        for name, player in self.players.items():
            player.set_rate(rates[name])
        return self.objective.weights(step)

    def step(self, batch: ManyBatch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Move the model, then the discriminator; return each unweighted loss under its name, detached."""
        terms, fake = self.players["network"].move(weights, batch, weights)
        if self.judge is None:
            return terms
        judged, _ = self.players["judges"].move(self.objective.judged, batch, fake)
        return {**terms, **judged}

    def model_losses(self, batch: ManyBatch, weights: Mapping[str, float]) -> tuple[dict[str, Tensor], Tensor | None]:
        """The losses named in `weights`, and the fakes, detached."""
        made = Round(self.network, self.judge, batch, frozenset(weights))
        terms = {name: TERMS[name](self, made) for name in weights}
        return terms, None if self.judge is None else made.made["fake"].detach()

    def discriminator_losses(self, batch: ManyBatch, fake: Tensor) -> tuple[dict[str, Tensor], None]:
        """How far the discriminator is from telling real from fake, right names from wrong, and speakers."""
        x, s, t = batch.frames, batch.speakers, batch.targets
        judgement, terms = self.judge(torch.cat([x, fake]), torch.cat([t, s]), torch.cat([s, t])), {}
        if "discriminator" in self.objective.judged:
            terms["discriminator"] = self._told(judgement.real, batch, fake)
        if "classifier" in self.objective.judged:
            terms["classifier"] = losses.classification(judgement.speakers[: len(x)], s)
        return terms, None

    def _told(self, real: Tensor, batch: ManyBatch, fake: Tensor) -> Tensor:
        x, s, t = batch.frames, batch.speakers, batch.targets
        on_real, on_fake = real.chunk(2)
        refused, wrong = self.adversarial.told(on_fake, False), self.objective.wrong_name
        if wrong > 0:
            refused = (refused + wrong * self.adversarial.told(self.judge(x, s, t).real, False)) / (1 + wrong)
        told = self.adversarial.told(on_real, True) + refused
        if self.adversarial.penalty:
            theirs = self._speech_of(t, x)
            penalty = losses.gradient_penalty(lambda each: self.judge(each, s, t).real, theirs, fake, batch.chance(1))
            told = told + self.adversarial.penalty * penalty
        return told

    def _speech_of(self, speakers: Tensor, frames: Tensor) -> Tensor:
        """Of a batch's `(batch, bands, frames)`, which lie speaker by speaker, one segment of each of `speakers`."""
        each = len(frames) // len(self.network.numbers)  # segments of a speaker
        return frames[speakers * each + torch.arange(len(frames), device=frames.device) % each]


TERMS: dict[str, Callable[[ManyTraining, Round], Tensor]] = {
    "adversarial": lambda own, made: own.adversarial.fooled(made.judgement.real, True),
    "classification": lambda own, made: losses.classification(made.judgement.speakers, made.batch.targets),
    "cycle_consistency": lambda own, made: losses.cycle_consistency(made.restored, made.batch.frames),
    "identity_mapping": lambda own, made: losses.identity_mapping(made.made["same"], made.batch.frames),
    "code_speaker": lambda own, made: losses.classification(
        own.listener(losses.reversed_gradient(made.passed[0])), made.batch.speakers
    ),
    "code_consistency": lambda own, made: losses.code_consistency(made.back, own.network.pass_bottleneck(made.code)[0]),
    "code_cost": lambda own, made: made.passed[1],
}
