#!/usr/bin/env python3
"""Quantise the first layers of Whisper's encoder to fewer than three bits a weight, for vc/encoders/quantised.py.

    python quantise.py --teacher whisper_base_encoder.safetensors --voices voices --out quantised.safetensors

After Frantar et al., "GPTQ", ICLR 2023: matrix by matrix, and in each input by input, weights are rounded, and those of
the inputs that follow make up for the error where the recordings' inputs allow. Three things differ. Steps are
wide where an error can be made up for and narrow where it cannot, which for a given error costs the fewest bits once
the numbers are entropy-coded. Each matrix is first fitted anew to its outputs in the whole encoder, given what the
quantised layers before it make of the same recordings. Numbers have no narrow range.

Last, the mean of the vectors over the recordings is moved to that of the distilled encoder's, so that a model of one
encoder can be used with the other.
"""

import argparse
import copy
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soxr
import torch
from distil import LAYER, MEL, TEACHER_RATE, utterances
from evaluate import heard as heard_under
from torch import Tensor, nn
from torch.nn.functional import pad

from vc.encoders import choice, encoder_file, published, quantised
from vc.encoders.base import Encoder
from vc.encoders.encoder_file import EncoderModel
from vc.encoders.whisper import FirstBlocks, WhisperEncoder, WhisperNetwork, log_mel

CONDITIONS = ["clean", "clean", "noise 20 dB", "telephone"]  # of recordings in turn
BETTER = {"enter": 2.0, "halve": 1.0}  # bits more than others: small, and all that follows needs them
DAMPING = 0.01  # added to the inputs' mean squares, as a share of their mean
LAST_BIAS = f"blocks.{LAYER - 1}.narrow.bias"
DOUBLE = torch.float64


def recordings(folder: Path, minutes: float) -> Iterator[np.ndarray]:
    """Samples at TEACHER_RATE of voices' recordings, the same minutes of each, some noisy or by telephone."""
    voices = sorted(path for path in folder.iterdir() if path.is_dir())
    rng = np.random.default_rng(0)
    for voice in voices:
        seconds = 0.0
        for number, (samples, rate) in enumerate(utterances(voice, rng)):
            if seconds > 60 * minutes / len(voices):
                break
            seconds += len(samples) / rate
            samples = soxr.resample(samples, rate, MEL.sample_rate).astype(np.float32)
            samples = heard_under(samples, CONDITIONS[number % len(CONDITIONS)], rng)
            yield soxr.resample(samples, MEL.sample_rate, TEACHER_RATE).astype(np.float32)


class Reached(Exception):
    """The layer whose inputs are wanted has been called; what follows it need not be computed."""


def inputs_of(network: WhisperNetwork, name: str, spectrum: Tensor) -> Tensor:
    """What reaches a layer of the network: `(frames, inputs)`, in the order of its weights flattened."""
    layer, reached = network.get_submodule(name), []

    def take(_: nn.Module, arguments: tuple[Tensor]) -> None:
        reached.append(arguments[0][0])
        raise Reached

    hook = layer.register_forward_pre_hook(take)
    try:
        network(spectrum, LAYER)
    except Reached:
        pass
    finally:
        hook.remove()
    if isinstance(layer, nn.Conv1d):
        (size,), (stride,), (edge,) = layer.kernel_size, layer.stride, layer.padding
        return pad(reached[0], (edge, edge)).unfold(1, size, stride).transpose(0, 1).flatten(1)
    return reached[0]


def mean_vector(encoder: Encoder, heard: list[np.ndarray]) -> Tensor:
    """The mean `(dims,)` of an encoder's vectors of recordings at TEACHER_RATE."""
    recordings = (soxr.resample(samples, TEACHER_RATE, encoder.sample_rate).astype(np.float32) for samples in heard)
    return torch.from_numpy(np.concatenate([encoder.encode(samples) for samples in recordings]).mean(axis=0))


def entropy(numbers: Tensor) -> float:
    """Bits a number, of whole numbers that are coded one by one."""
    counts = numbers.unique(return_counts=True)[1].double()
    shares = counts / counts.sum()
    return float(-(shares * shares.log2()).sum())


