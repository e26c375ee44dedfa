"""The training step of recognition-synthesis: a decoder of content vectors, its discriminator, and their losses.

With c the content of a real segment x of the target (vc/train/content_sampling.py says which), p its prosody and G the
decoder, the decoder minimises the weighted sum of

    spectrum            L1 of G(c, p) to x
    adversarial         D on G(c, p), as least squares
    feature_matching    D's feature maps of G(c, p) to those of x

and, if their weights are above 0, of losses on conversions. With c of a segment's own, of a speaker A, p' its prosody
at the F0 of another speaker B, y = G(c, p') in B's voice, and E the frozen encoder that content comes from:

    conversion_adversarial    D on y, as least squares; D takes it for as fake as G(c, p)
    content_consistency       1 - cosine of E(y) and c, in speech; of one target alone, of E(G(c, p)) and c
    cycle                     L1 to x of G(E(y), p) in A's voice

E sees nothing beyond the ends of a segment, where its content is less reliable: the middle half alone counts. An
identity mapping is no loss of its own: `unmatched` segments are decoded in their own voice from their own content.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vc import devices, losses
from vc.config import require
from vc.encoders.distilled import STRIDE, DistilledEncoder, DistilledNetwork
from vc.encoders.features import encoder_of
from vc.features.content import PROSODY, STEPS_PER_OCTAVE, ContentFeatures, pulses
from vc.features.f0 import FARTHEST, HIGHEST_F0, LOWEST_F0
from vc.features.speakers import Speaker
from vc.models.recognition_synthesis import PAUSES, RecognitionSynthesis, RecognitionSynthesisConfig
from vc.train.content_sampling import ContentBatch, ContentSampler
from vc.train.engine import Setup
from vc.train.held_out import HeldOutResynthesis
from vc.train.optimise import Optimiser

CONVERSIONS = ("conversion_adversarial", "content_consistency", "cycle")  # losses on conversions
ADVERSARIAL = {"adversarial", "feature_matching", "conversion_adversarial"}  # losses that need the discriminator
GENERATOR_BETAS, DISCRIMINATOR_BETAS = (0.9, 0.98), (0.5, 0.9)


@dataclass(frozen=True)
class RecognitionSynthesisObjective:
    """Weights of the losses, how they are minimised, and whose content a segment is decoded from."""

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
    warm_up: int = 50  # steps in which the decoder's rate rises
    decay_from: float = 0.6  # share of the steps after which it falls to `last`
    last: float = 0.03  # factor on it at the last step
    weight_decay: float = 0.01
    unmatched: float = 0.3  # how often a segment's content is its own, beside
    prematched: float = 0.4  # its nearest neighbours' in the target's other recordings, and
    matched: float = 0.3  # its nearest neighbours' in other speakers'
    aligned: float = 0.0  # another speaker's of the same sentence
    neighbours: int = 4  # whose mean it is
    start: str = ""  # a model, by name or path, from whose weights the decoder begins; empty: none

    def __post_init__(self) -> None:
        names = ("adversarial", "feature_matching", *CONVERSIONS, "unmatched", "prematched", "matched", "aligned")
        for name in names:
            require(getattr(self, name) >= 0, f"objective.{name} must be 0 or more, got {getattr(self, name)}")
        require(self.spectrum > 0, f"objective.spectrum must be above 0, got {self.spectrum}")
        require(self.unmatched > 0, f"objective.unmatched must be above 0, got {self.unmatched}")
        for name in ("generator_rate", "discriminator_rate"):
            require(0 < getattr(self, name) < 1, f"objective.{name} must be in 0..1, got {getattr(self, name)}")
        for name in ("adversarial_from", "adversarial_rate", "decay_from", "last", "weight_decay"):
            require(0 <= getattr(self, name) <= 1, f"objective.{name} must be in 0..1, got {getattr(self, name)}")
        require(self.warm_up >= 0, f"objective.warm_up must be 0 or more, got {self.warm_up}")
        require(1 <= self.neighbours <= 100, f"objective.neighbours must be in 1..100, got {self.neighbours}")

    def rate(self, step: int, steps: int) -> float:
        """Factor on the decoder's learning rate at `step` (from 0) of `steps`."""
        rising = min(1.0, (step + 1) / (self.warm_up + 1))
        decayed = max(0.0, step / steps - self.decay_from) / max(1 - self.decay_from, 1e-9)
        return rising * max(self.last, 1 - decayed)

    @property
    def has_conversion_losses(self) -> bool:
        return any(getattr(self, name) > 0 for name in CONVERSIONS)

    def conversions(self, speakers: Mapping[str, Speaker], config: ContentFeatures) -> "Conversions | None":
        """What losses on conversions between these speakers need, if any counts; refuses by name what cannot be."""
        if not self.has_conversion_losses:
            return None
        counted = {name for name in CONVERSIONS if getattr(self, name) > 0}
        for name in sorted(counted - {"content_consistency"}):
            options = "--source and --target, or --speakers"
            require(len(speakers) > 1, f"objective.{name} needs two speakers or more: {options}")
        encodes = counted & {"content_consistency", "cycle"}
        return Conversions(speakers, config, differentiable_encoder(config) if encodes else None)


