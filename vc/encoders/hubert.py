"""HuBERT and WavLM: self-supervised speech models, trained by masked prediction.

Hsu et al., "HuBERT: self-supervised speech representation learning by masked prediction of hidden units", TASLP 2021;
Chen et al., "WavLM: large-scale self-supervised pre-training for full stack speech processing", JSTSP 2022, whose
attention has a gated relative position bias (section III-B). Base and large of both, for the released weights. Differs
from the release: recordings are zero-padded at both ends, so that frames are centred like Whisper's.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, gelu, layer_norm, pad, scaled_dot_product_attention

from vc.config import require, require_range
from vc.encoders.base import Encoder

SAMPLE_RATE = 16000  # Hz
FRAME = 320  # samples between frames
REACH = 400  # samples, receptive field of the convolutions
CONVOLUTIONS = [[512, 10, 5], *[[512, 3, 2]] * 4, *[[512, 2, 2]] * 2]
VARIANCE_FLOOR = 1e-7  # in the normalisation of recordings


@dataclass(frozen=True)
class HubertConfig:
    """Configuration of a network; the defaults are those of HuBERT base."""

    width: int = 768
    heads: int = 12
    layers: int = 12
    hidden: int = 3072  # units of a block's feed-forward layer
    convolutions: list[list[int]] = field(default_factory=lambda: CONVOLUTIONS)  # channels, kernel, stride of each
    convolution_bias: bool = False
    norm_each: bool = False  # layer norm after every convolution, rather than group norm after the first
    norm_first: bool = False  # pre-norm rather than post-norm blocks
    normalise: bool = False  # normalise recordings to mean 0 and variance 1
    position_kernel: int = 128  # frames
    position_groups: int = 16
    buckets: int = 0  # of the relative position bias; 0: no bias, as in HuBERT
    farthest: int = 800  # frames; greater distances share the last bucket
    epsilon: float = 1e-5  # of the layer norms after the convolutions

    def __post_init__(self) -> None:
        limits = {"width": 4096, "layers": 128, "hidden": 16384, "position_kernel": 1024, "position_groups": 1024}
        for name, highest in limits.items():
            require_range(self, "encoder", name, at_least=1, at_most=highest)
        for name in ("heads", "position_groups"):
            number = getattr(self, name)
            divides = number > 0 and self.width % number == 0
            require(divides, f"encoder.{name} must divide encoder.width, {self.width}, got {number}")
        sizes = all(len(row) == 3 and min(row) >= 1 and row[0] <= 4096 for row in self.convolutions)
        require(sizes and 1 <= len(self.convolutions) <= 16, "encoder.convolutions must be channels, kernel, stride")
        reach, stride = 1, 1
        for _, kernel, step in self.convolutions:
            reach, stride = reach + (kernel - 1) * stride, stride * step
        message = f"encoder.convolutions must see {REACH} samples every {FRAME}, not {reach} every {stride}"
        require((reach, stride) == (REACH, FRAME), message)
        possible = self.buckets == 0 or (4 <= self.buckets <= 4096 and self.buckets // 4 < self.farthest <= 100_000)
        require(possible, f"encoder.buckets must be 0 or 4..4096, with farthest above a quarter, got {self.buckets}")
        require_range(self, "encoder", "epsilon", above=0, below=1)

    @property
    def dims(self) -> int:
        return self.width


class HubertNetwork(nn.Module):
    """Samples `(batch, samples)` to content `(batch, width, (samples - 80) // 320)`."""

    def __init__(self, config: HubertConfig):
        super().__init__()
        self.config = config
        inputs = [1, *(channels for channels, *_ in config.convolutions)]
        norms = ["channels" if config.norm_each else "none"] * len(config.convolutions)
        if not config.norm_each:
            norms[0] = "time"
        self.convolutions = nn.ModuleList(
            Convolution(before, *sizes, bias=config.convolution_bias, norm=norm)
            for before, sizes, norm in zip(inputs, config.convolutions, norms)
        )
        self.enter_norm = nn.LayerNorm(inputs[-1], config.epsilon)
        self.enter = nn.Linear(inputs[-1], config.width)
        self.positions = Positions(config.width, config.position_kernel, config.position_groups)
        self.norm = nn.LayerNorm(config.width, config.epsilon)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        if config.buckets:
            self.distances = nn.Parameter(torch.zeros(config.buckets, config.heads))

    def forward(self, samples: Tensor, layer: int) -> Tensor:
        """The output of block `layer`, 1..layers; that of the last one is normalised if the blocks are pre-norm."""
        frames = samples[:, None]
        for convolution in self.convolutions:
            frames = convolution(frames)
        frames = self.enter(self.enter_norm(frames.transpose(1, 2)))
        frames = frames + self.positions(frames)
        if not self.config.norm_first:
            frames = self.norm(frames)
        bias = self._distance_bias(frames.shape[1]) if self.config.buckets else None
        for block in self.blocks[:layer]:
            frames = block(frames, bias)
        if self.config.norm_first and layer == self.config.layers:
            frames = self.norm(frames)
        return frames.transpose(1, 2)

    def _distance_bias(self, frames: int) -> Tensor:
        """Relative position bias `(heads, frames, frames)`: half the buckets per side, half of them logarithmic."""
        positions = torch.arange(frames, device=self.distances.device)
        distance = positions - positions[:, None]
        side = self.config.buckets // 2
        near = side // 2
        far = (distance.abs().clamp(min=1) / near).log() / math.log(self.config.farthest / near) * (side - near)
        far = (near + far).long().clamp(max=side - 1)
        bucket = torch.where(distance.abs() < near, distance.abs(), far) + side * (distance > 0)
        return self.distances[bucket].permute(2, 0, 1)


class Convolution(nn.Module):
    """Strided convolution of `(batch, channels, positions)`; `norm` is `channels` (layer), `time` (group) or `none`."""

    def __init__(self, before: int, channels: int, kernel: int, stride: int, *, bias: bool, norm: str):
        super().__init__()
        self.convolve = nn.Conv1d(before, channels, kernel, stride, bias=bias)
        self.channels = norm == "channels"
        if self.channels:
            self.norm = nn.LayerNorm(channels)
        elif norm == "time":
            self.norm = nn.GroupNorm(channels, channels)
        else:
            self.norm = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolve(x)
        return gelu(self.norm(x.transpose(1, 2)).transpose(1, 2) if self.channels else self.norm(x))


class Positions(nn.Module):
    """Convolutional positional embedding of `(batch, frames, width)`, with weight normalisation."""

    def __init__(self, width: int, kernel: int, groups: int):
        super().__init__()
        self.groups = groups
        self.length = nn.Parameter(torch.ones(1, 1, kernel))
        self.direction = nn.Parameter(torch.randn(width, width // groups, kernel) / width)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, frames: Tensor) -> Tensor:
        weight = self.length * self.direction / self.direction.norm(dim=(0, 1), keepdim=True)
        kernel = weight.shape[2]
        padded = pad(frames.transpose(1, 2), (kernel // 2, (kernel - 1) // 2))
        return gelu(conv1d(padded, weight, self.bias, groups=self.groups)).transpose(1, 2)


class Block(nn.Module):
    """Transformer block, `(batch, frames, width)` to the same shape."""

    def __init__(self, config: HubertConfig):
        super().__init__()
        self.heads, self.norm_first = config.heads, config.norm_first
        self.attention_norm = nn.LayerNorm(config.width, config.epsilon)
        self.project = nn.Linear(config.width, 3 * config.width)  # queries, keys, values
        self.gather = nn.Linear(config.width, config.width)
        self.wide_norm = nn.LayerNorm(config.width, config.epsilon)
        self.widen = nn.Linear(config.width, config.hidden)
        self.narrow = nn.Linear(config.hidden, config.width)
        if config.buckets:
            self.gate = nn.Linear(config.width // config.heads, 8)
            self.gate_scale = nn.Parameter(torch.ones(1, config.heads, 1, 1))

    def forward(self, frames: Tensor, bias: Tensor | None) -> Tensor:
        if self.norm_first:
            frames = frames + self._attend(self.attention_norm(frames), bias)
            return frames + self.narrow(gelu(self.widen(self.wide_norm(frames))))
        frames = self.attention_norm(frames + self._attend(frames, bias))
        return self.wide_norm(frames + self.narrow(gelu(self.widen(frames))))

    def _attend(self, frames: Tensor, bias: Tensor | None) -> Tensor:
        projected = self.project(frames).unflatten(-1, (3, self.heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)  # (batch, heads, frames, width / heads) each
        if bias is not None:
            # Gate of the relative position bias, (batch, heads, frames, 1)
            gates = self.gate(frames.unflatten(-1, (self.heads, -1)).transpose(1, 2)).unflatten(-1, (2, 4)).sum(-1)
            update, reset = gates.sigmoid().chunk(2, dim=-1)
            bias = bias * (update * (reset * self.gate_scale - 1) + 2)
        mixed = scaled_dot_product_attention(query, key, value, bias)
        return self.gather(mixed.transpose(1, 2).flatten(2))


class HubertEncoder(Encoder):
    """One layer of HuBERT or WavLM, at 50 frames per second: `ceil(samples / 320)` frames."""

    def __init__(self, network: HubertNetwork, layer: int, device: torch.device | str = "cpu"):
        super().__init__(network, layer, device, sample_rate=SAMPLE_RATE, frame=FRAME)

    @torch.inference_mode()
    def encode_window(self, samples: np.ndarray) -> np.ndarray:
        samples = torch.from_numpy(samples).to(self.device)
        if self.network.config.normalise:
            samples = layer_norm(samples, samples.shape, eps=VARIANCE_FLOOR)
        before = (REACH - FRAME) // 2
        length = REACH + FRAME * ((len(samples) - 1) // FRAME)
        padded = pad(samples, (before, length - before - len(samples)))
        return self.network(padded[None], self.layer)[0].T.contiguous().cpu().numpy()
