"""Neural vocoding of log-mel frames as they arrive, with a constant lag and each layer's outputs computed once.

Every layer keeps the inputs that its next outputs depend on, so that a block of frames costs what it costs within a
recording. The result is that of the whole log-mel (`NeuralVocoder.vocode`).
"""

from copy import deepcopy
from itertools import repeat

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv_transpose1d, leaky_relu

from vc import devices
from vc.config import require
from vc.features.base import Frames
from vc.vocoders.base import OnlineVocoder, Vocoder
from vc.vocoders.hifigan import LAST_SLOPE, SLOPE, HiFiGAN, ResidualBlock
from vc.vocoders.neural import NeuralVocoder


class OnlineHiFiGAN(OnlineVocoder):
    """Vocodes blocks of log-mel frames by a HiFi-GAN, `lag` frames late.

    Parameters
    ----------
    vocoder : Vocoder
        A neural vocoder whose network is a HiFi-GAN.

    Raises
    ------
    ConfigError
        It is another one.
    """

    needs_excitation = False

    def __init__(self, vocoder: Vocoder):
        is_hifigan = isinstance(vocoder, NeuralVocoder) and isinstance(vocoder.network, HiFiGAN)
        advice = "--vocoder world needs none, and to get one: vc-vocoder import --help"
        require(is_hifigan, f"live conversion of log-mel needs a HiFi-GAN vocoder; {advice}")
        self.vocoder, self.lag = vocoder, vocoder.network.context
        # Under autocast, each block would cast the weights anew
        self._dtype = torch.bfloat16 if devices.uses_bf16(vocoder.precision, vocoder.device) else torch.float32
        self._network = deepcopy(vocoder.network).to(self._dtype)
        self.reset()

    def reset(self) -> None:
        self._generator = _Generator(self._network)
        self._samples = np.zeros(0, np.float32)
        self._surplus = 2 * self.lag * self.vocoder.mel.hop  # samples still to come of frames before the first
        self._begun = False

    def begin(self, frame: np.ndarray) -> None:
        self._begun = True
        self._generate(np.tile(frame, (2 * self.lag, 1)))
        self._samples = np.concatenate([np.zeros(self.lag * self.vocoder.mel.hop, np.float32), self._samples])

    def push(self, frames: Frames) -> np.ndarray:
        log_mel = frames.spectrum
        if not self._begun:  # as `vocode` pads: with the first frame
            self.begin(log_mel[0])
        self._generate(log_mel)
        count = len(log_mel) * self.vocoder.mel.hop
        samples, self._samples = self._samples[:count], self._samples[count:]
        return samples

    @torch.inference_mode()
    def _generate(self, log_mel: np.ndarray) -> None:
        frames = torch.from_numpy(log_mel.T[None].astype(np.float32)).to(self.vocoder.device, self._dtype)
        samples = self._generator(frames)[0, 0].float().cpu().numpy()
        skipped = min(self._surplus, len(samples))
        self._surplus -= skipped
        self._samples = np.concatenate([self._samples, samples[skipped:]])


class _Generator:
    """HiFi-GAN's generator: log-mel `(1, bands, frames)` to all samples `(1, 1, samples)` that can be computed."""

    def __init__(self, network: HiFiGAN):
        self._enter, self._leave = _Convolution(network.enter), _Convolution(network.leave)
        self._stages = [
            (_Upsampling(up), [_Residual(block) for block in blocks], _Synchroniser(len(blocks)))
            for up, blocks in zip(network.up, network.blocks)
        ]

    def __call__(self, log_mel: Tensor) -> Tensor:
        x = self._enter(log_mel)
        for up, blocks, synchronise in self._stages:
            x = up(leaky_relu(x, SLOPE))
            x = sum(synchronise([block(x) for block in blocks])) / len(blocks)
        return torch.tanh(self._leave(leaky_relu(x, LAST_SLOPE)))


class _Convolution:
    """A convolution that returns the outputs whose inputs are all there; before the first input there are zeros."""

    def __init__(self, layer: nn.Conv1d):
        self._layer = layer
        self._past: Tensor | None = None  # inputs that later outputs depend on

    def __call__(self, x: Tensor) -> Tensor:
        layer = self._layer
        if self._past is None:
            self._past = x.new_zeros(*x.shape[:2], layer.padding[0])
        x = torch.cat([self._past, x], dim=-1)
        reach = layer.dilation[0] * (layer.kernel_size[0] - 1)
        self._past = x[..., -reach:] if reach else x[..., :0]
        return conv1d(x, layer.weight, layer.bias, dilation=layer.dilation)


class _Upsampling:
    """A transposed convolution that returns the outputs to which no later input will add."""

    def __init__(self, layer: nn.ConvTranspose1d):
        self._layer = layer
        self._unfinished: Tensor | None = None  # outputs

    def __call__(self, x: Tensor) -> Tensor:
        layer, count = self._layer, x.shape[-1] * self._layer.stride[0]
        outputs = conv_transpose1d(x, layer.weight, None, layer.stride).float()
        first = self._unfinished is None
        if not first:
            outputs[..., : self._unfinished.shape[-1]] += self._unfinished
        self._unfinished = outputs[..., count:].clone()
        return (outputs[..., layer.padding[0] if first else 0 : count] + layer.bias[:, None]).to(x.dtype)


class _Residual:
    """A residual block, whose inputs wait for the convolutions' outputs."""

    def __init__(self, block: ResidualBlock):
        plain = block.plain or repeat(None, len(block.dilated))
        self._layers = [
            ([_Convolution(layer) for layer in layers if layer is not None], _Synchroniser(2))
            for layers in zip(block.dilated, plain)
        ]

    def __call__(self, x: Tensor) -> Tensor:
        for convolutions, synchronise in self._layers:
            y = x
            for convolution in convolutions:
                y = convolution(leaky_relu(y, SLOPE))
            x = sum(synchronise([x, y]))
        return x


class _Synchroniser:
    """Delays signals so that all have the same number of samples."""

    def __init__(self, signals: int):
        self._waiting: list[Tensor | None] = [None] * signals

    def __call__(self, signals: list[Tensor]) -> list[Tensor]:
        arrived = [x if past is None else torch.cat([past, x], dim=-1) for past, x in zip(self._waiting, signals)]
        count = min(x.shape[-1] for x in arrived)
        self._waiting = [x[..., count:] for x in arrived]
        return [x[..., :count] for x in arrived]
