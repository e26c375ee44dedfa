"""Layers that the networks share.

A gated layer computes twice the channels that it gives: half are values, half gates (GLU; Dauphin et al., ICML 2017),
and instance normalisation covers both.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, glu, layer_norm, pad
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from vc.errors import ConfigError, shorten

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d)
STRIDE = 4  # rows and frames of a generator's input to one of its innermost part


def padded(frames: Tensor) -> Tensor:
    """`(..., frames)`, the last repeated up to a multiple of STRIDE and two strides at least.

    One frame of the innermost part has no variance.
    """
    length = frames.shape[-1]
    missing = max(-length % STRIDE, 2 * STRIDE - length)
    unpadded = (0, 0) * (frames.dim() - 3)  # torch needs a pair for all dimensions but two
    return pad(frames, (0, missing, *unpadded), mode="replicate")


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's, affine; a single item that lies channels last is normalised where it lies.

    torch's own copies it twice, which is a sixth of a generator's pass on a CPU. One item's statistics over the batch
    are those over the instance.
    """

    def __init__(self, channels: int):
        super().__init__(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 1 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
            return batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(x)


class ChannelNorm(nn.Module):
    """Layer normalisation of each frame's channels by themselves: `(batch, channels, frames)` to the same shape."""

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
    """Convolution, pixel shuffle by 2, instance normalisation, GLU: both sizes double."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolution = nn.Conv2d(inputs, 8 * outputs, 5, padding=2)
        self.shuffle = nn.PixelShuffle(2)
        self.norm = InstanceNorm2d(2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        return glu(self.norm(self.shuffle(self.convolution(x))), dim=1)


class UpsampleBlock1d(nn.Module):
    """Convolution, shuffle of pairs of channels into time, instance normalisation, GLU: frames double."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.convolution = nn.Conv1d(inputs, 4 * outputs, 5, padding=2)
        self.norm = nn.InstanceNorm1d(2 * outputs, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x).unflatten(1, (-1, 2))  # (batch, channels, 2, frames): channel 2 c + i is c at 2 t + i
        return glu(self.norm(x.transpose(2, 3).flatten(2)), dim=1)


class ResidualBlock(nn.Module):
    """Gated convolution along time and back, added to the input; nothing after the sum.

    `inner` channels are those of the first convolution before the GLU.
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
    """Normalise the weights of every convolution of `network` while it learns; its output stays the same.

    Salimans and Kingma, "Weight normalization: a simple reparameterization to accelerate training of deep neural
    networks", NeurIPS 2016, eq. 2: a length and a direction for every output channel. A transposed convolution has a
    length for every input channel, which is its first dimension, as in HiFi-GAN's released models.
    """
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            weight_norm(module)
    return network


def without_weight_norm(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network without weight normalisation, as for a file; `network` is not changed."""
    state = {name: tensor for name, tensor in network.state_dict().items() if "parametrizations." not in name}
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            state[f"{name}.weight"] = module.weight.detach()
    return state


def with_weights(make: Callable[[], nn.Module], weights: Mapping[str, Tensor], kind: str) -> nn.Module:
    """A network with `weights`, in float32; it takes no other memory, whatever sizes `make` claims.

    Parameters
    ----------
    make : callable
        Makes the network.
    weights : mapping of str to Tensor
        Its state.
    kind : str
        What messages call it.

    Raises
    ------
    ConfigError
        For weights of other names or shapes.
    """
    with torch.device("meta"):
        network = make()
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, assign=True)
    except RuntimeError as error:
        raise ConfigError(f"weights do not fit {kind}: {shorten(error)}") from error
    return network
