"""The training step of recognition-synthesis: a decoder of content vectors, its discriminator, and their losses.

With c the content for a real segment x of the target (vc/train/content_sampling.py), p its prosody, G the decoder and D
the discriminator, the decoder minimises the weighted sum of

    spectrum            L1 distance of G(c, p) to x
    adversarial         least squares of D on G(c, p)
    feature_matching    L1 distance of D's feature maps of G(c, p) to those of x

and, if their weights are above 0, of losses on conversions. With c the own content of a segment of speaker A, p' its
prosody at the F0 of another speaker B, y = G(c, p') in B's voice, and E the frozen content encoder:

    conversion_adversarial    least squares of D on y, which is a fake for D, too
    content_consistency       1 - cosine of E(y) and c, in speech; with one target alone, of E(G(c, p)) and c
    cycle                     L1 distance of G(E(y), p), in A's voice, to x

Near the ends of a segment, where E lacks context, its content is less reliable: only the middle half counts. There is
no separate identity mapping loss: `unmatched` segments are decoded in their own voice from their own content.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vc import devices, losses
from vc.config import require, require_range
from vc.encoders.distilled import STRIDE
from vc.features.content import PROSODY, STEPS_PER_OCTAVE, ContentFeatures, pulses
from vc.features.f0 import FARTHEST, HIGHEST_F0, LOWEST_F0
from vc.features.speakers import Speaker
from vc.models.recognition_synthesis import PAUSES, RecognitionSynthesis, RecognitionSynthesisConfig
from vc.train.content_encoder import NaturalScaleEncoder, differentiable_encoder
from vc.train.content_sampling import ContentBatch, ContentSampler
from vc.train.engine import Setup
from vc.train.held_out import HeldOutResynthesis
from vc.train.optimise import Optimiser

CONVERSIONS = ("conversion_adversarial", "content_consistency", "cycle")  # losses on conversions
ADVERSARIAL = {"adversarial", "feature_matching", "conversion_adversarial"}  # losses that need the discriminator
GENERATOR_BETAS, DISCRIMINATOR_BETAS = (0.9, 0.98), (0.5, 0.9)


@dataclass(frozen=True)
class RecognitionSynthesisObjective:
    """Weights and minimisation of the losses, and the kinds of content from which segments are decoded."""

    spectrum: float = 1.0
    adversarial: float = 0.2
    feature_matching: float = 1.0
    conversion_adversarial: float = 0.0
    content_consistency: float = 0.0
    cycle: float = 0.0
    adversarial_from: float = 0.4  # share of the steps after which all losses but `spectrum` count
    generator_rate: float = 1e-3
    adversarial_rate: float = 0.5  # factor on `generator_rate` from then on
    discriminator_rate: float = 4e-4
    warm_up: int = 50  # steps over which the decoder's rate rises
    decay_from: float = 0.6  # share of the steps after which it falls to `last`
    last: float = 0.03  # factor on it at the last step
    weight_decay: float = 0.01
    unmatched: float = 0.3  # relative frequency of a segment's own content,
    prematched: float = 0.4  # of nearest neighbours in the target's other recordings,
    matched: float = 0.3  # of nearest neighbours in other speakers' recordings,
    aligned: float = 0.0  # and of other speakers' renderings of the same sentence
    neighbours: int = 4  # which are averaged
    start: str = ""  # name or path of a model with whose weights the decoder starts; empty: none

    def __post_init__(self) -> None:
        require_range(self, "objective", "spectrum", "unmatched", above=0)
        losses_and_kinds = ("adversarial", "feature_matching", *CONVERSIONS, "prematched", "matched", "aligned")
        require_range(self, "objective", *losses_and_kinds, "warm_up", at_least=0)
        require_range(self, "objective", "generator_rate", "discriminator_rate", above=0, below=1)
        shares = ("adversarial_from", "adversarial_rate", "decay_from", "last", "weight_decay")
        require_range(self, "objective", *shares, at_least=0, at_most=1)
        require_range(self, "objective", "neighbours", at_least=1, at_most=100)

    def rate(self, step: int, steps: int) -> float:
        """Factor on the decoder's learning rate at `step` (from 0) of `steps`."""
        rising = min(1.0, (step + 1) / (self.warm_up + 1))
        decayed = max(0.0, step / steps - self.decay_from) / max(1 - self.decay_from, 1e-9)
        return rising * max(self.last, 1 - decayed)

    @property
    def conversion_losses(self) -> set[str]:
        """The losses on conversions that count."""
        return {name for name in CONVERSIONS if getattr(self, name) > 0}

    def conversions(self, speakers: Mapping[str, Speaker], config: ContentFeatures) -> "Conversions | None":
        """Build what losses on conversions between these speakers need, if any; ConfigError if it is impossible."""
        names = self.conversion_losses
        if not names:
            return None
        for name in sorted(names - {"content_consistency"}):
            options = "--source and --target, or --speakers"
            require(len(speakers) > 1, f"objective.{name} needs two speakers or more: {options}")
        encodes = bool(names & {"content_consistency", "cycle"})
        return Conversions(speakers, config, differentiable_encoder(speakers, config) if encodes else None)


