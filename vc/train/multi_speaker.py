"""The training step of one model for many speakers: conditional generators, codes freed of the speaker, common spaces.

With x a segment of speaker s, t another speaker, E the encoder, G the decoder, D the discriminator and z = E(x, s) the
code, the model minimises the weighted sum of

    adversarial         D on G(z, s, t)
    classification      the speaker that D finds in G(z, s, t), to be t   (D learns this from real speech alone)
    cycle_consistency   G(E(G(z, s, t), t), t, s) to x
    identity_mapping    G(z, s, s) to x                                   (before step `identity_steps`)
    code_speaker        the speaker that a classifier finds in z as G gets it, to be s; its gradient comes to E reversed
    code_consistency    E(G(z, s, t), t) to z, of a variational code the means
    code_cost           what the method's code costs: divergence, or distance from a codebook's entries
    cycle_code_cost     what the conversion's code E(G(z, s, t), t) costs, which is drawn then, too
    fusion              G(z', s, s) to x, z' the code of x fused with that of its conversion

and D learns to tell x, labelled as made of t, from G(z, s, t): the source-and-target conditional loss of StarGAN-VC2
(Kaneko et al., Interspeech 2019, sec. 3.1), where D is given both speakers. With `wrong_name`, D also learns to refuse
x under the name of t: real speech of another speaker (after Reed et al., "Generative adversarial text to image
synthesis", ICML 2016). Its loss is that on x, plus a mean of those on fakes and on wrong names, weighted by 1 and
`wrong_name`. With `same_speaker_fakes`, G(z, s, s) is a fake of s, too, for the model and for D. With
`classified_fakes`, D learns the speakers of fakes, as they were meant (AC-GAN; Odena, Olah and Shlens, ICML 2017),
beside those of real speech. A discriminator that has a class of fakes (DR-GAN; Tran, Yin and Liu, CVPR 2017) learns to
name x with s and fakes with that class, and `classification` alone fools it.

Without `cycle_code_cost`, in the second half of a cycle a code is not drawn, and costs nothing. A term whose weight is
0 is not computed, and a discriminator that no loss uses is not built.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from vc import losses
from vc.config import newer, require
from vc.models.base import MultiSpeakerConverter
from vc.models.bottlenecks import CodeClassifier
from vc.train.engine import Setup
from vc.train.held_out import HeldOut
from vc.train.optimise import AdversarialConfig, Optimiser
from vc.train.sampling import MultiSpeakerBatch, MultiSpeakerSampler

LOSSES = (
    "adversarial",
    "classification",
    "cycle_consistency",
    "identity_mapping",
    "code_speaker",
    "code_consistency",
    "code_cost",
    "cycle_code_cost",
    "fusion",
)
ESSENTIAL = {"adversarial", "cycle_consistency", "identity_mapping"}  # without any of these, frames are arbitrary
ON_DISCRIMINATOR_OUTPUT = {"adversarial", "classification"}
ON_FAKE_CODE = {"cycle_consistency", "code_consistency", "cycle_code_cost", "fusion"}
ALL_STEPS = 10**9  # a step that no run reaches


@dataclass(frozen=True)
class MultiSpeakerObjective(AdversarialConfig):
    """Weights of the losses and how they are minimised; those of StarGAN-VC2 as far as its reproductions agree."""

    adversarial: float = 1.0
    classification: float = 0.0
    cycle_consistency: float = 10.0
    identity_mapping: float = 5.0
    identity_steps: int = 10_000  # the identity mapping loss counts before this step only
    code_speaker: float = 0.0
    code_consistency: float = 0.0
    code_cost: float = 0.0
    cycle_code_cost: float = 0.0
    fusion: float = 0.0
    wrong_name: float = 0.0  # weight of real speech under a wrong name beside 1 for fakes
    classified_fakes: float = 0.0  # weight of fakes in what the discriminator learns of speakers, beside 1 for speech
    same_speaker_fakes: bool = False  # whether what is decoded as its own speaker is judged, too
    classification_per_speaker: bool = False  # whether `classification` is divided by the number of speakers

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (*LOSSES, "identity_steps", "wrong_name", "classified_fakes"):
            require(getattr(self, name) >= 0, f"objective.{name} must be 0 or more, got {getattr(self, name)}")
        used = self.wrong_name == 0 or self.adversarial > 0
        require(used, "objective.wrong_name counts beside objective.adversarial, which is 0")
        learns = sum(getattr(self, name) for name in ESSENTIAL) > 0
        require(learns, "objective: adversarial, cycle_consistency and identity_mapping are 0: nothing is learnt")

    def check(self, network: MultiSpeakerConverter, steps: int) -> None:
        """Refuse by name what `network` cannot learn by this in a run of so many steps."""
        classifies = not self.classification or network.classifies
        conditional = not self.wrong_name or not network.classifies
        require(classifies, "objective.classification: this method's discriminator does not classify speakers")
        real_or_fake = not network.has_fake_class or self.adversarial == 0
        instead = "this method's discriminator names fakes instead; objective.classification fools it"
        require(real_or_fake, f"objective.adversarial: {instead}")
        named = not self.classified_fakes or (network.classifies and not network.has_fake_class)
        require(named, "objective.classified_fakes: this method's discriminator does not name fakes' speakers")
        fuses = not self.fusion or network.fuses
        require(fuses, "objective.fusion: this method's codes have no confidences to be fused by")
        require(conditional, "objective.wrong_name: this method's discriminator is not conditioned on speakers")
        priced = not network.code_has_cost or self.code_cost > 0
        require(priced, "network.code: quantised needs objective.code_cost above 0")
        later = ESSENTIAL & set(self.weights(steps - 1))
        require(bool(later), f"objective.identity_steps: nothing is learnt from step {self.identity_steps} on")

    def weights(self, step: int) -> dict[str, float]:
        """The model's losses that count at `step` (from 0), with their weights."""
        weights = {name: getattr(self, name) for name in LOSSES}
        if step >= self.identity_steps:
            del weights["identity_mapping"]
        return {name: weight for name, weight in weights.items() if weight > 0}

    @property
    def discriminator_weights(self) -> dict[str, float]:
        """The discriminator's losses, with their weights."""
        weights = {"discriminator": float(self.adversarial > 0), "classifier": self.classification}
        return {name: weight for name, weight in weights.items() if weight > 0}


