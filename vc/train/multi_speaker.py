"""The training step of one model for many speakers: conditional generators, speaker-independent codes, common spaces.

With x a segment of speaker s, t another speaker, E the encoder, G the decoder, D the discriminator and z = E(x, s) the
code, the model minimises the weighted sum of

    adversarial         D on G(z, s, t)
    classification      cross-entropy of D's classification of G(z, s, t) with t   (D is trained on real speech alone)
    cycle_consistency   G(E(G(z, s, t), t), t, s) to x
    identity_mapping    G(z, s, s) to x                                            (before step `identity_steps`)
    code_speaker        cross-entropy of a classification of z, as G gets it, with s; its gradient to E is reversed
    code_consistency    E(G(z, s, t), t) to z; for a variational code, their means
    code_cost           cost of the code: KL divergence, or distance from the entries of a codebook
    cycle_code_cost     the same of the conversion's code E(G(z, s, t), t), which is then sampled, too
    fusion              G(z', s, s) to x, with z' the code of x fused with that of its conversion
    content             C(G(z, s, t)) to C(x), with C a fixed encoder of what is said

and D is trained to distinguish x, labelled as converted from t, from G(z, s, t): the source-and-target conditional loss
of StarGAN-VC2 (Kaneko et al., Interspeech 2019, sec. 3.1), where D is conditioned on both speakers. With `wrong_name`,
D is also trained to reject x labelled as t: real speech of another speaker (after Reed et al., "Generative adversarial
text to image synthesis", ICML 2016). Its loss is that on x, plus the mean of those on fakes and on wrong labels,
weighted by 1 and `wrong_name`. With `same_speaker_fakes`, G(z, s, s) is a fake of s, too, for the model and for D. With
`classified_fakes`, D also learns to classify fakes as their targets (AC-GAN; Odena, Olah and Shlens, ICML 2017), beside
real speech. A discriminator with a class of fakes (DR-GAN; Tran, Yin and Liu, CVPR 2017) learns to classify x as s and
fakes as that class, and `classification` alone opposes it.

Without `cycle_code_cost`, the code in the second half of a cycle is not sampled, and has no cost. A term whose weight
is 0 is not computed, and a discriminator that no loss uses is not built.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from vc import losses
from vc.config import newer, require, require_range
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
    "content",
)
ESSENTIAL = {"adversarial", "cycle_consistency", "identity_mapping"}  # without any of these, frames are arbitrary
ON_DISCRIMINATOR_OUTPUT = {"adversarial", "classification"}  # losses on the discriminator's output for fakes
ON_FAKE_CODE = {"cycle_consistency", "code_consistency", "cycle_code_cost", "fusion"}  # losses on the code of a fake
ALL_STEPS = 10**9  # more than any run has


@dataclass(frozen=True)
class MultiSpeakerObjective(AdversarialConfig):
    """Weights and minimisation of the losses; the defaults are StarGAN-VC2's as far as its reproductions agree."""

    adversarial: float = 1.0
    classification: float = 0.0
    cycle_consistency: float = 10.0
    identity_mapping: float = 5.0
    identity_steps: int = 10_000  # the identity mapping loss counts only before this step
    code_speaker: float = 0.0
    code_consistency: float = 0.0
    code_cost: float = 0.0
    cycle_code_cost: float = 0.0
    fusion: float = 0.0
    wrong_name: float = 0.0  # weight of real speech with a wrong label, relative to 1 for fakes
    classified_fakes: float = 0.0  # weight of fakes in the discriminator's classifier loss, relative to 1 for speech
    same_speaker_fakes: bool = False  # whether segments decoded as their own speaker are fakes, too
    classification_per_speaker: bool = False  # whether `classification` is divided by the number of speakers

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, "objective", *LOSSES, "identity_steps", "wrong_name", "classified_fakes", at_least=0)
        has_effect = self.wrong_name == 0 or self.adversarial > 0
        require(has_effect, "objective.wrong_name counts beside objective.adversarial, which is 0")
        trains = sum(getattr(self, name) for name in ESSENTIAL) > 0
        require(trains, "objective: adversarial, cycle_consistency and identity_mapping are 0: nothing is learnt")

    def check(self, network: MultiSpeakerConverter, steps: int) -> None:
        """Raise ConfigError if `network` cannot be trained by this objective in a run of `steps` steps."""
        suits = not self.classification or network.classifies
        require(suits, "objective.classification: this method's discriminator does not classify speakers")
        suits = self.adversarial == 0 or not network.has_fake_class
        advice = "this method's discriminator names fakes instead; objective.classification fools it"
        require(suits, f"objective.adversarial: {advice}")
        suits = not self.classified_fakes or (network.classifies and not network.has_fake_class)
        require(suits, "objective.classified_fakes: this method's discriminator does not name fakes' speakers")
        suits = not self.fusion or network.fuses
        require(suits, "objective.fusion: this method's codes have no confidences to be fused by")
        suits = not self.wrong_name or not network.classifies
        require(suits, "objective.wrong_name: this method's discriminator is not conditioned on speakers")
        suits = self.code_cost > 0 or not network.code_has_cost
        require(suits, "network.code: quantised needs objective.code_cost above 0")
        essential = ESSENTIAL & set(self.weights(steps - 1))
        require(bool(essential), f"objective.identity_steps: nothing is learnt from step {self.identity_steps} on")

    def weights(self, step: int) -> dict[str, float]:
        """Weights of the model's losses that count at `step` (from 0)."""
        weights = {name: getattr(self, name) for name in LOSSES}
        if step >= self.identity_steps:
            del weights["identity_mapping"]
        return {name: weight for name, weight in weights.items() if weight > 0}

    @property
    def discriminator_weights(self) -> dict[str, float]:
        """Weights of the discriminator's losses."""
        weights = {"discriminator": float(self.adversarial > 0), "classifier": self.classification}
        return {name: weight for name, weight in weights.items() if weight > 0}


