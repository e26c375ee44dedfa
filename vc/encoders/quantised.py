"""Weights quantised to few bits: integer codes times a scale for each input, the codes deflated.

A tensor `weight` of a network, whose first dimension is the outputs, is stored as two: `weight.codes`, the deflated
codes of all outputs for the first input, then for the second, and so on; and `weight.scales`, one for each input. How
the codes are chosen is not decided here (recipes/encoder/quantise.py).
"""

import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vc.config import require
from vc.tensor_file import LARGEST_TENSORS

CODES, SCALES = ".codes", ".scales"
LARGEST_CODE = 127
FEWEST_BITS = 1  # per code, as Huffman coding has: limits the memory that a file can ask for


def encode(codes: Tensor, scales: Tensor, name: str) -> dict[str, Tensor]:
    """Deflate the codes of a quantised tensor.

    Parameters
    ----------
    codes : Tensor
        Shape `(outputs, inputs)`, int8.
    scales : Tensor
        Shape `(inputs,)`, float32.
    name : str
        Name of the tensor `codes * scales`.

    Returns
    -------
    dict of str to Tensor
        The two tensors to be stored, by name.
    """
    # Huffman coding alone: codes repeat by chance only, and references to repetitions would take more bits.
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)
    data = deflate.compress(codes.T.contiguous().numpy().tobytes()) + deflate.flush()
    return {f"{name}{CODES}": torch.frombuffer(bytearray(data), dtype=torch.uint8), f"{name}{SCALES}": scales}


def decode(stored: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Restore quantised tensors, on the CPU.

    Parameters
    ----------
    stored : mapping of str to Tensor
        The network's state, of which some tensors are quantised.
    shapes : mapping of str to torch.Size
        Shapes of the network's tensors by name.

    Returns
    -------
    dict of str to Tensor
        The network's state; restored tensors are float32.

    Raises
    ------
    ConfigError
        A quantised tensor is incomplete, damaged, stored twice, or does not fit the network; or all together are too
        large. The last is found out before anything is decompressed.
    """
    names = sorted({name.removesuffix(CODES).removesuffix(SCALES) for name in filter(is_quantised, stored)})
    for name in names:
        _check(name, stored, shapes)
    size = 4 * sum(shapes[name].numel() for name in names)
    require(size <= LARGEST_TENSORS, f"{size:,} bytes of weights once decompressed, more than {LARGEST_TENSORS:,}")
    plain = {name: tensor for name, tensor in stored.items() if not is_quantised(name)}
    return plain | {name: _restore(name, stored, shapes[name]) for name in names}


def is_quantised(name: str) -> bool:
    """Whether a stored tensor is one of the two of a quantised one."""
    return name.endswith((CODES, SCALES))


def _check(name: str, stored: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> None:
    codes, scales, shape = stored.get(f"{name}{CODES}"), stored.get(f"{name}{SCALES}"), shapes.get(name)
    require(codes is not None and scales is not None, f"{name}: quantised, but without its codes or its scales")
    require(name not in stored, f"{name}: stored twice, quantised and not")
    require(shape is not None and len(shape) > 1, f"{name}: no weight of this network")
    fits = codes.dtype == torch.uint8 and codes.ndim == 1 and 8 * len(codes) >= FEWEST_BITS * shape.numel()
    fits = fits and scales.is_floating_point() and scales.shape == (shape[1:].numel(),)
    require(fits, f"{name}: codes or scales do not fit {list(shape)}")


def _restore(name: str, stored: Mapping[str, Tensor], shape: torch.Size) -> Tensor:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflate.decompress(stored[f"{name}{CODES}"].cpu().numpy(), shape.numel())
    except zlib.error:
        data = b""
    ended = inflate.eof and not inflate.unused_data
    require(len(data) == shape.numel() and ended, f"{name}: codes are damaged, or not of {list(shape)}")
    codes = np.frombuffer(data, np.int8).reshape(-1, shape[0]).T
    weight = codes.astype(np.float32, order="C")
    with np.errstate(over="ignore"):
        weight *= stored[f"{name}{SCALES}"].float().cpu().numpy()
    require(bool(np.isfinite(weight).all()), f"{name}: weights are not finite")
    return torch.from_numpy(weight).view(shape)