@dataclass(frozen=True)
class ConditionalGANObjective(MultiSpeakerObjective):
    """No cycle, and real speech under a wrong name is refused."""

    cycle_consistency: float = 0.0
    wrong_name: float = 1.0


@dataclass(frozen=True)
class StarGANVCObjective(MultiSpeakerObjective):
    """The authors' later code: losses of weight 1, a critic with gradient penalty (10 here), rates 100 times apart.

    There, too, what is decoded as its own speaker is judged, and classification is divided by the number of speakers.
    """

    classification: float = 1.0
    cycle_consistency: float = 1.0
    identity_mapping: float = 1.0
    identity_steps: int = ALL_STEPS
    generator_rate: float = 5e-4
    discriminator_rate: float = 5e-6
    adversarial_loss: str = "wasserstein_gp"
    same_speaker_fakes: bool = newer(True, earlier=False)
    classification_per_speaker: bool = newer(True, earlier=False)


@dataclass(frozen=True)
class ACGANObjective(MultiSpeakerObjective):
    """The paper's two losses, of equal weight, in its logarithms; identity mapping, which holds content, is ours."""

    classification: float = 1.0
    classified_fakes: float = 1.0
    cycle_consistency: float = 0.0
    identity_steps: int = ALL_STEPS
    adversarial_loss: str = "original"


@dataclass(frozen=True)
class DRGANObjective(MultiSpeakerObjective):
    """One game, of N + 1 names; identity mapping and fusion hold what is said. The weights are ours."""

    adversarial: float = newer(0.0, earlier=1.0)
    classification: float = 1.0
    cycle_consistency: float = 0.0
    identity_mapping: float = 10.0
    identity_steps: int = ALL_STEPS
    code_speaker: float = newer(0.0, earlier=1.0)
    fusion: float = newer(1.0, earlier=0.0)


@dataclass(frozen=True)
class ReversedGradientObjective(MultiSpeakerObjective):
    """Frames are decoded from their own code, too; the weights are ours."""

    classification: float = 1.0
    cycle_consistency: float = 0.0
    identity_mapping: float = 10.0
    identity_steps: int = ALL_STEPS
    code_speaker: float = 1.0


@dataclass(frozen=True)
class UNITObjective(MultiSpeakerObjective):
    """The ratios of UNIT's weights as we know them: 10 for its GANs, 100 for reconstruction, 0.1 for divergences.

    The way round has the same, as there: what is drawn around a conversion's code is decoded, and costs its divergence.
    """

    identity_mapping: float = 10.0
    identity_steps: int = ALL_STEPS
    code_cost: float = 0.01
    cycle_code_cost: float = newer(0.01, earlier=0.0)