@dataclass(frozen=True)
class ConditionalGANObjective(MultiSpeakerObjective):
    """No cycle, and real speech with a wrong label."""

    cycle_consistency: float = 0.0
    wrong_name: float = 1.0


@dataclass(frozen=True)
class StarGANVCObjective(MultiSpeakerObjective):
    """The authors' later code: losses of weight 1, a critic with gradient penalty, rates 100 times apart.

    As there, segments decoded as their own speaker are fakes, and classification is divided by the number of speakers.
    Differs from it: the penalty has a weight of 10, is of the critic's mean over positions, and lies between fakes and
    the target's speech (there 1, of the sum, and between segments and their own conversions); beta1 is 0.5 for all
    networks (there 0.9 for the generator); gradients are not clipped (there to a norm of 1).
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
    """The paper's two losses, logistic and of equal weight; identity mapping, which preserves content, is ours."""

    classification: float = 1.0
    classified_fakes: float = 1.0
    cycle_consistency: float = 0.0
    identity_steps: int = ALL_STEPS
    adversarial_loss: str = "original"


@dataclass(frozen=True)
class DRGANObjective(MultiSpeakerObjective):
    """An adversarial classifier of N + 1 classes; identity mapping and fusion preserve content. Our weights."""

    adversarial: float = newer(0.0, earlier=1.0)
    classification: float = 1.0
    cycle_consistency: float = 0.0
    identity_mapping: float = 10.0
    identity_steps: int = ALL_STEPS
    code_speaker: float = newer(0.0, earlier=1.0)
    fusion: float = newer(1.0, earlier=0.0)


@dataclass(frozen=True)
class ReversedGradientObjective(MultiSpeakerObjective):
    """Gradient reversal beside identity mapping; the weights are ours."""

    classification: float = 1.0
    cycle_consistency: float = 0.0
    identity_mapping: float = 10.0
    identity_steps: int = ALL_STEPS
    code_speaker: float = 1.0