class RecognitionSynthesisTraining:
    """Decoder, discriminator, their optimisers, and the step that they take."""

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
        self.modules, self.called = {"network": network}, [network]
        device = next(network.parameters()).device
        self.conversions = setup.conversions and setup.conversions.to(device)  # no module: it is saved elsewhere
        settings = {"precision": setup.precision, "processes": setup.processes, "weight_decay": objective.weight_decay}
        self.optimisers = {"network": Optimiser(network, betas=GENERATOR_BETAS, **settings)}
        if any(getattr(objective, name) > 0 for name in ADVERSARIAL):
            self.discriminator = network.discriminator(config).to(device)
            self.modules["discriminators"] = self.discriminator
            self.called.append(self.discriminator)
            self.optimisers["discriminators"] = Optimiser(self.discriminator, betas=DISCRIMINATOR_BETAS, **settings)

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set the learning rates of `step` (from 0); return the decoder's losses that count, with their weights."""
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
        """Update the decoder, then the discriminator; return each unweighted loss under its name, detached."""
        terms, fakes = self.optimisers["network"].step(lambda: self.decoder_losses(batch, weights), weights)
        self._update_variance(batch.unseen or batch)
        if weights.keys() & ADVERSARIAL:
            compute = partial(self.discriminator_losses, batch, fakes)
            terms |= self.optimisers["discriminators"].step(compute, {"discriminator": 1.0})[0]
        return terms

    def decoder_losses(self, batch: ContentBatch, weights: Mapping[str, float]) -> tuple[dict[str, Tensor], Tensor]:
        """The losses named in `weights`, and the segments that the discriminator shall take for fake, detached."""
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
        content, speakers = batch.content, batch.speakers  # of one target alone: what was decoded
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
            spoken = (batch.prosody[:, -1] > PAUSES[1])[:, middle]
            terms["content_consistency"] = losses.content(encoded[..., middle], content[..., middle], mask=spoken)
        if "cycle" in weights:
            content = self.conversions.rescale_content(encoded, speakers, batch.speakers)
            restored = self.network(content, batch.prosody, batch.speakers, batch.random_draws)
            terms["cycle"] = losses.cycle_consistency(restored[..., middle], batch.log_mel[..., middle])
        return terms, fakes.detach()

    def discriminator_losses(self, batch: ContentBatch, fakes: Tensor) -> tuple[dict[str, Tensor], None]:
        """The discriminator's loss on real segments and on `fakes`, of which there may be more."""
        output, _ = self.discriminator(torch.cat([batch.log_mel, fakes]))
        on_real, on_fake = output.split([len(batch.log_mel), len(fakes)])
        loss = losses.least_squares(on_real, real=True) + losses.least_squares(on_fake, real=False)
        return {"discriminator": loss}, None

    @torch.no_grad()
    def _update_variance(self, batch: ContentBatch) -> None:
        """Update the moments of what the decoder makes of a batch."""
        with devices.autocast(self.precision, batch.content.device):
            decoded = self.network(batch.content, batch.prosody, batch.speakers)
        self.network.variance.update(decoded, batch.log_mel, batch.prosody[:, -1:], batch.speakers)


