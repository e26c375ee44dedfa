#!/usr/bin/env python3
"""Quantise the first layers of Whisper's encoder to fewer than three bits a weight, for vc/encoders/quantised.py.

    python quantise.py --teacher whisper_base_encoder.safetensors --voices voices --out quantised.safetensors

After Frantar et al., "GPTQ", ICLR 2023: matrix by matrix, and in each input by input, weights are rounded, and those of
the inputs that follow make up for the error where the recordings' inputs allow. Three things differ. Steps are wide
where an error can be made up for and narrow where it cannot, which for a given error costs the fewest bits once the
codes are entropy-coded. Each matrix is first fitted anew to its outputs in the full network, given what the quantised
layers before it make of the same recordings. Codes are not clipped to a few levels.

Last, the mean of the vectors over speech is moved to that of the distilled encoder's, so that a model of one encoder
can be used with the other.
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
from distil import LAYER, MEL, TEACHER_FRAMES, TEACHER_RATE, at_content_frames, audible, utterances
from evaluate import heard, whole
from torch import Tensor, nn
from torch.nn.functional import pad

from vc.encoders import choice, encoder_file, published, quantised
from vc.encoders.base import Encoder
from vc.encoders.encoder_file import EncoderModel
from vc.encoders.whisper import AbstractWhisperNetwork, WhisperEncoder, WhisperFirstBlocks, log_mel

CONDITIONS = ["clean", "clean", "noise 20 dB", "telephone"]  # of recordings in turn
EXTRA_BITS = {"enter": 2.0, "halve": 1.0}  # layers that are small, and on which all others depend
DAMPING = 0.01  # added to the inputs' mean squares, as a share of their mean
LAST_BIAS = f"blocks.{LAYER - 1}.narrow.bias"


def read_recordings(folder: Path, minutes: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples at MEL.sample_rate of voices' recordings, the same minutes of each: clean, and under CONDITIONS."""
    voices = sorted(path for path in folder.iterdir() if path.is_dir())
    rng = np.random.default_rng(0)
    for voice in voices:
        seconds = 0.0
        for number, (samples, rate) in enumerate(utterances(voice, rng)):
            if seconds > 60 * minutes / len(voices):
                break
            seconds += len(samples) / rate
            clean = soxr.resample(samples, rate, MEL.sample_rate).astype(np.float32)
            yield clean, heard(clean, CONDITIONS[number % len(CONDITIONS)], rng)


def whisper_input(samples: np.ndarray) -> Tensor:
    """Log-mel `(1, bands, frames)` of samples at MEL.sample_rate and a second of silence, as in use."""
    resampled = soxr.resample(samples, MEL.sample_rate, TEACHER_RATE).astype(np.float32)
    return log_mel(pad(torch.from_numpy(resampled), (0, TEACHER_RATE))[None])


class LayerReached(Exception):
    """A layer has been called; what follows it need not be computed."""


def layer_inputs(network: AbstractWhisperNetwork, name: str, spectrum: Tensor) -> Tensor:
    """What reaches a layer of the network: `(frames, inputs)`, in the order of its weights when flattened."""
    layer, captured = network.get_submodule(name), []

    def capture(_: nn.Module, arguments: tuple[Tensor]) -> None:
        captured.append(arguments[0][0])
        raise LayerReached

    hook = layer.register_forward_pre_hook(capture)
    try:
        network(spectrum, LAYER)
    except LayerReached:
        pass
    finally:
        hook.remove()
    if isinstance(layer, nn.Conv1d):
        (size,), (stride,), (edge,) = layer.kernel_size, layer.stride, layer.padding
        return pad(captured[0], (edge, edge)).unfold(1, size, stride).transpose(0, 1).flatten(1)
    return captured[0]


def speech_mean(encoder: Encoder, recordings: list[np.ndarray]) -> Tensor:
    """The mean `(dims,)` of an encoder's vectors over audible frames of recordings at MEL.sample_rate."""
    vectors = []
    for samples in map(whole, recordings):
        content = encoder.encode(soxr.resample(samples, MEL.sample_rate, encoder.sample_rate).astype(np.float32))
        mask = audible(samples)
        if encoder.frame_rate == TEACHER_FRAMES:
            content = at_content_frames(content, len(mask))
        vectors.append(content[mask])
    return torch.from_numpy(np.concatenate(vectors).mean(axis=0))


