"""A common space: an encoder to it and a decoder from it for every speaker, 2 N networks for N (N - 1) directions.

Methods differ in what makes the codes of all speakers comparable, which network and objective determine:

    unit      shared inner layers, a variational code, cycle consistency (Liu, Breuel and Kautz, NeurIPS 2017)
    cogan     shared inner layers of decoders and last layers of discriminators, noise beside the code (coupled GANs,
              Liu and Tuzel, NIPS 2016; there noise is a generator's only input, here an encoder precedes it)
    combogan  cycle consistency, nothing shared (Anoosheh et al., CVPR workshops 2018)
    xgan      shared layers; a speaker-independent code, by gradient reversal, which another speaker's decoder must
              preserve (Royer et al., 2017, arXiv:1711.05139)
    vqvae     shared layers and one codebook for all speakers (van den Oord et al., NeurIPS 2017)

Encoders and decoders are the halves of CycleGAN-VC2's generator; the papers' networks are of images.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from vc.config import require
from vc.layers import GatedConv2d, pad_frames
from vc.models.base import BySpeaker, DiscriminatorOutput, RandomDraws, SpeakerDiscriminators
from vc.models.bottlenecks import (
    BOTTLENECKS,
    BottleneckConverter,
    CodeConfig,
    decoder_input_layer,
    encoder_output_layer,
)
from vc.models.cyclegan_vc2 import Discriminator, Downsampler, Upsampler, build_residual_blocks


@dataclass(frozen=True)
class CommonSpaceConfig(CodeConfig):
    """Sizes of the networks (CycleGAN-VC2's) and of the code, and how much all speakers share."""

    shared_blocks: int = 1  # residual blocks on each side of the code, with the layers next to it; 0: nothing
    coupled: bool = False  # whether the speakers' discriminators share their last layers

    def __post_init__(self) -> None:
        super().__post_init__()
        largest, shared = self.blocks_before, self.shared_blocks
        message = f"network.shared_blocks must be in 0..{largest}, half of residual_blocks, got {shared}"
        require(0 <= shared <= largest, message)


@dataclass(frozen=True)
class UNITConfig(CommonSpaceConfig):
    """A variational code between shared layers."""

    code: str = "variational"


@dataclass(frozen=True)
class ComboGANConfig(CommonSpaceConfig):
    """Nothing shared."""

    shared_blocks: int = 0


@dataclass(frozen=True)
class CoGANConfig(CommonSpaceConfig):
    """Shared layers also in the discriminators, and noise."""

    noise_channels: int = 32
    coupled: bool = True


@dataclass(frozen=True)
class VQVAEConfig(CommonSpaceConfig):
    """A vector-quantised code between shared layers."""

    code: str = "quantised"


class CommonSpace(BottleneckConverter):
    """An encoder and a decoder for each of `speakers`, and their shared layers."""

    extensible = True

    @staticmethod
    def fewest_parts(speakers: int) -> int:
        return speakers

    def __init__(self, config: CommonSpaceConfig, bands: int, speakers: tuple[str, ...]):
        super().__init__(config, speakers)
        shared = config.shared_blocks
        before, after = config.blocks_before - shared, config.blocks_after - shared
        shared_output = [encoder_output_layer(config)] if shared else []
        shared_input = [decoder_input_layer(config)] if shared else []

        def encoder() -> nn.Module:
            last = [] if shared else [encoder_output_layer(config)]
            return nn.Sequential(Downsampler(config, bands), build_residual_blocks(config, before), *last)

        def decoder() -> nn.Module:
            first = [] if shared else [decoder_input_layer(config)]
            return nn.Sequential(*first, build_residual_blocks(config, after), Upsampler(config, bands))

        self.encoders = BySpeaker(encoder, len(speakers))
        self.before = nn.Sequential(build_residual_blocks(config, shared), *shared_output)
        self.bottleneck = BOTTLENECKS[config.code](config)
        self.behind = nn.Sequential(*shared_input, build_residual_blocks(config, shared))
        self.decoders = BySpeaker(decoder, len(speakers))
        self.bands = bands

    def encode(self, frames: Tensor, speakers: Tensor) -> Tensor:
        return self.before(self.encoders(pad_frames(frames), speakers))

    def decode(self, code: Tensor, source: Tensor, target: Tensor, frames: int) -> Tensor:
        return self.decoders(self.behind(code), target)[:, : self.bands, :frames]

    def discriminator(self, config: CommonSpaceConfig) -> nn.Module:
        if config.coupled:
            return CoupledDiscriminators(config, len(self.speaker_indices))
        return SpeakerDiscriminators(lambda: Discriminator(config), len(self.speaker_indices))

    def code(self, frames: Tensor, speaker: str) -> Tensor:
        return self.before(self.encoders.each[self.speaker_indices[speaker]](pad_frames(frames)))

    def convert(self, frames: Tensor, source: str, target: str) -> Tensor:
        code, _ = self.apply_bottleneck(self.code(frames, source))
        converted = self.decoders.each[self.speaker_indices[target]](self.behind(code))
        return converted[:, : self.bands, : frames.shape[-1]]


class CoupledDiscriminators(nn.Module):
    """CycleGAN-VC2's discriminator for each speaker, chosen by the target; all but the first two layers are shared.

    | block  | kernel | channels before GLU | stride | owner       | size for 35 x 128 |
    |--------|--------|---------------------|--------|-------------|-------------------|
    | enter  | 3 x 3  | 128                 | 1      | the speaker | 35 x 128          |
    | down   | 3 x 3  | 256                 | 2      | the speaker | 18 x 64           |
    |        | 3 x 3  | 512, 1024           | 2      | all         | 5 x 16            |
    | deepen | 1 x 5  | 1024                | 1      | all         | 5 x 16            |
    | leave  | 1 x 3  | 1, linear           | 1      | all         | 5 x 16            |

    In the paper all layers but the first one or two are shared, depending on the task.
    """

    def __init__(self, config: CommonSpaceConfig, speakers: int):
        super().__init__()
        width, single = config.channels // 2, Discriminator(config)  # width after the GLU

        def first_layers() -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(1, 2 * width, 3, padding=1), nn.GLU(dim=1), GatedConv2d(width, 2 * width, (3, 3), stride=2)
            )

        self.first = BySpeaker(first_layers, speakers)
        self.shared = nn.Sequential(*single.down[1:], single.deepen, single.leave)

    def forward(
        self, frames: Tensor, source: Tensor, target: Tensor, draws: RandomDraws | None = None
    ) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.shared(self.first(frames.unsqueeze(1), target)).squeeze(1))