@dataclass(frozen=True)
class UNITObjective(MultiSpeakerObjective):
    """UNIT's ratios of weights as we know them: 10 for its GANs, 100 for reconstruction, 0.1 for divergences.

    As there, the cycle has the same: a conversion's code is sampled for decoding, and its divergence is a cost.
    """

    identity_mapping: float = 10.0
    identity_steps: int = ALL_STEPS
    code_cost: float = 0.01
    cycle_code_cost: float = newer(0.01, earlier=0.0)


@dataclass(frozen=True)
class CoGANObjective(MultiSpeakerObjective):
    """The adversarial loss alone, but for identity mapping, which is ours."""

    cycle_consistency: float = 0.0
    identity_mapping: float = 10.0
    identity_steps: int = ALL_STEPS


@dataclass(frozen=True)
class XGANObjective(MultiSpeakerObjective):
    """A cycle of codes in place of frames; the weights are ours."""

    cycle_consistency: float = 0.0
    identity_mapping: float = 10.0
    identity_steps: int = ALL_STEPS
    code_speaker: float = 1.0
    code_consistency: float = 1.0


@dataclass(frozen=True)
class VQVAEObjective(MultiSpeakerObjective):
    """No discriminator; gradient reversal on the code, with the weight of the toolkit crank."""

    adversarial: float = 0.0
    cycle_consistency: float = 0.0
    identity_mapping: float = 1.0
    identity_steps: int = ALL_STEPS
    code_speaker: float = 0.1
    code_cost: float = 1.0


