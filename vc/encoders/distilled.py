"""A small and fast content encoder: Whisper's encoder, distilled into a convolutional network.

Its input is HiFi-GAN's log-mel (vc/features/mel.py), so that gradients flow from content back to log-mel. Blocks after
Liu et al., "A ConvNet for the 2020s", CVPR 2022: depthwise convolution, layer normalisation, two pointwise layers, and
a residual connection. See recipes/encoder for training, data and results.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

from vc.config import require, require_range
from vc.encoders.base import Encoder
from vc.errors import DataError
from vc.features import mel
from vc.features.mel import MelConfig
from vc.layers import ChannelNorm

STRIDE = 2  # log-mel frames per content frame
CENTRE, SCALE = -5.0, 4.0  # rough normalisation of natural log magnitudes, which are -11.5 to 2 in speech


@dataclass(frozen=True)
class DistilledConfig:
    """Sizes of the network."""

    bands: int = 80  # of log-mel
    dims: int = 512  # of content
    channels: int = 256
    kernel: int = 7  # content frames, of the depthwise convolutions
    dilations: list[int] = field(default_factory=lambda: [1, 2, 4, 8, 1, 2, 4, 8])
    lookahead: int = -1  # future content frames that all blocks together see; -1: as many as past ones

    def __post_init__(self) -> None:
        for name, highest in (("bands", 512), ("dims", 4096), ("channels", 4096)):
            require_range(self, "encoder", name, at_least=1, at_most=highest)
        odd = self.kernel % 2 == 1 and 1 <= self.kernel <= 63
        require(odd, f"encoder.kernel must be odd and in 1..63, got {self.kernel}")
        count, in_range = len(self.dilations), all(1 <= dilation <= 64 for dilation in self.dilations)
        require(1 <= count <= 64, f"encoder.dilations must be 1 to 64 numbers, got {count}")
        require(in_range, f"encoder.dilations must be in 1..64 each, got {self.dilations}")
        require_range(self, "encoder", "lookahead", at_least=-1, at_most=64)

    @property
    def layers(self) -> int:  # only the output of the last can be the content
        return 1


class DistilledNetwork(nn.Module):
    """Log-mel `(batch, bands, frames)` to content `(batch, dims, ceil(frames / 2))`.

    Content frame j is centred between log-mel frames 2 j and 2 j + 1. Both ends are padded by replication.
    """

    def __init__(self, config: DistilledConfig):
        super().__init__()
        self.config = config
        self.enter = nn.Conv1d(config.bands, config.channels, 5)
        self.halve = nn.Conv1d(config.channels, config.channels, 2 * STRIDE, stride=STRIDE)
        blocks, remaining = [], config.lookahead
        for dilation in config.dilations:
            half = dilation * (config.kernel // 2)
            ahead = half if config.lookahead < 0 else min(half, remaining)
            remaining -= ahead
            blocks.append(Block(config.channels, config.kernel, dilation, ahead))
        self.blocks = nn.Sequential(*blocks)
        self.norm = ChannelNorm(config.channels)
        self.leave = nn.Conv1d(config.channels, config.dims, 1)

    def forward(self, log_mel: Tensor) -> Tensor:
        frames = (log_mel - CENTRE) / SCALE
        ahead = 3 if self.config.lookahead < 0 else 0  # log-mel frames beyond the two that a content frame covers
        frames = pad(frames, (6 - ahead, ahead + frames.shape[-1] % STRIDE), mode="replicate")
        return self.leave(self.norm(self.blocks(gelu(self.halve(gelu(self.enter(frames)))))))


class Block(nn.Module):
    """Residual block `(batch, channels, frames)`: a depthwise convolution over time and two pointwise layers."""

    def __init__(self, channels: int, kernel: int, dilation: int, ahead: int):
        super().__init__()
        reach = dilation * (kernel - 1)
        self.edges = (reach - ahead, ahead)
        self.norm = ChannelNorm(channels)
        self.depthwise = nn.Conv1d(channels, channels, kernel, dilation=dilation, groups=channels)
        self.widen = nn.Conv1d(channels, 2 * channels, 1)
        self.narrow = nn.Conv1d(2 * channels, channels, 1)

    def forward(self, frames: Tensor) -> Tensor:
        hidden = self.depthwise(pad(self.norm(frames), self.edges))
        return frames + self.narrow(gelu(self.widen(hidden)))


class DistilledEncoder(Encoder):
    """A distilled network with its front end."""

    def __init__(self, network: DistilledNetwork, layer: int = 1, device: torch.device | str = "cpu"):
        require(layer == 1, f"a distilled encoder has one layer, not {layer}")
        self.mel = MelConfig()
        bands = network.config.bands
        require(bands == self.mel.bands, f"encoder.bands must be {self.mel.bands}, the front end's, got {bands}")
        super().__init__(network, layer, device, sample_rate=self.mel.sample_rate, frame=STRIDE * self.mel.hop)

    def encode_window(self, samples: np.ndarray) -> np.ndarray:
        return self.encode_log_mel(mel.analyse(samples, self.mel, self.device))

    @torch.inference_mode()
    def encode_log_mel(self, log_mel: np.ndarray) -> np.ndarray:
        """Log-mel `(frames, bands)` of `vc.features.mel` to content `(ceil(frames / 2), dims)`, float32.

        Raises
        ------
        DataError
            `log_mel` has another shape, or no frames.
        """
        if log_mel.ndim != 2 or log_mel.shape[1] != self.mel.bands or not len(log_mel):
            raise DataError(f"expected (frames, {self.mel.bands}), got shape {log_mel.shape}")
        frames = torch.from_numpy(np.ascontiguousarray(log_mel.T, np.float32)).to(self.device)
        return self.network(frames[None])[0].T.contiguous().cpu().numpy()