class RecognitionSynthesisTraining:
    """Decoder, discriminator, their optimisers and training step."""

    sampler, held_out = ContentSampler, HeldOutResynthesis

    def __init__(
        self,
        network: RecognitionSynthesis,
        config: RecognitionSynthesisConfig,
        objective: RecognitionSynthesisObjective,
        setup: Setup,
    ):
        self.network, self.objective, self.steps, self.precision = network, objective, setup.steps, setup.precision
        self.adversarial_from = round(objective.adversarial_from * setup.steps)  # step from which all losses count
        self.modules, self.step_networks = {"network": network}, [network]
        device = next(network.parameters()).device
        self.conversions = setup.conversions and setup.conversions.to(device)  # not in `modules`: it is never trained
        settings = {"precision": setup.precision, "processes": setup.processes, "weight_decay": objective.weight_decay}
        self.optimisers = {"network": Optimiser(network, betas=GENERATOR_BETAS, **settings)}
        if any(getattr(objective, name) > 0 for name in ADVERSARIAL):
            self.discriminator = network.discriminator(config).to(device)
            self.modules["discriminators"] = self.discriminator
            self.step_networks.append(self.discriminator)
            self.optimisers["discriminators"] = Optimiser(self.discriminator, betas=DISCRIMINATOR_BETAS, **settings)

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set the learning rates of `step` (from 0); return the weights of the decoder's losses that count."""
        objective, late = self.objective, step >= self.adversarial_from
        adversarial = late and "discriminators" in self.optimisers
        factor = objective.adversarial_rate if adversarial else 1.0
        rate = scale * factor * objective.rate(step, self.steps) * objective.generator_rate
        self.optimisers["network"].set_rate(rate)
        if adversarial:
            self.optimisers["discriminators"].set_rate(scale * objective.discriminator_rate)
        names = ("spectrum", *(("adversarial", "feature_matching", *CONVERSIONS) if late else ()))
        return {name: getattr(objective, name) for name in names if getattr(objective, name) > 0}

    def step(self, batch: ContentBatch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Update the decoder, the moments of its output, and the discriminator.

        Return each unweighted loss under its name, detached.
        """
        terms, fakes = self.optimisers["network"].step(lambda: self.decoder_losses(batch, weights), weights)
        moments_batch = batch.unseen or batch
        content, prosody, speakers = moments_batch.content, moments_batch.prosody, moments_batch.speakers
        with torch.no_grad(), devices.autocast(self.precision, content.device):
            decoded = self.network(content, prosody, speakers)
        self.network.variance.update(decoded, moments_batch.log_mel, prosody[:, -1:], speakers)
        if weights.keys() & ADVERSARIAL:
            compute = partial(self.discriminator_losses, batch, fakes)
            terms |= self.optimisers["discriminators"].step(compute, {"discriminator": 1.0})[0]
        return terms

    def decoder_losses(self, batch: ContentBatch, weights: Mapping[str, float]) -> tuple[dict[str, Tensor], Tensor]:
        """The losses named in `weights`, and the fakes for the discriminator, detached."""
        decoded = self.network(batch.content, batch.prosody, batch.speakers, batch.random_draws).float()
        terms, fakes = {"spectrum": losses.mel_distance(decoded, batch.log_mel)}, decoded
        if "adversarial" in weights or "feature_matching" in weights:
            output, maps = self.discriminator(decoded)
            if "adversarial" in weights:
                terms["adversarial"] = losses.least_squares(output, real=True)
            if "feature_matching" in weights:
                with torch.no_grad():
                    _, real_maps = self.discriminator(batch.log_mel)
                terms["feature_matching"] = losses.feature_matching(maps, real_maps)
        if not weights.keys() & set(CONVERSIONS):
            return terms, fakes.detach()
        content, speakers = batch.content, batch.speakers  # with one target alone, those of the decoded segments
        if batch.targets is not None:
            speakers, pair = batch.targets, (batch.speakers, batch.targets)
            content = self.conversions.rescale_content(batch.own_content, *pair)
            prosody = self.conversions.map_prosody(batch.prosody, *pair)
            decoded = self.network(content, prosody, speakers, batch.random_draws).float()
        if "conversion_adversarial" in weights:
            output, _ = self.discriminator(decoded)
            terms["conversion_adversarial"] = losses.least_squares(output, real=True)
            fakes = torch.cat([fakes, decoded])
        if weights.keys() & {"content_consistency", "cycle"}:
            encoded = self.conversions.encode(decoded, speakers)
            length = encoded.shape[-1]
            middle = slice(length // 4, length - length // 4)
        if "content_consistency" in weights:
            speech = (batch.prosody[:, -1] > PAUSES[1])[:, middle]
            terms["content_consistency"] = losses.content(encoded[..., middle], content[..., middle], mask=speech)
        if "cycle" in weights:
            content = self.conversions.rescale_content(encoded, speakers, batch.speakers)
            restored = self.network(content, batch.prosody, batch.speakers, batch.random_draws)
            terms["cycle"] = losses.cycle_consistency(restored[..., middle], batch.log_mel[..., middle])
        return terms, fakes.detach()

    def discriminator_losses(self, batch: ContentBatch, fakes: Tensor) -> tuple[dict[str, Tensor], None]:
        """The discriminator's loss on real segments and on `fakes`, which may be more."""
        output, _ = self.discriminator(torch.cat([batch.log_mel, fakes]))
        on_real, on_fake = output.split([len(batch.log_mel), len(fakes)])
        loss = losses.least_squares(on_real, real=True) + losses.least_squares(on_fake, real=False)
        return {"discriminator": loss}, None


class Conversions(nn.Module):
    """Operations of conversions within a batch: mapping content and prosody between speakers, and encoding.

    Parameters
    ----------
    speakers : mapping of str to Speaker
        In the order of their indices.
    config : ContentFeatures
        Settings of the training features.
    encoder : NaturalScaleEncoder, optional
        The frozen content encoder, from `differentiable_encoder`. Default: `encode` cannot be called.
    """

    def __init__(
        self, speakers: Mapping[str, Speaker], config: ContentFeatures, encoder: NaturalScaleEncoder | None = None
    ):
        super().__init__()
        self.encoder = encoder

        def store(name: str, values: list) -> None:
            self.register_buffer(name, torch.tensor(np.array(values), dtype=torch.float32))

        contents = [speaker.content for speaker in speakers.values()]
        store("content_mean", [np.array(content.mean)[:, None] for content in contents])  # (speakers, dims, 1)
        store("content_deviation", [[[content.deviation]] for content in contents])
        log_f0s = [speaker.log_f0 for speaker in speakers.values()]  # None of speakers who whisper
        store("voiced", [[[log_f0 is not None]] for log_f0 in log_f0s])  # (speakers, 1, 1)
        store("log_f0", [[[(log_f0.mean, log_f0.deviation) if log_f0 else (0.0, 1.0)]] for log_f0 in log_f0s])
        store("pulses", pulses(config))  # (steps, bands)

    def rescale_content(self, content: Tensor, speakers: Tensor, targets: Tensor) -> Tensor:
        """Rescale content `(batch, dims, frames)` from the speakers' deviations to the targets'."""
        return content * (self.content_deviation[speakers] / self.content_deviation[targets])

    def map_prosody(self, prosody: Tensor, speakers: Tensor, targets: Tensor) -> Tensor:
        """Map prosody `(batch, bands + 3, frames)` of the speakers to the targets' F0, as conversion does."""
        _, melody, voiced, loudness = prosody.split([prosody.shape[1] - PROSODY, 1, 1, 1], dim=1)
        have_f0 = self.voiced[speakers] * self.voiced[targets]  # 1 unless either speaker whispers
        melody, voiced = have_f0 * melody.clamp(-FARTHEST, FARTHEST), have_f0 * voiced
        mean, deviation = self.log_f0[targets].unbind(-1)
        log_ratio = (melody * deviation + mean).clamp(np.log(LOWEST_F0), np.log(HIGHEST_F0)) - np.log(LOWEST_F0)
        positions = (STEPS_PER_OCTAVE / np.log(2) * log_ratio)[:, 0]
        before = positions.long().clamp(max=len(self.pulses) - 2)
        excitation = torch.lerp(self.pulses[before], self.pulses[before + 1], (positions - before)[..., None])
        return torch.cat([voiced * excitation.transpose(1, 2), melody, voiced, loudness], dim=1)

    def encode(self, log_mel: Tensor, speakers: Tensor) -> Tensor:
        """Encode normalised log-mel `(batch, bands, frames)` as normalised content `(batch, dims, frames)`.

        It is interpolated linearly to the positions of the log-mel frames, as in `Recordings`.
        """
        encoded = self.encoder.encode(log_mel, speakers).float()
        content = interpolate(encoded, scale_factor=STRIDE, mode="linear")
        return (content[..., : log_mel.shape[-1]] - self.content_mean[speakers]) / self.content_deviation[speakers]
