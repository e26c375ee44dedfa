"""A common space: for every speaker an encoder into it and a decoder out of it, 2 N networks for N (N - 1) directions.

What makes the codes of all speakers comparable differs, and is chosen by network and objective:

    unit      shared inner layers, a variational code, cycle consistency (Liu, Breuel and Kautz, NeurIPS 2017)
    cogan     shared inner layers of decoders and last layers of discriminators, noise beside the code (coupled GANs,
              Liu and Tuzel, NIPS 2016; there the noise is all that a generator knows, here an encoder is before it)
    combogan  cycle consistency, nothing shared (Anoosheh et al., CVPR workshops 2018)
    xgan      shared layers; a code that holds no speaker identity, by gradient reversal, and that another speaker's
              decoder preserves (Royer et al., 2017, arXiv:1711.05139)
    vqvae     shared layers and one codebook for all speakers (van den Oord et al., NeurIPS 2017)

Encoders and decoders are the halves of CycleGAN-VC2's generator; the papers' networks are of images.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from vc.config import require
from vc.layers import GatedConv2d, padded
from vc.models.base import BySpeaker, DiscriminatorOutput, RandomDraws, SpeakerDiscriminators
from vc.models.bottlenecks import BOTTLENECKS, CodeConfig, CodedConverter, decoder_input, encoder_output
from vc.models.cyclegan_vc2 import Discriminator, Inward, Outward, residual


@dataclass(frozen=True)
class CommonSpaceConfig(CodeConfig):
    """Sizes of the networks, CycleGAN-VC2's, of the code, and how much of them all speakers share."""

    shared_blocks: int = 1  # residual blocks on each side of the code, with the layers next to it; 0: none
    coupled: bool = False  # whether the speakers' discriminators share their last layers

    def __post_init__(self) -> None:
        super().__post_init__()
        most, shared = self.blocks_before, self.shared_blocks
        message = f"network.shared_blocks must be in 0..{most}, half of residual_blocks, got {shared}"
        require(0 <= shared <= most, message)


@dataclass(frozen=True)
class UNITConfig(CommonSpaceConfig):
    """A variational code behind shared layers."""

    code: str = "variational"


@dataclass(frozen=True)
class ComboGANConfig(CommonSpaceConfig):
    """Nothing shared."""

    shared_blocks: int = 0


@dataclass(frozen=True)
class CoGANConfig(CommonSpaceConfig):
    """Shared layers of the discriminators, too, and noise."""

    noise_channels: int = 32
    coupled: bool = True


@dataclass(frozen=True)
class VQVAEConfig(CommonSpaceConfig):
    """A codebook behind shared layers."""

    code: str = "quantised"


class CommonSpace(CodedConverter):
    """An encoder and a decoder for each of `speakers`, and what they share."""

    extensible = True

    def __init__(self, config: CommonSpaceConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__(speakers)
        shared = config.shared_blocks
        before, behind = config.blocks_before - shared, config.blocks_behind - shared
        shared_output, shared_input = ([encoder_output(config)], [decoder_input(config)]) if shared else ([], [])

        def encoder() -> nn.Module:
            last = [] if shared else [encoder_output(config)]
            return nn.Sequential(Inward(config, bands), residual(config, before), *last)

        def decoder() -> nn.Module:
            first = [] if shared else [decoder_input(config)]
            return nn.Sequential(*first, residual(config, behind), Outward(config, bands))

        self.encoders = BySpeaker(encoder, len(speakers))
        self.before = nn.Sequential(residual(config, shared), *shared_output)
        self.bottleneck = BOTTLENECKS[config.code](config)
        self.behind = nn.Sequential(*shared_input, residual(config, shared))
        self.decoders = BySpeaker(decoder, len(speakers))
        self.noise_channels, self.code_width = config.noise_channels, config.code_channels + config.noise_channels
        self.bands = bands

    @property
    def code_channels(self) -> int:
        return self.code_width

    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        return self.before(self.encoders(padded(frames), speakers))

    def decode(self, code: Tensor, source: Tensor, target: Tensor, frames: int) -> Tensor:
        return self.decoders(self.behind(code), target)[:, : self.bands, :frames]

    def discriminator(self, config: CommonSpaceConfig) -> nn.Module:
        if config.coupled:
            return CoupledDiscriminators(config, len(self.numbers))
        return SpeakerDiscriminators(lambda: Discriminator(config), len(self.numbers))

    def code(self, frames: Tensor, speaker: str) -> Tensor:
        return self.before(self.encoders.each[self.numbers[speaker]](padded(frames)))

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        code, _ = self.pass_bottleneck(self.code(frames, source))
        converted = self.decoders.each[self.numbers[target]](self.behind(code))
        return converted[:, : self.bands, : frames.shape[-1]]


class CoupledDiscriminators(nn.Module):
    """CycleGAN-VC2's discriminator for each speaker, chosen by the target; all but the first layers are the same.

    | block  | kernel | channels before GLU | stride | of          | size for 35 x 128 |
    |--------|--------|---------------------|--------|-------------|-------------------|
    | enter  | 3 x 3  | 128                 | 1      | the speaker | 35 x 128          |
    | down   | 3 x 3  | 256                 | 2      | the speaker | 18 x 64           |
    |        | 3 x 3  | 512, 1024           | 2      | all         | 5 x 16            |
    | deepen | 1 x 5  | 1024                | 1      | all         | 5 x 16            |
    | leave  | 1 x 3  | 1, linear           | 1      | all         | 5 x 16            |

    In the paper all layers but the first one or two are shared, by the task.
    """

    def __init__(self, config: CommonSpaceConfig, speakers: int):
        super().__init__()
        width, last = config.channels // 2, Discriminator(config)  # after the GLU

        def own() -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(1, 2 * width, 3, padding=1), nn.GLU(dim=1), GatedConv2d(width, 2 * width, (3, 3), stride=2)
            )

        self.first = BySpeaker(own, speakers)
        self.shared = nn.Sequential(*last.down[1:], last.deepen, last.leave)

    def forward(
        self, frames: Tensor, source: Tensor, target: Tensor, draws: RandomDraws | None = None
    ) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.shared(self.first(frames.unsqueeze(1), target)).squeeze(1))
