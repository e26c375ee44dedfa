"""The training step of a neural vocoder: HiFi-GAN's, for any generator of waveforms from log-mel frames.

Kong, Kim and Bae, "HiFi-GAN: generative adversarial networks for efficient and high fidelity speech synthesis",
NeurIPS 2020, sec. 2.4. With x a segment of a recording, s its log-mel frames and G the generator, the generator
minimises the weighted sum of

    mel                 L1 distance of the full-band log-mel of G(s) to that of x
    adversarial         least squares of every discriminator on G(s)
    feature_matching    L1 distance of every discriminator's feature maps of G(s) to those of x
    spectrum            L1 distance of complex short-time spectra of G(s) to those of x; not in HiFi-GAN

The last is for distillation: s determines phases only if x is another generator's output for s.

Differs from the released code: the generator is updated first and the discriminators then see the same fakes, which
saves a forward pass; frames at a segment's ends are those of the whole recording. Before `adversarial_from` only the
discriminators are trained by adversarial losses: published models rarely include theirs, and untrained ones would harm
a trained generator.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from vc import losses
from vc.config import require, require_range
from vc.features.mel import MelConfig, log_mel
from vc.train.optimise import Optimiser
from vc.train.processes import SINGLE_PROCESS, Processes
from vc.train.sampling import WaveBatch
from vc.vocoders.discriminators import WIDTHS, Discriminators


@dataclass(frozen=True)
class VocoderObjective:
    """Weights and minimisation of the losses; the defaults are HiFi-GAN's, but for `decay_every`."""

    mel: float = 45.0
    feature_matching: float = 2.0
    adversarial: float = 1.0
    spectrum: float = 0.0  # above 0 to learn from another vocoder's output
    adversarial_from: int = 0  # step from which feature_matching and adversarial count
    generator_rate: float = 2e-4
    discriminator_rate: float = 2e-4
    warm_up: int = 0  # steps over which both rates rise: Adam's first steps, without moments, are long
    decay: float = 0.999  # factor on both rates
    decay_every: int = 1000  # steps; in the paper, an epoch
    beta1: float = 0.8
    beta2: float = 0.99
    weight_decay: float = 0.01
    discriminator_width: float = 1.0  # factor on all their channels, smaller on a CPU

    def __post_init__(self) -> None:
        require_range(self, "objective", "mel", above=0)
        from_zero = ("feature_matching", "adversarial", "spectrum", "adversarial_from", "warm_up")
        require_range(self, "objective", *from_zero, at_least=0)
        require_range(self, "objective", "generator_rate", "discriminator_rate", above=0, below=1)
        require_range(self, "objective", "beta1", "beta2", "weight_decay", at_least=0, below=1)
        require_range(self, "objective", "decay", above=0, at_most=1)
        require_range(self, "objective", "decay_every", at_least=1)
        widths, width = ", ".join(map(str, WIDTHS)), self.discriminator_width
        require(width in WIDTHS, f"objective.discriminator_width must be one of {widths}, got {width}")

    @property
    def has_discriminators(self) -> bool:
        """Whether any loss needs discriminators."""
        return self.adversarial > 0 or self.feature_matching > 0

    def reflection(self, mel: MelConfig) -> int:
        """Samples of reflection padding in the losses at either end of a segment, which must be longer."""
        return max(mel.margin, max(losses.SPECTRUM_WINDOWS) // 2 if self.spectrum > 0 else 0)

    def scale(self, step: int) -> float:
        """Factor on both learning rates at `step` (from 0)."""
        return min(1.0, (step + 1) / (self.warm_up + 1)) * self.decay ** (step // self.decay_every)

    def weights(self, step: int) -> dict[str, float]:
        """Weights of the losses that count at `step` (from 0)."""
        weights = {"mel": self.mel, "spectrum": self.spectrum}
        if step >= self.adversarial_from:
            weights |= {"adversarial": self.adversarial, "feature_matching": self.feature_matching}
        return {name: weight for name, weight in weights.items() if weight > 0}


class VocoderTraining:
    """A generator, its discriminators, their optimisers and training step."""

    def __init__(
        self,
        network: nn.Module,
        mel: MelConfig,
        objective: VocoderObjective,
        *,
        precision: str = "float32",
        processes: Processes = SINGLE_PROCESS,
    ):
        self.network, self.objective = network, objective
        self.full_band = replace(mel, highest=mel.sample_rate / 2)  # as in the released code's loss
        self.device = next(network.parameters()).device
        betas = objective.beta1, objective.beta2
        optimiser = partial(
            Optimiser, betas=betas, precision=precision, processes=processes, weight_decay=objective.weight_decay
        )
        self.modules, self.step_networks = {"network": network}, [network]
        self.optimisers = {"network": optimiser(network)}
        if objective.has_discriminators:
            self.discriminators = Discriminators(objective.discriminator_width).to(self.device)
            self.modules["discriminators"] = self.discriminators
            self.step_networks.append(self.discriminators)
            self.optimisers["discriminators"] = optimiser(self.discriminators)

    def schedule(self, step: int, scale: float = 1.0) -> dict[str, float]:
        """Set both learning rates for `step` (from 0); return the weights of the generator's losses that count."""
        scale *= self.objective.scale(step)
        self.optimisers["network"].set_rate(self.objective.generator_rate * scale)
        if "discriminators" in self.optimisers:
            self.optimisers["discriminators"].set_rate(self.objective.discriminator_rate * scale)
        return self.objective.weights(step)

    def step(self, batch: WaveBatch, weights: Mapping[str, float]) -> dict[str, Tensor]:
        """Update the generator, then the discriminators; return each unweighted loss under its name, detached."""
        terms, fake = self.optimisers["network"].step(lambda: self.generator_losses(batch, weights), weights)
        if "discriminators" in self.optimisers:
            compute = partial(self.discriminator_losses, batch, fake)
            terms |= self.optimisers["discriminators"].step(compute, {"discriminator": 1.0})[0]
        return terms

    def generator_losses(self, batch: WaveBatch, weights: Mapping[str, float]) -> tuple[dict[str, Tensor], Tensor]:
        """The losses named in `weights`, and the fake samples, detached."""
        fake = self.network(batch.mel).float()
        terms = {"mel": losses.mel_distance(self._log_mel(fake), self._log_mel(batch.samples))}
        if "spectrum" in weights:
            terms["spectrum"] = losses.compressed_spectrum(fake, batch.samples)
        if "adversarial" in weights or "feature_matching" in weights:
            on_fake = self.discriminators(fake)
            if "adversarial" in weights:
                terms["adversarial"] = sum(losses.least_squares(output.map, real=True) for output in on_fake)
            if "feature_matching" in weights:
                with torch.no_grad():
                    on_real = self.discriminators(batch.samples)
                terms["feature_matching"] = sum(
                    losses.feature_matching(one.features, other.features) for one, other in zip(on_fake, on_real)
                )
        return terms, fake.detach()

    def discriminator_losses(self, batch: WaveBatch, fake: Tensor) -> tuple[dict[str, Tensor], None]:
        """The discriminators' losses on real and fake samples, summed."""
        loss = 0.0
        for output in self.discriminators(torch.cat([batch.samples, fake])):
            on_real, on_fake = output.map.chunk(2)
            loss += losses.least_squares(on_real, real=True) + losses.least_squares(on_fake, real=False)
        return {"discriminator": loss}, None

    def _log_mel(self, samples: Tensor) -> Tensor:
        with torch.autocast(self.device.type, enabled=False):  # losses are float32 at any precision of the networks
            return log_mel(samples, self.full_band)
