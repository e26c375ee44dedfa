"""A fast generator for CPUs after Vocos: all layers work at the frame rate, and an inverse STFT gives the samples.

Siuzdak, "Vocos: closing the gap between time-domain and Fourier-based neural vocoders for high-quality audio
synthesis", ICLR 2024, sec. 3; its blocks are those of ConvNeXt (Liu et al., "A ConvNet for the 2020s", CVPR 2022).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import fold, gelu

from vc.config import require, require_range
from vc.features.mel import MelConfig

KERNEL = 7  # frames
EPSILON = 1e-6  # of layer normalisation


@dataclass(frozen=True)
class ISTFTConfig:
    """Sizes of the network; the paper's has 512 channels, and 8 blocks with 1536 inner channels."""

    channels: int = 256
    blocks: int = 8
    widening: int = 3  # ratio of a block's inner channels to `channels`

    def __post_init__(self) -> None:
        require_range(self, "network", "channels", at_least=8, at_most=4096)
        require_range(self, "network", "blocks", at_least=1, at_most=100)
        require_range(self, "network", "widening", at_least=1, at_most=8)


class ISTFT(nn.Module):
    """Log-mel `(batch, bands, frames)` to samples `(batch, frames * hop)`, aligned with those analysed by `log_mel`.

    | block       | layers                                                                | size, T frames   |
    |-------------|-----------------------------------------------------------------------|------------------|
    | enter       | convolution 7, layer norm                                             | 256 x T          |
    | blocks x 8  | by channel: convolution 7; layer norm, 256 -> 768, GELU, 768 -> 256   | 256 x T          |
    | leave       | layer norm, linear                                                    | 2 x 513 x T      |
    | inverse STFT| log-magnitude and phase, overlapping frames of 1024 samples every 256 | 256 T samples    |

    Differs from the paper: half the channels; magnitudes are limited to the largest possible in -1..1.
    """

    def __init__(self, config: ISTFTConfig, mel: MelConfig):
        super().__init__()
        require(2 * mel.hop <= mel.fft_size, f"mel.hop must be at most fft_size / 2 for istft, got {mel.hop}")
        self.fft_size, self.hop = mel.fft_size, mel.hop
        self.margin = mel.margin
        self.context = KERNEL // 2 * (config.blocks + 1) + math.ceil(self.margin / mel.hop)  # frames on either side
        self.max_log_magnitude = math.log(mel.fft_size / 2)  # sum of the window, reached by a signal of ones
        self.enter = nn.Conv1d(mel.bands, config.channels, KERNEL, padding=KERNEL // 2)
        self.norm = nn.LayerNorm(config.channels, EPSILON)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.blocks)))
        self.last_norm = nn.LayerNorm(config.channels, EPSILON)
        self.leave = nn.Linear(config.channels, mel.fft_size + 2)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, mel: Tensor) -> Tensor:
        return self.waveform(*self.spectrum(mel))

    def spectrum(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Log-magnitude and phase in radians, both `(batch, fft_size / 2 + 1, frames)` float32, from log-mel."""
        x = self.norm(self.enter(mel).transpose(1, 2))
        x = self.leave(self.last_norm(self.blocks(x)))
        log_magnitude, phase = x.transpose(1, 2).float().chunk(2, dim=1)
        return log_magnitude.clamp(max=self.max_log_magnitude), phase

    def waveform(self, log_magnitude: Tensor, phase: Tensor) -> Tensor:
        """Samples `(batch, frames * hop)`: the least-squares inverse of `log_mel`'s STFT.

        Griffin and Lim, "Signal estimation from modified short-time Fourier transform", IEEE Trans. ASSP 32 (1984),
        eq. 6. At the edges, where frames lack neighbours, samples are normalised by the windows present.
        """
        frames = torch.fft.irfft(torch.polar(log_magnitude.exp(), phase), self.fft_size, dim=1)
        window = torch.hann_window(self.fft_size, device=phase.device)[:, None]
        samples = self._overlap_add(frames * window)
        weights = self._overlap_add((window**2).expand(1, -1, phase.shape[2]))
        return samples / weights

    def _overlap_add(self, frames: Tensor) -> Tensor:
        """Overlap-add of `(batch, fft_size, frames)` to `(batch, frames * hop)`, without the margins."""
        length = frames.shape[2] * self.hop
        total = fold(frames, (1, length + 2 * self.margin), (1, self.fft_size), stride=(1, self.hop))[:, 0, 0]
        return total[:, self.margin : self.margin + length]


class Block(nn.Module):
    """One-dimensional ConvNeXt block: `(batch, frames, channels)` to the same shape."""

    def __init__(self, config: ISTFTConfig):
        super().__init__()
        channels, inner = config.channels, config.widening * config.channels
        self.along_time = nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2, groups=channels)
        self.norm = nn.LayerNorm(channels, EPSILON)
        self.widen = nn.Linear(channels, inner)
        self.narrow = nn.Linear(inner, channels)
        self.scale = nn.Parameter(torch.full((channels,), 1 / config.blocks))  # as in the released code

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.along_time(x.transpose(1, 2)).transpose(1, 2))
        return x + self.scale * self.narrow(gelu(self.widen(inner)))
