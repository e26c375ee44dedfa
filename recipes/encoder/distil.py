#!/usr/bin/env python3
"""Distil one layer of Whisper's encoder into the small content encoder of vc/encoders/distilled.py.

`prepare` reads voices (a folder of recordings each) and writes, for each, its samples at HiFi-GAN's rate and the
teacher's vectors at the student's frames. `train` learns from those; speed is varied in `prepare` (the teacher hears it
too), all other variation is drawn anew in every step and only the student hears it.

    python distil.py prepare --teacher whisper_base_encoder.safetensors --voices voices --out prepared
    python distil.py train --data prepared --out trained.safetensors --steps 10000
    python distil.py export trained.safetensors --out distilled.safetensors
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import conv2d, cosine_similarity, gelu, layer_norm, linear, pad, smooth_l1_loss

from vc.encoders import encoder_file, published
from vc.encoders.distilled import CENTRE, SCALE, DistilledConfig, DistilledNetwork
from vc.features.mel import FLOOR, TINY, MelConfig, mel_filters

MEL = MelConfig()
SAMPLES = 2 * MEL.hop  # of a content frame
LAYER = 5  # of Whisper's encoder, counted from 1
TEACHER_RATE = 16000  # Hz
TEACHER_FRAMES = 50  # a second; frame j is centred at (j + 0.5) / 50 seconds
AUDIBLE = 40.0  # dB below the loudest frame of an utterance, down to which a frame counts as audible
WARPS = np.linspace(0.83, 1.2, 38)  # factors by which the student's frequencies are scaled


# ---- data


def prepare_voice(
    folder: Path, out: Path, teacher: Callable[[np.ndarray], np.ndarray], copies: int, minutes: float, seed: int
) -> float:
    """Write samples, teacher's vectors and lengths of one voice's recordings.

    Parameters
    ----------
    folder
        Holds recordings, at any depth.
    out
        Gets `samples.npy` (int16, `SAMPLES` a content frame), `content.npy` (float16, content frames x dimensions) and
        `lengths.npy` (content frames of each utterance), all utterances one after another.
    teacher
        Samples at 16 kHz to vectors at 50 Hz.
    copies
        How often each utterance is taken, each time with even chances at its own speed or at one of 0.85 to 1.18.
    minutes
        Of recordings at most, chosen at random.
    seed
        Of all choices.

    Returns
    -------
    Minutes of recordings taken, each counted once.
    """
    rng = np.random.default_rng(seed)
    samples, content, lengths, seconds = [], [], [], 0.0
    for recording, rate in utterances(folder, rng):
        if seconds > 60 * minutes:
            break
        seconds += len(recording) / rate
        for _ in range(copies):
            speed = 1.0 if rng.random() < 0.5 else rng.uniform(0.85, 1.18)
            heard = soxr.resample(recording, rate * speed, TEACHER_RATE).astype(np.float32)
            taken = soxr.resample(recording, rate * speed, MEL.sample_rate).astype(np.float32)
            vectors = at_content_frames(teacher(heard), len(taken) // SAMPLES)
            taken = taken[: len(vectors) * SAMPLES]
            samples.append(np.round(32767 * taken / max(1.0, np.abs(taken).max())).astype(np.int16))
            content.append(vectors.astype(np.float16))
            lengths.append(len(vectors))
    if lengths:
        out.mkdir(parents=True, exist_ok=True)
        np.save(out / "samples.npy", np.concatenate(samples))
        np.save(out / "content.npy", np.concatenate(content))
        np.save(out / "lengths.npy", np.array(lengths))  # last: train takes folders that have it
    return seconds / 60


def utterances(folder: Path, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, int]]:
    """Samples and rate of a folder's recordings in random order; short ones follow another up to 3 s and more."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac", ".ogg"))
    joined, rate = np.zeros(0, np.float32), 0
    for path in rng.permutation(np.array(paths, dtype=object)):
        recording, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
        recording = recording.mean(axis=1)
        if not 0.2 * own_rate <= len(recording) <= 20 * own_rate or np.abs(recording).max() < 0.01:
            continue
        gap = np.zeros(int(rng.uniform(0.05, 0.4) * own_rate), np.float32)
        joined = np.concatenate([joined, gap, recording]) if own_rate == rate and len(joined) else recording
        rate = own_rate
        if len(joined) >= 3 * rate:
            yield joined, rate
            joined = np.zeros(0, np.float32)
    if len(joined) >= rate:
        yield joined, rate


