"""Layers that several networks share.

Gated layers use GLUs (Dauphin et al., ICML 2017): the convolution has twice the output channels, half values and half
gates, and instance normalisation applies to both.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, glu, layer_norm, pad
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from vc.errors import ConfigError, shorten

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d)
STRIDE = 4  # rows and frames of a generator's input per row and frame of its innermost layers


def pad_frames(frames: Tensor) -> Tensor:
    """Pad `(..., frames)` by replication to a multiple of STRIDE, at least two of them.

    With a single frame in the innermost layers, instance normalisation would have no variance.
    """
    length = frames.shape[-1]
    missing = max(-length % STRIDE, 2 * STRIDE - length)
    unpadded = (0, 0) * (frames.dim() - 3)  # torch needs a pair for each dimension but two
    return pad(frames, (0, missing, *unpadded), mode="replicate")


class InstanceNorm2d(nn.InstanceNorm2d):
    """Affine instance normalisation that avoids copying a single channels-last item.

    torch's own copies it twice, which takes a sixth of a generator's forward pass on a CPU. For a batch of one, batch
    normalisation is equivalent.
    """

    def __init__(self, channels: int):
        super().__init__(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 1 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            return batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(x)


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of each frame, `(batch, channels, frames)` to the same shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x.transpose(1, 2), self.weight.shape, self.weight, self.bias).transpose(1, 2)


class GatedConv1d(nn.Module):
    """Convolution, instance normalisation, GLU: `(batch, inputs, frames)` to `outputs` channels."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__()
        self.convolution = nn.Conv1d(inputs, 2 * outputs, kernel, stride, (kernel - 1) // 2)
        self.norm = nn.InstanceNorm1d(2 * outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return glu(self.norm(self.convolution(x)), dim=1)


class GatedConv2d(nn.Module):
    """Convolution, instance normalisation, GLU: `(batch, inputs, rows, frames)` to `outputs` channels."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int | tuple[int, int]):
        super().__init__()
        padding = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
        self.convolution = nn.Conv2d(inputs, 2 * outputs, kernel, stride, padding)
        self.norm = InstanceNorm2d(2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        return glu(self.norm(self.convolution(x)), dim=1)


class UpsampleBlock(nn.Module):
    """Convolution, pixel shuffle by 2, instance normalisation, GLU: rows and frames double."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 8 * outputs, 5, padding=2)
        self.shuffle = nn.PixelShuffle(2)
        self.norm = InstanceNorm2d(2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        return glu(self.norm(self.shuffle(self.convolution(x))), dim=1)


class UpsampleBlock1d(nn.Module):
    """Convolution, 1-D pixel shuffle by 2, instance normalisation, GLU: the number of frames doubles."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolution = nn.Conv1d(inputs, 4 * outputs, 5, padding=2)
        self.norm = nn.InstanceNorm1d(2 * outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x).unflatten(1, (-1, 2))  # (batch, channels, 2, frames): channel 2 c + i is c at 2 t + i
        return glu(self.norm(x.transpose(2, 3).flatten(2)), dim=1)


class ResidualBlock(nn.Module):
    """Residual block of a gated and a plain convolution over time, without activation after the sum.

    `inner` is the number of output channels of the first convolution, before the GLU.
    """

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.widen = nn.Conv1d(width, inner, 3, padding=1)
        self.norm_wide = nn.InstanceNorm1d(inner, affine=True)
        self.narrow = nn.Conv1d(inner // 2, width, 3, padding=1)
        self.norm = nn.InstanceNorm1d(width, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.narrow(glu(self.norm_wide(self.widen(x)), dim=1)))


def apply_weight_norm(network: nn.Module) -> nn.Module:
    """Apply weight normalisation to all convolutions of `network`, without changing its output.

    Salimans and Kingma, "Weight normalization: a simple reparameterization to accelerate training of deep neural
    networks", NeurIPS 2016, eq. 2: a length and a direction for each output channel; for a transposed convolution, for
    each input channel, the first dimension of the weight, as in HiFi-GAN's released models.
    """
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            weight_norm(module)
    return network


def fold_weight_norm(network: nn.Module) -> dict[str, Tensor]:
    """The state dict of a network with weight normalisation folded into the weights; `network` itself is unchanged."""
    state = {name: tensor for name, tensor in network.state_dict().items() if "parametrizations." not in name}
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            state[f"{name}.weight"] = module.weight.detach()
    return state


def build_with_weights(build: Callable[[], nn.Module], weights: Mapping[str, Tensor], kind: str) -> nn.Module:
    """Build a network with `weights` in float32. Only the weights take memory, whatever sizes `build` asks for.

    Parameters
    ----------
    build : callable
        Builds the network.
    weights : mapping of str to Tensor
        The network's state.
    kind : str
        The network's name in error messages.

    Returns
    -------
    nn.Module

    Raises
    ------
    ConfigError
        The names or shapes of `weights` do not match the network's.
    """
    with torch.device("meta"):
        network = build()
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    except RuntimeError as error:
        raise ConfigError(f"weights do not fit {kind}: {shorten(error)}") from error
    return network