def quantise(weight: Tensor, squares: Tensor, products: Tensor, bits: float) -> tuple[Tensor, Tensor]:
    """Quantise a matrix.

    Parameters
    ----------
    weight
        Shape `(outputs, inputs)`.
    squares, products
        Shape `(inputs, inputs)`, float64: mean products of the inputs with each other as the quantised network has
        them, and of the whole network's inputs with these.
    bits
        Of a number, on average.

    Returns
    -------
    Numbers `(outputs, inputs)`, int8, and steps `(inputs,)`, float32.
    """
    inputs = len(squares)
    damping = DAMPING * squares.diagonal().mean() * torch.eye(inputs, dtype=DOUBLE)
    squares, products = squares + damping, products + damping
    weight = torch.linalg.solve(squares, (weight.double() @ products).T).T  # nearest outputs of the inputs at hand
    spread = torch.linalg.cholesky(torch.linalg.inv(squares), upper=True)
    own = spread.diagonal()  # an error of this size in an input's weights costs as much as in any other's
    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy((weight / own / 2**middle).round()) > bits else (low, middle)
    steps = (own * 2**high).maximum(weight.abs().amax(0) / (quantised.LARGEST_CODE - 7)).float()
    numbers = torch.zeros_like(weight)
    for j in range(inputs):
        numbers[:, j] = (weight[:, j] / steps[j]).round().clamp(-quantised.LARGEST_CODE, quantised.LARGEST_CODE)
        error = (weight[:, j] - numbers[:, j] * steps[j]) / own[j]
        weight[:, j:] -= error[:, None] * spread[j, j:]
    return numbers.to(torch.int8), steps


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--voices", type=Path, required=True, help="a folder of recordings for each voice")
    parser.add_argument("--minutes", type=float, default=6.0, help="of recordings of all voices together (default: 6)")
    parser.add_argument("--bits", type=float, default=2.7, help="of a weight, on average (default: 2.7)")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, weights = published.read(args.teacher)
    config = encoder_file.network_config(model.kind, {**model.network, "layers": LAYER})
    kept = {name: weights[name] for name in FirstBlocks(config).state_dict()}
    whole = encoder_file.load_network("whisper_blocks", config, kept)
    partly = copy.deepcopy(whole)
    heard, stored = list(recordings(args.voices, args.minutes)), {}
    spectra = [log_mel(pad(torch.from_numpy(samples), (0, TEACHER_RATE))[None]) for samples in heard]  # ends as in use
    for name, layer in partly.named_modules():
        if not isinstance(layer, nn.Linear | nn.Conv1d):
            continue
        squares, products, frames = 0.0, 0.0, 0
        for spectrum in spectra:
            wanted, given = (inputs_of(network, name, spectrum).double() for network in (whole, partly))
            squares, products, frames = squares + given.T @ given, products + wanted.T @ given, frames + len(given)
        bits = args.bits + BETTER.get(name, 0.0)
        numbers, steps = quantise(layer.weight.flatten(1), squares / frames, products / frames, bits)
        layer.weight.copy_((numbers * steps).view_as(layer.weight))
        stored |= quantised.encode(numbers, steps, f"{name}.weight")
        size = sum(tensor.nbytes for tensor in stored.values())
        print(f"{name}: {entropy(numbers):.2f} bits, {size / 1e6:.2f} MB so far", flush=True)
    encoder, distilled = WhisperEncoder(partly, LAYER), choice.choose(choice.DISTILLED)
    kept[LAST_BIAS] = kept[LAST_BIAS] + mean_vector(distilled, heard) - mean_vector(encoder, heard)
    stored |= {name: tensor.half() for name, tensor in kept.items() if f"{name}{quantised.CODES}" not in stored}
    origin = f"the first {LAYER} layers of the encoder of OpenAI's Whisper base, quantised: recipes/encoder"
    licence = "MIT, Copyright (c) 2022 OpenAI; quantised on recordings of VCC2016 (CC BY 4.0)"
    description = EncoderModel("whisper_blocks", asdict(config), LAYER, origin, licence)
    encoder_file.write(args.out, description, stored)
    digest = encoder_file.load_encoder(description, stored).digest
    print(json.dumps({"bytes": args.out.stat().st_size, "digest": digest}))


if __name__ == "__main__":
    main()
