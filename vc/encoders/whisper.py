"""Whisper's encoder, whose upper layers represent what is said rather than who speaks.

Radford et al., "Robust speech recognition via large-scale weak supervision", ICML 2023, section 2.2, and the released
front end: log-mel with Slaney's filters, two convolutions, sinusoidal position embeddings, pre-norm transformer blocks.
Differs from the release: recordings are not padded to 30 seconds but by one second of silence, whose frames are then
dropped, because frames at the very end of the input differ from others.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad, scaled_dot_product_attention

from vc.config import require, require_range
from vc.encoders.base import Encoder
from vc.features.mel import MelConfig, mel_filters

SAMPLE_RATE = 16000  # Hz
FFT_SIZE, HOP = 400, 160  # samples
STRIDE = 2  # log-mel frames per content frame
FRAME = STRIDE * HOP  # samples per content frame
QUIETEST = 1e-10  # lowest power of a mel band, before the logarithm
RANGE = 8.0  # decades below the maximum, to which levels are clipped
TAIL = SAMPLE_RATE // FRAME  # content frames of silence appended to a recording


@dataclass(frozen=True)
class WhisperConfig:
    """Configuration of an encoder; the defaults are those of Whisper base."""

    bands: int = 80
    width: int = 512
    heads: int = 8
    layers: int = 6
    hidden: int = 2048  # units of a block's feed-forward layer
    positions: int = 1500  # content frames that have a positional embedding

    def __post_init__(self) -> None:
        limits = {"bands": (8, 200), "width": (8, 4096), "layers": (1, 128), "hidden": (1, 16384)}
        for name, (lowest, highest) in {**limits, "positions": (500, 6000)}.items():
            require_range(self, "encoder", name, at_least=lowest, at_most=highest)
        divides = self.heads > 0 and self.width % self.heads == 0
        require(divides, f"encoder.heads must divide encoder.width, {self.width}, got {self.heads}")

    @property
    def dims(self) -> int:
        return self.width


class AbstractWhisperNetwork(ABC, nn.Module):
    """Log-mel `(batch, bands, frames)`, at most 2 * positions frames, to content `(batch, width, ceil(frames / 2))`."""

    def __init__(self, config: WhisperConfig):
        super().__init__()
        self.config = config
        self.enter = nn.Conv1d(config.bands, config.width, 3, padding=1)
        self.halve = nn.Conv1d(config.width, config.width, 3, stride=STRIDE, padding=1)
        self.blocks = nn.ModuleList(Block(config.width, config.heads, config.hidden) for _ in range(config.layers))

    def forward(self, log_mel: Tensor, layer: int) -> Tensor:
        """The output of block `layer`, 1..layers."""
        frames = gelu(self.halve(gelu(self.enter(log_mel)))).transpose(1, 2)
        frames = frames + self.position_embeddings(frames)
        for block in self.blocks[:layer]:
            frames = block(frames)
        if layer == self.config.layers:
            frames = self.finish(frames)
        return frames.transpose(1, 2)

    @abstractmethod
    def position_embeddings(self, frames: Tensor) -> Tensor:
        """Embeddings of the positions of `(batch, frames, width)`: `(frames, width)`."""

    @abstractmethod
    def finish(self, frames: Tensor) -> Tensor:
        """What follows the last block."""


class WhisperNetwork(AbstractWhisperNetwork):
    """A whole encoder: the output of the last block is normalised."""

    def __init__(self, config: WhisperConfig):
        super().__init__(config)
        self.positions = nn.Parameter(torch.zeros(config.positions, config.width))
        self.norm = nn.LayerNorm(config.width)

    def position_embeddings(self, frames: Tensor) -> Tensor:
        return self.positions[: frames.shape[1]]

    def finish(self, frames: Tensor) -> Tensor:
        return self.norm(frames)


class WhisperFirstBlocks(AbstractWhisperNetwork):
    """An encoder without its last blocks; the embeddings of positions are computed rather than stored."""

    def __init__(self, config: WhisperConfig):
        require(config.width % 2 == 0, f"encoder.width must be even, got {config.width}")
        super().__init__(config)

    def position_embeddings(self, frames: Tensor) -> Tensor:
        return sinusoids(frames.shape[1], self.config.width).to(frames)

    def finish(self, frames: Tensor) -> Tensor:
        return frames


class Block(nn.Module):
    """Pre-norm transformer block, `(batch, frames, width)` to the same shape."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)  # queries, keys, values
        self.gather = nn.Linear(width, width)
        self.wide_norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, frames: Tensor) -> Tensor:
        projected = self.project(self.attention_norm(frames)).unflatten(-1, (3, self.heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # (batch, heads, frames, width / heads) each
        mixed = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        frames = frames + self.gather(mixed)
        return frames + self.narrow(gelu(self.widen(self.wide_norm(frames))))


def sinusoids(positions: int, width: int) -> Tensor:
    """Embeddings of positions `(positions, width)`: sines, then cosines, rounded to float16 as in the release."""
    periods = 10000 ** (np.arange(width // 2) / max(width // 2 - 1, 1))
    phases = np.arange(positions)[:, None] / periods
    return torch.from_numpy(np.concatenate([np.sin(phases), np.cos(phases)], axis=1)).half()


def log_mel(samples: Tensor, bands: int = 80) -> Tensor:
    """`(batch, samples)` at 16 kHz, at least 201 samples, to the network's input `(batch, bands, samples // 160)`."""
    window = torch.hann_window(FFT_SIZE, dtype=samples.dtype, device=samples.device)
    spectrum = torch.stft(samples, FFT_SIZE, HOP, window=window, return_complex=True)[..., :-1]
    filters = torch.from_numpy(mel_filters(MelConfig(SAMPLE_RATE, FFT_SIZE, HOP, bands))).to(samples)
    levels = (filters @ (spectrum.real.square() + spectrum.imag.square())).clamp(min=QUIETEST).log10()
    levels = torch.maximum(levels, levels.amax((1, 2), keepdim=True) - RANGE)
    return (levels + 4) / 4


class WhisperEncoder(Encoder):
    """One layer of Whisper's encoder, at 50 frames per second: `ceil(samples / 320)` frames."""

    def __init__(self, network: AbstractWhisperNetwork, layer: int, device: torch.device | str = "cpu"):
        super().__init__(network, layer, device, sample_rate=SAMPLE_RATE, frame=FRAME)

    @property
    def window(self) -> int:
        return self.network.config.positions - TAIL

    @torch.inference_mode()
    def encode_window(self, samples: np.ndarray) -> np.ndarray:
        frames = -(-len(samples) // FRAME)
        padded = pad(torch.from_numpy(samples).to(self.device), (0, (frames + TAIL) * FRAME - len(samples)))
        content = self.network(log_mel(padded[None], self.network.config.bands), self.layer)
        return content[0, :, :frames].T.contiguous().cpu().numpy()