def at_content_frames(vectors: np.ndarray, frames: int) -> np.ndarray:
    """Teacher's vectors, interpolated linearly to the centres of the student's frames."""
    places = (np.arange(frames) + 0.5) * SAMPLES / MEL.sample_rate * TEACHER_FRAMES - 0.5
    places = places.clip(0, len(vectors) - 1)
    below = np.minimum(places.astype(int), len(vectors) - 2)
    part = (places - below)[:, None]
    return vectors[below] * (1 - part) + vectors[below + 1] * part


def audible(samples: np.ndarray) -> np.ndarray:
    """Of one utterance's content frames, which are no pause: `(frames * SAMPLES,)` to bool `(frames,)`."""
    power = np.square(samples.reshape(-1, SAMPLES).astype(np.float32)).mean(axis=1)
    return power > power.max() * 10 ** (-AUDIBLE / 10)


class Voice:
    """One voice's prepared recordings, on disk until drawn."""

    def __init__(self, folder: Path):
        self.name = folder.name
        self.samples = np.load(folder / "samples.npy", mmap_mode="r")
        self.content = np.load(folder / "content.npy", mmap_mode="r")
        self.lengths = np.load(folder / "lengths.npy")
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.audible = np.concatenate(
            [audible(self.samples[s * SAMPLES : (s + n) * SAMPLES]) for s, n in zip(self.starts, self.lengths)]
        )

    def draw(self, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Samples, vectors and weights of `frames` content frames of one utterance; short ones end in zeros."""
        utterance = rng.choice(len(self.lengths), p=self.lengths / self.lengths.sum())
        length = self.lengths[utterance]
        first = self.starts[utterance] + rng.integers(0, max(1, length - frames + 1))
        last = min(first + frames, self.starts[utterance] + length)
        samples = np.zeros(frames * SAMPLES, np.float32)
        samples[: (last - first) * SAMPLES] = self.samples[first * SAMPLES : last * SAMPLES] / 32768.0
        content = np.zeros((frames, self.content.shape[1]), np.float32)
        content[: last - first] = self.content[first:last]
        weights = np.zeros(frames, np.float32)
        weights[: last - first] = np.where(self.audible[first:last], 1.0, 0.3)
        return samples, content, weights


def target_statistics(voices: list[Voice]) -> tuple[Tensor, Tensor]:
    """Mean of audible frames, every voice counted alike, and the mean over dimensions of their deviation."""
    means = [np.mean(voice.content[voice.audible], axis=0, dtype=np.float64) for voice in voices]
    squares = [np.mean(np.square(v.content[v.audible], dtype=np.float32), axis=0, dtype=np.float64) for v in voices]
    mean = np.mean(means, axis=0)
    deviation = np.sqrt(np.mean(squares, axis=0) - mean**2).mean()
    return torch.from_numpy(mean).float(), torch.tensor([deviation]).float()


# ---- what the student hears


class Distortion:
    """Waveforms to log-mel as other voices, rooms, channels and noises would have made them."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.bins = np.linspace(0, MEL.sample_rate / 2, MEL.fft_size // 2 + 1)
        self.filters = torch.from_numpy(np.stack([scaled_filters(warp) for warp in WARPS])).float()
        self.window = torch.hann_window(MEL.fft_size)

    def __call__(self, samples: Tensor) -> Tensor:
        """`(batch, samples)` to log-mel `(batch, bands, frames)`."""
        rng, batch = self.rng, len(samples)
        power = samples.square().mean(dim=1, keepdim=True) + 1e-8
        heard = samples.clone()
        rooms = np.flatnonzero(rng.random(batch) < 0.2)
        if len(rooms):
            heard[rooms] = self.reverberated(samples[rooms])
        noisy = np.flatnonzero(rng.random(batch) < 0.35)
        for example in noisy:
            noise = self.noise(samples, example)
            ratio = 10 ** (-rng.uniform(5, 35) / 10)
            heard[example] += noise * (ratio * power[example] / (noise.square().mean() + 1e-12)).sqrt()
        heard *= torch.from_numpy(10 ** (rng.uniform(-12, 12, (batch, 1)) / 20)).float()
        padded = pad(heard[:, None], (MEL.margin, MEL.margin), mode="reflect")[:, 0]
        spectrum = torch.stft(
            padded, MEL.fft_size, MEL.hop, window=self.window, center=False, onesided=True, return_complex=True
        )
        magnitude = (spectrum.real.square() + spectrum.imag.square() + TINY).sqrt()
        warps = np.where(rng.random(batch) < 0.75, rng.integers(0, len(WARPS), batch), np.abs(WARPS - 1).argmin())
        channels = torch.from_numpy(np.stack([self.channel() for _ in range(batch)])).float()
        log_mel = ((self.filters[warps] * channels[:, None]) @ magnitude).clamp(min=FLOOR).log()
        raised = np.where(rng.random(batch) < 0.2, rng.uniform(4, 8, batch), 30.0)
        loudest = log_mel.amax(dim=(1, 2), keepdim=True)
        return log_mel.maximum(loudest - torch.from_numpy(raised).float()[:, None, None])

    def channel(self) -> np.ndarray:
        """Magnitude response at the STFT's bins: tilt, smooth equaliser, at times a telephone's band or a low-pass."""
        rng = self.rng
        octaves = np.log2(np.maximum(self.bins, 60) / 1000)
        decibels = rng.normal(0, 1.5) * octaves
        places = np.linspace(octaves[0], octaves[-1], 8)
        decibels = decibels + np.interp(octaves, places, rng.normal(0, rng.uniform(0, 4), 8))
        draw = rng.random()
        if draw < 0.06:  # telephone
            decibels = decibels - 24 * np.maximum(0, np.log2(300 / np.maximum(self.bins, 20)))
        if draw < 0.1:
            highest = rng.uniform(3300, 4000)
            decibels = decibels - np.clip((self.bins - highest) * 0.12, 0, 70)
        return 10 ** (decibels / 20)

    def noise(self, samples: Tensor, example: int) -> Tensor:
        """Noise of any level, as long as the samples: coloured, hum, or other examples' voices."""
        rng, length = self.rng, samples.shape[1]
        kind = rng.choice(["coloured", "coloured", "hum", "babble"])
        if kind == "babble":
            others = rng.integers(0, len(samples), rng.integers(2, 7))
            return sum((samples[o].roll(int(rng.integers(length))) for o in others if o != example), 0 * samples[0])
        if kind == "hum":
            base = rng.choice([50.0, 60.0])
            harmonics = np.arange(1, rng.integers(3, 30))
            levels = rng.random(len(harmonics)) / harmonics ** rng.uniform(0, 1)
            turns = torch.arange(length) / MEL.sample_rate * base
            hum = sum(
                float(level) * torch.sin(2 * np.pi * (float(h) * turns + rng.random()))
                for h, level in zip(harmonics, levels)
            )
            return hum + 0.02 * torch.randn(length)
        spectrum = torch.fft.rfft(torch.randn(length))
        slope = rng.uniform(0, 1.2)  # of magnitude: 0 white, 0.5 pink, 1 brown
        return torch.fft.irfft(spectrum * torch.arange(1, len(spectrum) + 1) ** -slope, length)

    def reverberated(self, samples: Tensor) -> Tensor:
        """Each with a room of its own: direct sound and noise that decays by 60 dB in 0.15 to 0.9 s."""
        rng, (batch, length) = self.rng, samples.shape
        decay = torch.from_numpy(rng.uniform(0.15, 0.9, (batch, 1))).float()
        times = torch.arange(16384) / MEL.sample_rate  # with 128 content frames, lengths that FFTs like
        room = torch.randn(batch, len(times)) * (-np.log(1000) * times / decay).exp()
        loudness = torch.from_numpy(10 ** (rng.uniform(-12, 3, (batch, 1)) / 20)).float()
        room *= loudness / room.square().sum(dim=1, keepdim=True).sqrt()
        room[:, 0] = 1.0
        size = length + len(times)
        return torch.fft.irfft(torch.fft.rfft(samples, size) * torch.fft.rfft(room, size), size)[:, :length]


def scaled_filters(warp: float) -> np.ndarray:
    """Mel filters that hear a spectrum as if all its frequencies were multiplied by `warp`."""
    filters = mel_filters(MEL)
    bins = np.arange(filters.shape[1])
    return np.stack([np.interp(bins * warp, bins, row, right=0.0) for row in filters])


# ---- training


def forward(network: DistilledNetwork, log_mel: Tensor) -> Tensor:
    """What `network(log_mel)` gives, as `(batch, frames, dims)`, at a third of the CPU time with its gradients.

    The layout `(batch, frames, channels)` makes matrix products of the pointwise layers, and `Depthwise` computes
    gradients by convolutions whose bfloat16 kernels are fast, other than those that PyTorch itself would choose.
    """
    config, ahead = network.config, 3 if network.config.lookahead < 0 else 0
    frames = ((log_mel - CENTRE) / SCALE).transpose(1, 2)
    edges = (6 - ahead, ahead + frames.shape[1] % 2)
    frames = torch.cat([frames[:, :1].expand(-1, edges[0], -1), frames, frames[:, -1:].expand(-1, edges[1], -1)], dim=1)

    def convolve(frames: Tensor, convolution: torch.nn.Conv1d) -> Tensor:
        (size,), (stride,) = convolution.kernel_size, convolution.stride
        last = frames.shape[1] - size + 1
        windows = torch.cat([frames[:, k : k + last : stride] for k in range(size)], dim=2)
        return linear(windows, convolution.weight.transpose(1, 2).flatten(1), convolution.bias)

    hidden = gelu(convolve(gelu(convolve(frames, network.enter)), network.halve)).float()
    for block in network.blocks:
        normed = layer_norm(hidden, (config.channels,), block.norm.weight, block.norm.bias)
        depthwise = block.depthwise
        moved = Depthwise.apply(normed, depthwise.weight, depthwise.bias, block.edges, *depthwise.dilation)
        widened = gelu(linear(moved, block.widen.weight[..., 0], block.widen.bias))
        hidden = hidden + linear(widened, block.narrow.weight[..., 0], block.narrow.bias)
    normed = layer_norm(hidden, (config.channels,), network.norm.weight, network.norm.bias)
    return linear(normed, network.leave.weight[..., 0], network.leave.bias)


class Depthwise(torch.autograd.Function):
    """Depthwise convolution over time of `(batch, frames, channels)`, computed in bfloat16."""

    @staticmethod
    def forward(context, frames: Tensor, weight: Tensor, bias: Tensor, edges: tuple[int, int], dilation: int) -> Tensor:
        padded = pad(frames.bfloat16(), (0, 0, *edges))
        context.save_for_backward(padded, weight)
        context.edges, context.dilation = edges, dilation
        return Depthwise.convolve(padded, weight, bias.bfloat16(), dilation)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (padded, weight), (before, after), step = context.saved_tensors, context.edges, context.dilation
        gradient, length = gradient.bfloat16(), gradient.shape[1]
        back = Depthwise.convolve(pad(gradient, (0, 0, after, before)), weight.flip(2), None, step)
        taps = [padded[:, k * step : k * step + length] * gradient for k in range(weight.shape[2])]
        weights = torch.stack([tap.sum((0, 1), dtype=torch.float32) for tap in taps], dim=1)
        return back.float(), weights[:, None], gradient.sum((0, 1), dtype=torch.float32), None, None

    @staticmethod
    def convolve(padded: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
        image = padded.transpose(1, 2)[:, :, None]  # channels last in memory
        moved = conv2d(image, weight.bfloat16()[:, :, None], bias, dilation=(1, dilation), groups=len(weight))
        return moved[:, :, 0].transpose(1, 2)


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal, as AdamW's steps are large (Liu et al., "Muon is scalable", 2025).

    Parameters may have further dimensions of length 1 or more after the first: they are taken as columns.
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                update = orthogonal(ahead) * 0.2 * max(ahead.shape) ** 0.5
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(update.view_as(parameter), alpha=group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the orthogonal matrix nearest to it: five steps of Jordan's quintic iteration, in bfloat16."""
    x = matrix.bfloat16() if matrix.shape[0] <= matrix.shape[1] else matrix.bfloat16().T
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x if matrix.shape[0] <= matrix.shape[1] else x.T).float()


def losses(content: Tensor, target: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Each a mean over frames by `weights`; content and target `(batch, frames, dims)`."""
    total = weights.sum()
    return {
        "cosine": ((1 - cosine_similarity(content, target, dim=2)) * weights).sum() / total,
        "distance": (smooth_l1_loss(content, target, reduction="none").mean(dim=2) * weights).sum() / total,
    }


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    folders = [path.parent for path in sorted(args.data.glob("*/lengths.npy"))]
    voices = [Voice(folder) for folder in folders if folder.name not in args.without]
    chances = np.array([len(voice.content) for voice in voices]) ** 0.5
    chances /= chances.sum()
    minutes = sum(len(voice.content) for voice in voices) * SAMPLES / MEL.sample_rate / 60
    print(f"{len(voices)} voices, {minutes:.0f} minutes", flush=True)
    config, initial = replace(DistilledConfig(), lookahead=args.lookahead), None
    if args.dilations:
        config = replace(config, dilations=args.dilations)
    network, averaged = DistilledNetwork(config), DistilledNetwork(config)
    if args.begin:
        initial = load(args.begin)
        continue_from(network, initial[0])
    averaged.load_state_dict(network.state_dict())
    matrices = [p for n, p in network.named_parameters() if p.dim() > 1 and "depthwise" not in n]
    others = [p for n, p in network.named_parameters() if p.dim() == 1 or "depthwise" in n]
    optimisers = [Muon(matrices, args.rate), torch.optim.AdamW(others, args.rate, (0.9, 0.98), weight_decay=0.0)]
    distortion, step, spent = Distortion(args.seed + 1), 0, 0.0
    state_path = args.out.with_suffix(".state")
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        for optimiser, saved in zip(optimisers, state["optimisers"]):
            optimiser.load_state_dict(saved)
        step, spent, mean, deviation = state["step"], state["spent"], state["mean"], state["deviation"]
        rng, distortion = np.random.default_rng(args.seed + step), Distortion(args.seed + step + 1)
    else:
        mean, deviation = initial[1:] if initial else target_statistics(voices)
    begun, sums, count = time.monotonic() - spent, {}, 0
    progress = max(step / args.steps, spent / 60 / args.minutes)
    while progress < 1.0:
        spent = time.monotonic() - begun
        progress = max((step + 1) / args.steps, spent / 60 / args.minutes)
        rate = args.rate * min(1.0, (step + 1) / 200) * max(0.01, 1 - progress)
        for group in [group for optimiser in optimisers for group in optimiser.param_groups]:
            group["lr"] = rate
        drawn = [voices[v].draw(args.frames, rng) for v in rng.choice(len(voices), args.batch, p=chances)]
        samples, target, weights = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*drawn))
        target = (target - mean) / deviation
        with torch.no_grad():
            log_mel = distortion(samples)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            content = forward(network, log_mel)
        terms = losses(content.float(), target, weights)
        loss = terms["cosine"] + 0.2 * terms["distance"]
        network.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        step += 1
        keep = min(args.average, step / (step + 10))
        with torch.no_grad():
            for old, new in zip(averaged.parameters(), network.parameters()):
                old.lerp_(new, 1 - keep)
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + term.item()
        count += 1
        if step % 100 == 0:
            figures = " ".join(f"{name} {value / count:.4f}" for name, value in sums.items())
            print(f"step {step} {figures} rate {rate:.5f} seconds {spent:.0f}", flush=True)
            sums, count = {}, 0
        if step % 100 == 0 or progress >= 1.0:
            save(args.out, averaged, mean, deviation)
            state = {"network": network.state_dict(), "averaged": averaged.state_dict()}
            state |= {"optimisers": [optimiser.state_dict() for optimiser in optimisers], "mean": mean}
            state |= {"deviation": deviation, "step": step, "spent": spent}
            torch.save(state, f"{state_path}.part")
            Path(f"{state_path}.part").replace(state_path)


def continue_from(network: DistilledNetwork, begun: DistilledNetwork) -> None:
    """Take a network's weights; blocks that it lacks pass their input on unchanged at first."""
    missing, unexpected = network.load_state_dict(begun.state_dict(), strict=False)
    if unexpected or any(not name.startswith("blocks.") for name in missing):
        raise SystemExit(f"--begin: not of the same network: {', '.join([*unexpected, *missing][:3])}")
    for block in network.blocks[len(begun.blocks) :]:
        torch.nn.init.zeros_(block.narrow.weight)
        torch.nn.init.zeros_(block.narrow.bias)


def save(path: Path, network: DistilledNetwork, mean: Tensor, deviation: Tensor) -> None:
    """Weights in float32, with the statistics that the targets were standardised by; written aside, then renamed."""
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    tensors |= {"target_mean": mean, "target_scale": deviation}
    save_file(tensors, f"{path}.part", metadata={"config": json.dumps(asdict(network.config))})
    Path(f"{path}.part").replace(path)


def load(path: Path) -> tuple[DistilledNetwork, Tensor, Tensor]:
    """Network, mean and deviation of its targets, as `save` wrote them."""
    with safe_open(path, "pt") as file:
        config = DistilledConfig(**json.loads(file.metadata()["config"]))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    mean, deviation = tensors.pop("target_mean"), tensors.pop("target_scale")
    network = DistilledNetwork(config)
    network.load_state_dict(tensors)
    return network.eval(), mean, deviation


def load_teacher(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Samples at 16 kHz to vectors at 50 Hz; `path` is what `vc-encoder import` takes, of Whisper base."""
    model, weights = published.read(path)
    return encoder_file.load_encoder(published.with_layer(model, LAYER), weights).encode


def export(args: argparse.Namespace) -> None:
    """The encoder's file for the toolkit: weights in float16."""
    network, _, _ = load(args.encoder)
    weights = {name: tensor.half() for name, tensor in network.state_dict().items()}
    origin = f"layer {LAYER} of OpenAI's Whisper base, distilled: recipes/encoder"
    licence = (
        "MIT. Learnt from the encoder of Whisper base (MIT, Copyright (c) 2022 OpenAI) and from recordings under CC BY,"
        " CC BY-SA, GPL, GFDL and other free licences, which recipes/encoder/RESULTS.md names."
    )
    encoder_file.write(
        args.out, encoder_file.EncoderModel("distilled", asdict(network.config), 1, origin, licence), weights
    )
    print(f"{sum(tensor.numel() for tensor in weights.values())} parameters -> {args.out}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("prepare")
    sub.add_argument("--teacher", type=Path, required=True)
    sub.add_argument("--voices", type=Path, required=True, help="a folder of recordings for each voice")
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--copies", type=int, default=1)
    sub.add_argument("--minutes", type=float, default=15.0, help="of each voice at most")
    sub = commands.add_parser("train")
    sub.add_argument("--data", type=Path, required=True)
    sub.add_argument("--out", type=Path, required=True)
    sub.add_argument("--begin", type=Path, help="what train wrote: weights to begin with, statistics to keep")
    sub.add_argument("--dilations", type=int, nargs="+", help="of the blocks' convolutions, one a block")
    sub.add_argument("--without", nargs="*", default=[], help="voices to leave out")
    sub.add_argument("--steps", type=int, default=10000, help="after which the rate is zero")
    sub.add_argument("--minutes", type=float, default=float("inf"), help="or after which it is, whichever is first")
    sub.add_argument("--batch", type=int, default=24)
    sub.add_argument("--frames", type=int, default=128, help="content frames of an example")
    sub.add_argument("--rate", type=float, default=2e-3)
    sub.add_argument("--average", type=float, default=0.998, help="decay of the mean of weights")
    sub.add_argument("--lookahead", type=int, default=-1)
    sub = commands.add_parser("export")
    sub.add_argument("encoder", type=Path, help="what train wrote")
    sub.add_argument("--out", type=Path, required=True)
    for sub in commands.choices.values():
        sub.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.command != "prepare":
        (train if args.command == "train" else export)(args)
        return
    teacher = load_teacher(args.teacher)
    for folder in sorted(p for p in args.voices.iterdir() if p.is_dir()):
        if not (args.out / folder.name / "lengths.npy").exists():
            taken = prepare_voice(folder, args.out / folder.name, teacher, args.copies, args.minutes, args.seed)
            print(f"{folder.name}: {taken:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