class MultiSpeakerTraining:
    """Model, discriminator, classifier of codes, their optimisers and training step."""

    sampler, held_out = MultiSpeakerSampler, HeldOut

    def __init__(self, network: MultiSpeakerConverter, config: Any, objective: MultiSpeakerObjective, setup: Setup):
        self.network, self.objective, self.steps = network, objective, setup.steps
        self.adversarial = losses.ADVERSARIAL[objective.adversarial_loss]
        self.classification_scale = 1 / len(network.speaker_indices) if objective.classification_per_speaker else 1.0
        objective.check(network, setup.steps)
        parts = (child if isinstance(child, nn.ModuleList) else [child] for child in network.children())
        self.modules, self.step_networks, trained = {"network": network}, [*chain(*parts)], nn.ModuleList([network])
        device = next(network.parameters()).device
        self.encoder = setup.encoder and setup.encoder.to(device)  # not in `modules`: it is never trained
        optimiser = partial(Optimiser, betas=objective.betas, precision=setup.precision, processes=setup.processes)
        self.discriminator = self.code_classifier = None
        if objective.code_speaker:
            self.code_classifier = CodeClassifier(network.code_channels, len(network.speaker_indices)).to(device)
            self.modules["code_classifier"] = self.code_classifier
            self.step_networks.append(self.code_classifier)
            trained.append(self.code_classifier)
        self.optimisers = {"network": optimiser(trained)}
        if objective.discriminator_weights:
            self.discriminator = network.discriminator(config).to(device)
            self.modules["discriminators"] = self.discriminator
            self.step_networks.append(self.discriminator)
            self.optimisers["discriminators"] = optimiser(self.discriminator)

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set the learning rates of `step` (from 0); return the weights of the model's losses that count."""
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

        With `same_speaker_fakes`, segments decoded as their own speaker follow the others.
        """
        network, x, s, t = self.network, batch.frames, batch.speakers, batch.targets
        code = network.encode(x, s)
        decoder_code, cost = network.apply_bottleneck(code, batch.random_draws)
        same_speaker_fakes = self.objective.same_speaker_fakes and weights.keys() & ON_DISCRIMINATOR_OUTPUT
        # decoded in one batch: conversions ("fake") and segments as their own speaker ("same"), if a loss needs them
        renderings = {"fake": t} if weights.keys() & (ON_DISCRIMINATOR_OUTPUT | ON_FAKE_CODE | {"content"}) else {}
        if "identity_mapping" in weights or same_speaker_fakes:
            renderings["same"] = s
        codes, sources = (torch.cat([part] * len(renderings)) for part in (decoder_code, s))
        output = network.decode(codes, sources, torch.cat([*renderings.values()]), x.shape[-1])
        decoded = dict(zip(renderings, output.chunk(len(renderings)), strict=True))
        terms = {}
        fakes = torch.cat([decoded["fake"], decoded["same"]]) if same_speaker_fakes else decoded.get("fake")
        if weights.keys() & ON_DISCRIMINATOR_OUTPUT:
            sources, targets = self._fake_speakers(batch, len(fakes))
            logits = self.discriminator(fakes, sources, targets, batch.random_draws)
        if "adversarial" in weights:
            terms["adversarial"] = self.adversarial.generator_loss(logits.real)
        if "classification" in weights:
            terms["classification"] = self.classification_scale * losses.classification(logits.speakers, targets)
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
            speaker_logits = self.code_classifier(losses.reverse_gradient(decoder_code))
            terms["code_speaker"] = losses.classification(speaker_logits, s)
        if "code_consistency" in weights:
            means = (network.apply_bottleneck(part)[0] for part in (encoded, code))  # not sampled
            terms["code_consistency"] = losses.code_consistency(*means)
        if "code_cost" in weights:
            terms["code_cost"] = cost
        if "cycle_code_cost" in weights:
            terms["cycle_code_cost"] = fake_cost
        if "fusion" in weights:
            fused, _ = network.apply_bottleneck(network.fuse([code, encoded]), batch.random_draws)
            terms["fusion"] = losses.identity_mapping(network.decode(fused, s, s, x.shape[-1]), x)
        if "content" in weights:
            with torch.no_grad():
                original = self.encoder.encode(x, s)
            terms["content"] = losses.content(self.encoder.encode(decoded["fake"], t), original)
        return terms, None if self.discriminator is None else fakes.detach()

    @staticmethod
    def _fake_speakers(batch: MultiSpeakerBatch, fakes: int) -> tuple[Tensor, Tensor]:
        """Source and target speakers of the first `fakes` fakes."""
        sources, targets = torch.cat([batch.speakers] * 2), torch.cat([batch.targets, batch.speakers])
        return sources[:fakes], targets[:fakes]

    def discriminator_losses(self, batch: MultiSpeakerBatch, fakes: Tensor) -> tuple[dict[str, Tensor], None]:
        """The discriminator's losses on real segments, fakes and wrong labels, and its classifier's."""
        x, s, t = batch.frames, batch.speakers, batch.targets
        sources, targets = self._fake_speakers(batch, len(fakes))
        inputs = torch.cat([x, fakes]), torch.cat([t, sources]), torch.cat([s, targets])
        logits, terms = self.discriminator(*inputs, batch.random_draws), {}
        if "discriminator" in self.objective.discriminator_weights:
            on_real, on_fake = logits.real[: len(x)], logits.real[len(x) :]
            fake_loss, wrong = self.adversarial.discriminator_loss(on_fake, real=False), self.objective.wrong_name
            if wrong > 0:
                on_wrong = self.discriminator(x, s, t, batch.random_draws).real
                wrong_loss = self.adversarial.discriminator_loss(on_wrong, real=False)
                fake_loss = (fake_loss + wrong * wrong_loss) / (1 + wrong)
            loss = self.adversarial.discriminator_loss(on_real, real=True) + fake_loss
            if self.adversarial.penalty:
                per_speaker = len(x) // len(self.network.speaker_indices)  # segments are in the order of speakers
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
            on_real, on_fake = logits.speakers[: len(x)], logits.speakers[len(x) :]
            loss, fakes_weight = losses.classification(on_real, s), self.objective.classified_fakes
            if self.network.has_fake_class:
                fake_class = torch.full_like(targets, len(self.network.speaker_indices))
                loss = loss + losses.classification(on_fake, fake_class)
            elif fakes_weight > 0:
                loss = loss + fakes_weight * losses.classification(on_fake, targets)
            terms["classifier"] = self.classification_scale * loss
        return terms, None