@dataclass(frozen=True)
class CoGANObjective(MultiSpeakerObjective):
    """Shared layers and adversaries alone, but for each speaker's own way back, which is ours."""

    cycle_consistency: float = 0.0
    identity_mapping: float = 10.0
    identity_steps: int = ALL_STEPS


@dataclass(frozen=True)
class XGANObjective(MultiSpeakerObjective):
    """No cycle of frames, but one of codes; the weights are ours."""

    cycle_consistency: float = 0.0
    identity_mapping: float = 10.0
    identity_steps: int = ALL_STEPS
    code_speaker: float = 1.0
    code_consistency: float = 1.0


@dataclass(frozen=True)
class VQVAEObjective(MultiSpeakerObjective):
    """No discriminator; the code is freed of the speaker, with the weight that the toolkit crank gives this."""

    adversarial: float = 0.0
    cycle_consistency: float = 0.0
    identity_mapping: float = 1.0
    identity_steps: int = ALL_STEPS
    code_speaker: float = 0.1
    code_cost: float = 1.0


class MultiSpeakerTraining:
    """Model, discriminator, classifier of codes, their optimisers, and the step that they take."""

    sampler, held_out = MultiSpeakerSampler, HeldOut

    def __init__(self, network: MultiSpeakerConverter, config: Any, objective: MultiSpeakerObjective, setup: Setup):
        self.network, self.objective, self.steps = network, objective, setup.steps
        self.adversarial = losses.ADVERSARIAL[objective.adversarial_loss]
        self.naming_scale = 1 / len(network.speaker_indices) if objective.classification_per_speaker else 1.0
        objective.check(network, setup.steps)
        parts = (child if isinstance(child, nn.ModuleList) else [child] for child in network.children())
        self.modules, self.called, learning = {"network": network}, [*chain(*parts)], nn.ModuleList([network])
        device = next(network.parameters()).device
        optimiser = partial(Optimiser, betas=objective.betas, precision=setup.precision, processes=setup.processes)
        self.discriminator = self.code_classifier = None
        if objective.code_speaker:
            self.code_classifier = CodeClassifier(network.code_channels, len(network.speaker_indices)).to(device)
            self.modules["code_classifier"] = self.code_classifier
            self.called.append(self.code_classifier)
            learning.append(self.code_classifier)
        self.optimisers = {"network": optimiser(learning)}
        if objective.discriminator_weights:
            self.discriminator = network.discriminator(config).to(device)
            self.modules["discriminators"] = self.discriminator
            self.called.append(self.discriminator)
            self.optimisers["discriminators"] = optimiser(self.discriminator)

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set the learning rates of `step` (from 0); return the model's losses that count, with their weights."""
        self.objective.set_rates(self.optimisers, step, self.steps, scale)
        return self.objective.weights(step)

    def step(self, batch: MultiSpeakerBatch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Update the model, then the discriminator; return each unweighted loss under its name, detached."""
        terms, fake = self.optimisers["network"].step(lambda: self.model_losses(batch, weights), weights)
        if self.discriminator is not None:
            compute = partial(self.discriminator_losses, batch, fake)
            terms |= self.optimisers["discriminators"].step(compute, self.objective.discriminator_weights)[0]
        return terms

    def model_losses(
        self, batch: MultiSpeakerBatch, weights: Mapping[str, float]
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """The losses named in `weights`, and the fakes, detached, if there is a discriminator.

        With `same_speaker_fakes`, what is decoded as its own speaker lies behind the others.
        """
        network, x, s, t = self.network, batch.frames, batch.speakers, batch.targets
        code = network.encode(x, s)
        passed, cost = network.apply_bottleneck(code, batch.random_draws)  # the code as the decoder gets it
        same_speaker_fakes = self.objective.same_speaker_fakes and weights.keys() & ON_DISCRIMINATOR_OUTPUT
        targets = {"fake": t} if weights.keys() & (ON_DISCRIMINATOR_OUTPUT | ON_FAKE_CODE) else {}
        if "identity_mapping" in weights or same_speaker_fakes:
            targets["same"] = s
        codes, sources = (torch.cat([part] * len(targets)) for part in (passed, s))
        decoded = network.decode(codes, sources, torch.cat([*targets.values()]), x.shape[-1])
        decoded = dict(zip(targets, decoded.chunk(len(targets)), strict=True))
        terms = {}
        fakes = torch.cat([decoded["fake"], decoded["same"]]) if same_speaker_fakes else decoded.get("fake")
        if weights.keys() & ON_DISCRIMINATOR_OUTPUT:
            sources, targets = self._sides(batch, len(fakes))
            judgement = self.discriminator(fakes, sources, targets, batch.random_draws)
        if "adversarial" in weights:
            terms["adversarial"] = self.adversarial.generator_loss(judgement.real)
        if "classification" in weights:
            terms["classification"] = self.naming_scale * losses.classification(judgement.speakers, targets)
        if weights.keys() & ON_FAKE_CODE:
            encoded = network.encode(decoded["fake"], t)
            draws = batch.random_draws if "cycle_code_cost" in weights else None
            fake_code, fake_cost = network.apply_bottleneck(encoded, draws)
        if "cycle_consistency" in weights:
            restored = network.decode(fake_code, t, s, x.shape[-1])
            terms["cycle_consistency"] = losses.cycle_consistency(restored, x)
        if "identity_mapping" in weights:
            terms["identity_mapping"] = losses.identity_mapping(decoded["same"], x)
        if "code_speaker" in weights:
            names = self.code_classifier(losses.reverse_gradient(passed))
            terms["code_speaker"] = losses.classification(names, s)
        if "code_consistency" in weights:
            means = (network.apply_bottleneck(each)[0] for each in (encoded, code))
            terms["code_consistency"] = losses.code_consistency(*means)
        if "code_cost" in weights:
            terms["code_cost"] = cost
        if "cycle_code_cost" in weights:
            terms["cycle_code_cost"] = fake_cost
        if "fusion" in weights:
            fused, _ = network.apply_bottleneck(network.fuse([code, encoded]), batch.random_draws)
            terms["fusion"] = losses.identity_mapping(network.decode(fused, s, s, x.shape[-1]), x)
        return terms, None if self.discriminator is None else fakes.detach()

    @staticmethod
    def _sides(batch: MultiSpeakerBatch, fakes: int) -> tuple[Tensor, Tensor]:
        """The speakers that so many fakes come from, and those that they are of."""
        sources, targets = torch.cat([batch.speakers] * 2), torch.cat([batch.targets, batch.speakers])
        return sources[:fakes], targets[:fakes]

    def discriminator_losses(self, batch: MultiSpeakerBatch, fakes: Tensor) -> tuple[dict[str, Tensor], None]:
        """The discriminator's losses on real and fake segments, wrong names, and speakers."""
        x, s, t = batch.frames, batch.speakers, batch.targets
        sources, targets = self._sides(batch, len(fakes))
        sides = torch.cat([x, fakes]), torch.cat([t, sources]), torch.cat([s, targets])
        judgement, terms = self.discriminator(*sides, batch.random_draws), {}
        if "discriminator" in self.objective.discriminator_weights:
            on_real, on_fake = judgement.real[: len(x)], judgement.real[len(x) :]
            fake_loss, wrong = self.adversarial.discriminator_loss(on_fake, real=False), self.objective.wrong_name
            if wrong > 0:
                on_wrong = self.discriminator(x, s, t, batch.random_draws).real
                wrong_loss = self.adversarial.discriminator_loss(on_wrong, real=False)
                fake_loss = (fake_loss + wrong * wrong_loss) / (1 + wrong)
            loss = self.adversarial.discriminator_loss(on_real, real=True) + fake_loss
            if self.adversarial.penalty:
                per_speaker = len(x) // len(self.network.speaker_indices)  # segments lie speaker by speaker
                of_targets = x[t * per_speaker + torch.arange(len(x), device=x.device) % per_speaker]
                penalty = losses.gradient_penalty(
                    lambda frames: self.discriminator(frames, s, t, batch.random_draws).real,
                    of_targets,
                    fakes[: len(x)],
                    share=batch.random_draws(1),
                )
                loss = loss + self.adversarial.penalty * penalty
            terms["discriminator"] = loss
        if "classifier" in self.objective.discriminator_weights:
            on_real, on_fake = judgement.speakers[: len(x)], judgement.speakers[len(x) :]
            loss, names = losses.classification(on_real, s), self.objective.classified_fakes
            if self.network.has_fake_class:
                loss = loss + losses.classification(
                    on_fake, torch.full_like(targets, len(self.network.speaker_indices))
                )
            elif names > 0:
                loss = loss + names * losses.classification(on_fake, targets)
            terms["classifier"] = self.naming_scale * loss
        return terms, None
