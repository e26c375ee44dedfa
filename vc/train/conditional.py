"""The training step of one network for many speakers, told who speaks and who shall.

With x a segment of speaker s, t another speaker, G the generator and D the discriminator, both told, the generator
minimises the weighted sum of

    adversarial         D on G(x, s, t) made of s and said to be t's
    cycle_consistency   G(G(x, s, t), t, s) to x
    identity_mapping    G(x, s, s) to x            (first steps only)

and D tells x, said to be made of t, from G(x, s, t): the source-and-target conditional loss of StarGAN-VC2 (Kaneko et
al., Interspeech 2019, sec. 3.1). With `wrong_name`, D also refuses x under the name of t: real speech of somebody else
(after Reed et al., "Generative adversarial text to image synthesis", ICML 2016). What is refused counts as much as what
is not: a mean of the two refusals, the latter weighted by `wrong_name`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vc import losses
from vc.config import require
from vc.models.stargan_vc2 import StarGANVC2, StarGANVC2Config
from vc.segments import ManyBatch, ManySampler
from vc.train.player import Player
from vc.train.processes import ALONE, Processes
from vc.train.rates import Rates


@dataclass(frozen=True)
class ConditionalObjective(Rates):
    """Weights of the losses and how they are minimised; those of StarGAN-VC2 as far as its reproductions agree."""

    adversarial: float = 1.0
    cycle_consistency: float = 10.0
    identity_mapping: float = 5.0
    identity_steps: int = 10_000  # the identity mapping loss counts before this step only
    wrong_name: float = 0.0  # weight of real speech under a wrong name beside 1 for fakes

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("cycle_consistency", "identity_mapping", "identity_steps", "wrong_name"):
            require(getattr(self, name) >= 0, f"objective.{name} must be 0 or more, got {getattr(self, name)}")
        require(self.adversarial > 0, f"objective.adversarial must be above 0, got {self.adversarial}")

    def weights(self, step: int) -> dict[str, float]:
        """The generator's losses that count at `step` (from 0), with their weights."""
        weights = {
            "adversarial": self.adversarial,
            "cycle_consistency": self.cycle_consistency,
            "identity_mapping": self.identity_mapping if step < self.identity_steps else 0.0,
        }
        return {name: weight for name, weight in weights.items() if weight > 0}


@dataclass(frozen=True)
class ConditionalGANObjective(ConditionalObjective):
    """A conditional GAN: no cycle, and real speech under a wrong name is refused."""

    cycle_consistency: float = 0.0
    wrong_name: float = 1.0


class ConditionalTraining:
    """Network, discriminator and their players, and the step that moves them."""

    sampler = ManySampler

    def __init__(
        self,
        network: StarGANVC2,
        config: StarGANVC2Config,
        objective: ConditionalObjective,
        steps: int,
        precision: str = "float32",
        processes: Processes = ALONE,
    ):
        self.network, self.objective, self.steps = network, objective, steps
        self.adversarial = losses.ADVERSARIAL[objective.adversarial_loss]
        self.judge = network.discriminator(config).to(next(network.parameters()).device)
        self.modules = {"network": network, "judges": self.judge}
        self.called = [network.generator, self.judge]
        how = ((objective.beta1, objective.beta2), precision, processes)
        self.players = {
            "network": Player(network, self.generator_losses, *how),
            "judges": Player(self.judge, self.discriminator_losses, *how),
        }

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set both learning rates for `step` (from 0); return the generator's losses that count, with their weights."""
        for name, rate in self.objective.rates(step, self.steps, scale).items():
            self.players[name].set_rate(rate)
        return self.objective.weights(step)

    def step(self, batch: ManyBatch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Move the generator, then the discriminator; return each unweighted loss under its name, detached."""
        terms, fake = self.players["network"].move(weights, batch, weights)
        judged, _ = self.players["judges"].move({"discriminator": 1.0}, batch, fake)
        return {**terms, **judged}

    def generator_losses(self, batch: ManyBatch, weights: Iterable[str]) -> tuple[dict[str, Tensor], Tensor]:
        """The losses named in `weights`, and the fakes, detached."""
        x, s, t = batch.frames, batch.speakers, batch.targets
        terms = {}
        if "identity_mapping" in weights:
            fake, same = self.network.change(torch.cat([x, x]), torch.cat([s, s]), torch.cat([t, s])).chunk(2)
            terms["identity_mapping"] = losses.identity_mapping(same, x)
        else:
            fake = self.network.change(x, s, t)
        terms["adversarial"] = self.adversarial.fooled(self.judge(fake, s, t), True)
        if "cycle_consistency" in weights:
            terms["cycle_consistency"] = losses.cycle_consistency(self.network.change(fake, t, s), x)
        return terms, fake.detach()

    def discriminator_losses(self, batch: ManyBatch, fake: Tensor) -> tuple[dict[str, Tensor], None]:
        """How far the discriminator is from telling real from fake, and right names from wrong."""
        x, s, t = batch.frames, batch.speakers, batch.targets
        on_real, on_fake = self.judge(torch.cat([x, fake]), torch.cat([t, s]), torch.cat([s, t])).chunk(2)
        refused, wrong = self.adversarial.told(on_fake, False), self.objective.wrong_name
        if wrong > 0:
            refused = (refused + wrong * self.adversarial.told(self.judge(x, s, t), False)) / (1 + wrong)
        told = self.adversarial.told(on_real, True) + refused
        if self.adversarial.penalty:
            theirs = self._speech_of(t, x)
            penalty = losses.gradient_penalty(lambda each: self.judge(each, s, t), theirs, fake, batch.chance(1))
            told = told + self.adversarial.penalty * penalty
        return {"discriminator": told}, None

    def _speech_of(self, speakers: Tensor, frames: Tensor) -> Tensor:
        """Of a batch's `(batch, bands, frames)`, which lie speaker by speaker, one segment of each of `speakers`."""
        each = len(frames) // len(self.network.numbers)  # segments of a speaker
        return frames[speakers * each + torch.arange(len(frames), device=frames.device) % each]