class Conversions(nn.Module):
    """Conversions between the speakers of a batch: their statistics and the frozen encoder of their content.

    Parameters
    ----------
    speakers : mapping of str to Speaker
        In the order of their numbers.
    config : ContentFeatures
        Of the features that are learnt from.
    network : DistilledNetwork, optional
        The encoder of the features, as `differentiable_encoder` gives it. Default: nothing can be encoded.
    """

    def __init__(
        self, speakers: Mapping[str, Speaker], config: ContentFeatures, network: DistilledNetwork | None = None
    ):
        super().__init__()
        self.encoder = network

        def keep(name: str, values: list) -> None:
            self.register_buffer(name, torch.tensor(np.array(values), dtype=torch.float32))

        normalisers = [speaker.normaliser for speaker in speakers.values()]
        keep("log_mel_mean", [normaliser.mean_[:, None] for normaliser in normalisers])  # (speakers, bands, 1)
        keep("log_mel_deviation", [normaliser.deviation_[:, None] for normaliser in normalisers])
        contents = [speaker.content for speaker in speakers.values()]
        keep("content_mean", [np.array(content.mean)[:, None] for content in contents])  # (speakers, dims, 1)
        keep("content_deviation", [[[content.deviation]] for content in contents])
        log_f0s = [speaker.log_f0 for speaker in speakers.values()]  # None of speakers who whisper
        keep("voiced", [[[log_f0 is not None]] for log_f0 in log_f0s])  # (speakers, 1, 1)
        keep("log_f0", [[[(log_f0.mean, log_f0.deviation) if log_f0 else (0.0, 1.0)]] for log_f0 in log_f0s])
        keep("pulses", pulses(config))  # (steps, bands)

    def rescale_content(self, content: Tensor, speakers: Tensor, targets: Tensor) -> Tensor:
        """Content `(batch, dims, frames)` in deviations of the speakers, in those of the targets."""
        return content * (self.content_deviation[speakers] / self.content_deviation[targets])

    def map_prosody(self, prosody: Tensor, speakers: Tensor, targets: Tensor) -> Tensor:
        """Prosody `(batch, bands + 3, frames)` of the speakers at the F0 of the targets, as conversion maps it."""
        _, melody, voiced, loudness = prosody.split([prosody.shape[1] - PROSODY, 1, 1, 1], dim=1)
        both = self.voiced[speakers] * self.voiced[targets]
        melody, voiced = both * melody.clamp(-FARTHEST, FARTHEST), both * voiced
        mean, deviation = self.log_f0[targets].unbind(-1)
        log_ratio = (melody * deviation + mean).clamp(np.log(LOWEST_F0), np.log(HIGHEST_F0)) - np.log(LOWEST_F0)
        positions = (STEPS_PER_OCTAVE / np.log(2) * log_ratio)[:, 0]
        before = positions.long().clamp(max=len(self.pulses) - 2)
        excitation = torch.lerp(self.pulses[before], self.pulses[before + 1], (positions - before)[..., None])
        return torch.cat([voiced * excitation.transpose(1, 2), melody, voiced, loudness], dim=1)

    def encode(self, log_mel: Tensor, speakers: Tensor) -> Tensor:
        """Content `(batch, dims, frames)` of normalised `(batch, bands, frames)`, in deviations of the speakers.

        It lies at the log-mel frames' positions, between content frames by straight lines, as `Recordings` has it.
        """
        natural = log_mel * self.log_mel_deviation[speakers] + self.log_mel_mean[speakers]
        content = interpolate(self.encoder(natural).float(), scale_factor=STRIDE, mode="linear")
        return (content[..., : log_mel.shape[-1]] - self.content_mean[speakers]) / self.content_deviation[speakers]


def differentiable_encoder(config: ContentFeatures) -> DistilledNetwork:
    """The encoder of these features, through which gradients reach log-mel; refuses by name one that cannot do it."""
    name, encoder = config.content.encoder, encoder_of(config)
    able = isinstance(encoder, DistilledEncoder) and encoder.mel == config.mel
    message = f"objective.content_consistency and cycle: through the content encoder {name!r} no gradient reaches the"
    require(able, f"{message} log-mel of these features; take features.content.encoder=distilled")
    return copy.deepcopy(encoder.network)  # others use the encoder itself, on the CPU