def entropy(codes: Tensor) -> float:
    """Bits a code, of integers that are coded one by one."""
    counts = codes.unique(return_counts=True)[1].double()
    shares = counts / counts.sum()
    return float(-(shares * shares.log2()).sum())


def quantise(weight: Tensor, squares: Tensor, products: Tensor, bits: float) -> tuple[Tensor, Tensor]:
    """Quantise a matrix.

    Parameters
    ----------
    weight : Tensor
        Shape `(outputs, inputs)`.
    squares : Tensor
        Shape `(inputs, inputs)`, float64: mean products of the inputs with each other in the quantised network.
    products : Tensor
        Shape `(inputs, inputs)`, float64: mean products of the full network's inputs with the quantised network's.
    bits : float
        Of a code, on average.

    Returns
    -------
    codes : Tensor
        Shape `(outputs, inputs)`, int8.
    scales : Tensor
        Shape `(inputs,)`, float32.
    """
    inputs = len(squares)
    damping = DAMPING * squares.diagonal().mean() * torch.eye(inputs, dtype=torch.float64)
    squares, products = squares + damping, products + damping
    weight = torch.linalg.solve(squares, (weight.double() @ products).T).T  # least squares, for the quantised inputs
    factor = torch.linalg.cholesky(torch.linalg.inv(squares), upper=True)
    diagonal = factor.diagonal()  # errors in proportion to it cost the same in each input
    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy((weight / diagonal / 2**middle).round()) > bits else (low, middle)
    scales = (diagonal * 2**high).maximum(weight.abs().amax(0) / (quantised.LARGEST_CODE - 7)).float()
    codes = torch.zeros_like(weight)
    for j in range(inputs):
        codes[:, j] = (weight[:, j] / scales[j]).round().clamp(-quantised.LARGEST_CODE, quantised.LARGEST_CODE)
        error = (weight[:, j] - codes[:, j] * scales[j]) / diagonal[j]
        weight[:, j:] -= error[:, None] * factor[j, j:]
    return codes.to(torch.int8), scales


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
    weights = {name: weights[name] for name in WhisperFirstBlocks(config).state_dict()}
    full_network = encoder_file.load_network("whisper_blocks", config, weights)
    network, stored = copy.deepcopy(full_network), {}
    clean, distorted = zip(*read_recordings(args.voices, args.minutes))
    spectra = [whisper_input(samples) for samples in distorted]
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Linear | nn.Conv1d):
            continue
        squares, products, frames = 0.0, 0.0, 0
        for spectrum in spectra:
            full, inputs = (layer_inputs(each, name, spectrum).double() for each in (full_network, network))
            squares, products, frames = squares + inputs.T @ inputs, products + full.T @ inputs, frames + len(inputs)
        bits = args.bits + EXTRA_BITS.get(name, 0.0)
        codes, scales = quantise(layer.weight.flatten(1), squares / frames, products / frames, bits)
        layer.weight.copy_((codes * scales).view_as(layer.weight))
        stored |= quantised.encode(codes, scales, f"{name}.weight")
        size = sum(tensor.nbytes for tensor in stored.values())
        print(f"{name}: {entropy(codes):.2f} bits, {size / 1e6:.2f} MB so far", flush=True)
    encoders = (choice.choose(choice.DISTILLED), WhisperEncoder(network, LAYER))
    aim, mean = (speech_mean(encoder, clean) for encoder in encoders)
    weights[LAST_BIAS] = weights[LAST_BIAS] + aim - mean
    stored |= {name: tensor.half() for name, tensor in weights.items() if f"{name}{quantised.CODES}" not in stored}
    origin = f"the first {LAYER} layers of the encoder of OpenAI's Whisper base, quantised: recipes/encoder"
    licence = "MIT, Copyright (c) 2022 OpenAI; quantised on recordings of VCC2016 (CC BY 4.0)"
    description = EncoderModel("whisper_blocks", asdict(config), LAYER, origin, licence)
    encoder_file.write(args.out, description, stored)
    digest = encoder_file.load_encoder(description, stored).digest
    print(json.dumps({"bytes": args.out.stat().st_size, "digest": digest}))


if __name__ == "__main__":
    main()
