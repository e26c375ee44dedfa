"""Weight normalisation while a network learns, and weights without it for a file.

Salimans and Kingma, "Weight normalization: a simple reparameterization to accelerate training of deep neural networks",
NeurIPS 2016, eq. 2: a length and a direction for every output channel.
"""

from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d)


def normalise(network: nn.Module) -> nn.Module:
    """Let every convolution of `network` learn length and direction of its weights; what it gives stays the same.

    A transposed convolution has a length for every input channel, which is its first dimension, as in HiFi-GAN's
    released models.
    """
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            weight_norm(module)
    return network


def folded(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network as it is without weight normalisation; that of one that has none is its own."""
    state = {name: tensor for name, tensor in network.state_dict().items() if "parametrizations." not in name}
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            state[f"{name}.weight"] = module.weight.detach()
    return state
