"""Weights quantised to few bits: whole numbers times a step for each input, the numbers deflated.

A tensor `weight` of a network, whose first dimension is the outputs, is stored as two: `weight.codes`, the deflated
whole numbers of all outputs for the first input, then for the second, and so on; and `weight.steps`, one for each
input. Which numbers they are is decided elsewhere (recipes/encoder/quantise.py).
"""

import zlib
from collections.abc import Mapping

import torch
from torch import Tensor

from vc.config import require

CODES, STEPS = ".codes", ".steps"
LARGEST_CODE = 127
SMALLEST_RATE = 1 / 16  # bytes of codes per number, below which they are not decoded: limits memory


def encode(numbers: Tensor, steps: Tensor, name: str) -> dict[str, Tensor]:
    """Deflate whole numbers.

    Parameters
    ----------
    numbers : Tensor
        Shape `(outputs, inputs)`, int8.
    steps : Tensor
        Shape `(inputs,)`, float32.
    name : str
        Name of the tensor that is `numbers * steps`.

    Returns
    -------
    dict of str to Tensor
        The two tensors to be stored, by name.
    """
    # Without matches, which numbers that look random have by chance only, the result is smaller.
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    data = deflate.compress(numbers.T.contiguous().numpy().tobytes()) + deflate.flush()
    return {f"{name}{CODES}": torch.frombuffer(bytearray(data), dtype=torch.uint8), f"{name}{STEPS}": steps}


def decode(weights: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Restore quantised tensors, on the CPU, in at most 64 times the memory of their codes.

    Parameters
    ----------
    weights : mapping of str to Tensor
        The network's state, of which some tensors may be quantised.
    shapes : mapping of str to torch.Size
        Shapes of the network's tensors by name.

    Returns
    -------
    dict of str to Tensor
        The network's state; restored tensors are float32.

    Raises
    ------
    ConfigError
        Codes without steps, without a tensor of the network, or that do not fit it.
    """
    restored = {name: tensor for name, tensor in weights.items() if not is_quantised(name)}
    for stored in filter(is_quantised, weights):
        name = stored.removesuffix(CODES).removesuffix(STEPS)
        if name in restored:
            continue
        codes, steps = weights.get(f"{name}{CODES}"), weights.get(f"{name}{STEPS}")
        require(codes is not None and steps is not None, f"{stored}: codes and steps belong together")
        shape = shapes.get(name)
        require(shape is not None and len(shape) > 1, f"{stored}: no weight {name} in this network")
        inputs = shape[1:].numel()
        fits = codes.dtype == torch.uint8 and codes.ndim == 1 and steps.shape == (inputs,)
        require(fits and SMALLEST_RATE * shape.numel() <= len(codes), f"{stored}: does not fit {list(shape)}")
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            data = inflate.decompress(codes.cpu().numpy().tobytes(), shape.numel())
        except zlib.error:
            data = b""
        require(len(data) == shape.numel() and inflate.eof, f"{stored}: damaged, or not of {list(shape)}")
        numbers = torch.frombuffer(bytearray(data), dtype=torch.int8).view(inputs, shape[0])
        restored[name] = (numbers.float() * steps.float()[:, None]).T.contiguous().view(shape)
    return restored


def is_quantised(name: str) -> bool:
    """Whether a stored tensor is half of a quantised one."""
    return name.endswith((CODES, STEPS))
