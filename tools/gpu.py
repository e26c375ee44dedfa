#!/usr/bin/env python3
"""Check in minutes what training and conversion do on a GPU: a JSON line for each check, and a table.

    tools/gpu.py --features dump/train --held-out dump/dev --source SF1 --target TM3 --output gpu

A check that fails does not stop the others. With --device cpu it is a rehearsal: what needs CUDA is skipped
by name. In the output folder each check replaces the files of an earlier call; only a training whose number of steps
stands in --settings resumes. Beside torch it needs numpy, PyYAML, safetensors and tqdm, and where the toolkit is not
installed PYTHONPATH=. in a checkout; --checks names some of the checks, and --small takes networks of a sixteenth of
the width.
"""

import argparse
import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date
from itertools import chain, islice, product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from textbook import Textbook, commit, matrix_rate, step_flops, wait
from torch import Tensor

from vc import devices, model_file
from vc.config import require
from vc.convert.converter import Converter
from vc.errors import VCError
from vc.features.store import read_features
from vc.models import MODELS, build_network
from vc.train import checkpoint
from vc.train.alignment import SpeakerFrames
from vc.train.checkpoint import State
from vc.train.converter import FITTED_STEP, ConverterRun, make_engine
from vc.train.directory import locked_directory
from vc.train.engine import WARM_UP, Engine
from vc.train.linear import fit_nearest
from vc.train.plan import Plan, Request
from vc.train.processes import SINGLE_PROCESS
from vc.train.run import Stopped, eager_mode
from vc.train.sampling import Batch

CPU = torch.device("cpu")
SAME_LOSS, SAME_DIRECTION = 1e-4, 0.9999  # float32 on two devices: relative difference, cosine of gradients
PRECISE = {"tf32": 0.999, "bf16": 0.98}  # least cosine of a precision's gradients to float32's
METHODS = ("cyclegan_vc2", "cyclegan_vc3", "mask_cyclegan_vc", "unit", "vqvae", "stargan_vc")
TURN = 0.3  # seconds of steps that are timed together on a GPU; on a CPU one step
QUARTER, SIXTEENTH = 4, 16  # of the networks' width
WIDTHS = ("channels", "residual_channels")
LAYOUTS = {"NCHW": False, "channels_last": True}
MOST = 20  # utterances of each speaker
PART = 15 << 20  # bytes of a model's parts, for those who carry them in pieces
LATE = 1_000_000  # a step of no identity mapping
TIME_LIMIT = 300  # seconds of a process that a check starts, which may hang in NCCL
GRACE = 60  # seconds that it has to end after SIGTERM: torchrun kills the processes that it has started after 30
FILES = {"speed": ("speed.jsonl",), "training": ("run", "frames-*.npz", "weights-*.npz")}  # of a check, in the output
Figures = dict[str, Any]


class Skipped(Exception):
    """The check cannot be tried here, and why."""


@dataclass(frozen=True)
class Bench:
    """What all checks share: features, device, sizes."""

    features: Path
    held_out: Path | None
    speakers: tuple[str, str]
    output: Path
    device: torch.device
    small: bool
    seconds: float  # for the training at the end
    settings: dict[str, Any]  # of that training, beside the fastest ones

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def precisions(self) -> list[str]:
        """The reduced precisions that this GPU has; bf16, the quickest, is the last."""
        return ["tf32", "bf16"] if devices.computes_bf16(self.device) else ["tf32"]

    def need_gpu(self) -> None:
        if not self.on_gpu:
            raise Skipped("needs CUDA")

    def request(self, method: str, output: Path | None = None, small: bool = True, **sections: Any) -> Request:
        """A request for a run of a method; `small` ones have a quarter of the width."""
        share = SIXTEENTH if self.small else QUARTER if small else 1
        defaults = MODELS[method][0]()
        narrow = {name: getattr(defaults, name) // share for name in WIDTHS if hasattr(defaults, name)}
        sections = {"network": narrow, **sections, "method": method}
        output = output or self.output / "none"
        return Request(self.features, self.speakers, output=output, sections=sections, held_out=self.held_out)

    def engine(self, method: str, device: torch.device | None = None, small: bool = True, **sections: Any) -> Engine:
        """The engine of such a run, from its seed."""
        plan = Plan.from_request(self.request(method, small=small, **sections))
        device = device or self.device
        devices.set_precision(plan.experiment.compute.precision, device)
        return make_engine(plan, device, SINGLE_PROCESS)


# A GPU computes what a CPU does


def same_step(bench: Bench) -> Figures:
    """The same weights and batches on CPU and GPU in float32: losses and gradients of five steps."""
    figures, same = {}, True
    for method in METHODS:
        exact = {"precision": "float32"}
        here, there = (bench.engine(method, device, compute=exact) for device in (CPU, bench.device))
        differences, cosines = [], []
        for number in range(5 if bench.on_gpu else 1):
            for name, module in there.modules.items():
                module.load_state_dict(here.modules[name].state_dict())
            draws: list[Tensor] = []
            batch = here.sampler.draw()
            losses = _step(here, number, _recording_draws(batch, draws))
            others = _step(there, number, _on_device(batch, bench.device, iter(draws)))
            for name, loss in losses.items():
                differences.append(abs(float(loss) - float(others[name])) / max(abs(float(loss)), 1e-3))
            cosines += [_cosine(one, other) for one, other in zip(_gradients(here), _gradients(there))]
        worst, least = _largest(differences), _smallest(cosines)
        figures[method] = {"loss": worst, "gradients": least}
        same &= worst <= SAME_LOSS and least >= SAME_DIRECTION
    return {"passed": same, **figures}


def _step(engine: Engine, number: int, batch: Any) -> dict[str, Tensor]:
    engine.training.network.train()
    return engine.training.step(batch, engine.training.schedule(number, 1.0))


def _recording_draws(batch: Any, draws: list[Tensor]) -> Any:
    """The batch, of which `draws` keeps what its step draws."""
    if getattr(batch, "random_draws", None) is None:
        return batch

    def random_draws(count: int) -> Tensor:
        draws.append(batch.random_draws(count))
        return draws[-1]

    return replace(batch, random_draws=random_draws)


def _on_device(batch: Any, device: torch.device, draws: Iterator[Tensor]) -> Any:
    """The batch on another device, with the same random draws."""
    moved = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            moved[field.name] = value.to(device)
        elif is_dataclass(value):
            moved[field.name] = _on_device(value, device, draws)
        elif callable(value):
            moved[field.name] = lambda _: next(draws).to(device)
    return replace(batch, **moved)


def _gradients(engine: Engine) -> list[Tensor]:
    """The last step's gradients of each optimiser, end to end, on the host in float64."""
    return [
        torch.cat([parameter.grad.flatten() for parameter in optimiser.parameters]).double().cpu()
        for optimiser in engine.training.optimisers.values()
    ]


def _cosine(one: Tensor, other: Tensor) -> float:
    """Cosine of two vectors."""
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


def _largest(values: Iterable[float]) -> float:
    """The largest of some figures; NaN if one is, which `max` may leave out."""
    return float(np.max([*values]))


def _smallest(values: Iterable[float]) -> float:
    return float(np.min([*values]))


# Recorded steps and resumption


def cuda_graphs(bench: Bench) -> Figures:
    """Steps with a moving average, the identity mapping's end, a bad batch and a rollback, as CUDA graphs."""
    bench.need_gpu()
    figures, passed = {}, True
    for precision, small in product(bench.precisions, (True, False)):
        with _deterministic(), tempfile.TemporaryDirectory() as folder:
            one, other = (
                _eventful(bench, {"record": record, "precision": precision}, small, Path(folder) / str(record))
                for record in (False, True)
            )
        same = {name: _equal(one[name], other[name]) for name in one}
        weights = {name: _farthest(one[name], other[name]) for name in ("network", "average", "discriminators")}
        row = {"equal": same, "farthest": weights, "refused": other["refused"]}
        share = SIXTEENTH if bench.small else QUARTER if small else 1
        figures[f"{precision}, 1/{share} of the width, batch {1 if small else 8}"] = row
        passed &= all(same.values()) and other["refused"] == [1, 1]
    return {"passed": passed, **figures}


def _eventful(bench: Bench, compute: dict[str, Any], small: bool, folder: Path) -> dict[str, Any]:
    training = {"average": 0.99, "steps": 1000, "batch": 1 if small else 8}
    sections = {"training": training, "objective": {"identity_steps": 8}, "compute": compute}
    engine = bench.engine("cyclegan_vc2", small=small, **sections)
    spoil, draw = torch.ones((), device=bench.device), engine.sampler.draw
    engine.sampler.draw = lambda: _spoilt(draw(), spoil)
    for step in range(20):
        if step == 12:
            checkpoint.save(folder, engine, State(step=step), keep=2)
        spoil.fill_(float("nan") if step == 15 else 1.0)
        engine.step(step)
    refused, row = engine.refused.read()
    state = checkpoint.resume(folder, engine)
    for step in range(state.step, 22):
        engine.step(step, 0.5)
    weights = {name: module.state_dict() for name, module in engine.modules.items()}
    random = {"random": engine.sampler.generator.get_state()}
    return {**weights, **random, "refused": [refused, row], "losses": engine.meter.means()}


def _spoilt(batch: Batch, factor: Tensor) -> Batch:
    return replace(batch, source=batch.source * factor)


def resumption(bench: Bench) -> Figures:
    """Twenty steps at once, and ten and ten with a checkpoint between; then on the CPU, and back."""
    figures, half = {}, 10 if bench.on_gpu else 3
    for record in (False, True) if bench.on_gpu else (False,):
        sections = {"training": {"average": 0.99}, "compute": {"record": record}}
        with _deterministic(), tempfile.TemporaryDirectory() as folder:
            whole = bench.engine("mask_cyclegan_vc", **sections)
            _steps(whole, 0, 2 * half)
            first = bench.engine("mask_cyclegan_vc", **sections)
            _steps(first, 0, half)
            checkpoint.save(Path(folder), first, State(step=half), keep=2)
            second = bench.engine("mask_cyclegan_vc", **sections)
            state = checkpoint.resume(Path(folder), second)
            _steps(second, state.step, 2 * half)
            checkpoint.save(Path(folder), second, State(step=2 * half), keep=2)
            elsewhere = bench.engine("mask_cyclegan_vc", CPU, **sections)
            _steps(elsewhere, checkpoint.resume(Path(folder), elsewhere).step, 2 * half + 2)
            checkpoint.save(Path(folder), elsewhere, State(step=2 * half + 2), keep=2)
            back = bench.engine("mask_cyclegan_vc", **sections)
            _steps(back, checkpoint.resume(Path(folder), back).step, 2 * half + 4)
            damaged = list(Path(folder).glob("*.corrupt"))
        weights = [[module.state_dict() for module in engine.modules.values()] for engine in (whole, second)]
        none_refused = [engine.refused.read()[0] == 0 for engine in (whole, second, elsewhere, back)]
        figures["recorded" if record else "eager"] = {
            "equal": all(map(_equal, *weights)) and whole.meter.means() == second.meter.means(),
            "elsewhere_and_back": not damaged,
            "finite": all(none_refused),
        }
    return {"passed": all(all(each.values()) for each in figures.values()), **figures}


def _steps(engine: Engine, first: int, end: int) -> None:
    for step in range(first, end):
        engine.step(step)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return one == other


def _farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return _largest(float((one[key].double() - other[key].double()).abs().max()) for key in one)


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """cuDNN's sums in one order, so that equal can mean equal to the last bit."""
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = False


# Precisions and compilation


def precisions(bench: Bench) -> Figures:
    """Gradients of the first step in each precision and layout, against float32's."""
    variants = {"tf32": {}, "bf16": {}, "bf16 channels_last": {"channels_last": True}}
    exact, figures, passed = _first_gradients(bench, {"precision": "float32"}), {}, True
    for variant, compute in variants.items():
        precision = variant.partition(" ")[0]
        if precision == "bf16" and not devices.computes_bf16(bench.device):
            continue
        gradients = _first_gradients(bench, {**compute, "precision": precision})
        figures[variant] = [_cosine(one, other) for one, other in zip(exact, gradients)]
        passed &= _smallest(figures[variant]) >= PRECISE[precision]
    return {"passed": passed, "cosines of generators and discriminators": figures}


def _first_gradients(bench: Bench, compute: dict[str, Any], small: bool = False) -> list[Tensor]:
    engine = bench.engine("cyclegan_vc2", small=small, compute=compute)
    engine.step(0)
    return _gradients(engine)


def compilation(bench: Bench) -> Figures:
    """torch.compile by itself and recorded: gradients, compilations, and what conversions between add to them."""
    bench.need_gpu()
    from torch._dynamo.utils import counters

    bands = read_features(bench.features).config.bands
    figures, plain = {}, _first_gradients(bench, {"precision": "float32"}, small=True)
    for record in (False, True):
        counters.clear()
        start = time.perf_counter()
        compute = {"precision": "float32", "compile": True, "record": record}
        engine = bench.engine("cyclegan_vc2", objective={"identity_steps": 4}, compute=compute)
        engine.step(0)
        cosines = [_cosine(one, other) for one, other in zip(plain, _gradients(engine))]
        _steps(engine, 1, 10)
        graphs, seconds = counters["stats"]["unique_graphs"], time.perf_counter() - start
        with torch.compiler.set_stance("force_eager"):
            for length in (100, 150, 200):
                frames = torch.randn(1, bands, length, device=bench.device)
                engine.training.network.convert(frames, *bench.speakers)
        _steps(engine, 10, 12)
        figures["recorded" if record else "eager"] = {
            "cosines": cosines,
            "graphs": graphs,
            "graphs after conversions": counters["stats"]["unique_graphs"],
            "seconds": seconds,
        }
    passed = all(_smallest(each["cosines"]) >= SAME_DIRECTION for each in figures.values())
    passed &= all(each["graphs"] == each["graphs after conversions"] for each in figures.values())
    return {"passed": passed, **figures}


# Several processes


def processes(bench: Bench) -> Figures:
    """vc-train under torchrun with one process, over NCCL on a GPU, against vc-train: the losses of five steps."""
    with tempfile.TemporaryDirectory() as folder:
        losses, torchrun = [], ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1")
        for name, runner in {"alone": (), "torchrun": torchrun}.items():
            output = Path(folder) / name
            settings = ("training.steps=5", "training.log_every=1", "network.channels=8")
            words = ["--method", "cyclegan_vc2", "--features", bench.features, "--output", output]
            words += ["--source", bench.speakers[0], "--target", bench.speakers[1], "--device", bench.device.type]
            words += [word for setting in settings for word in ("--set", setting)]
            _run("train", words, Path(folder), runner=runner)
            rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
            losses.append([row["losses"] for row in rows if "losses" in row])
    pairs = [(one[name], other[name]) for one, other in zip(*losses) for name in one]
    farthest = _largest(abs(one - other) / max(abs(one), 1e-3) for one, other in pairs)
    return {"passed": len(pairs) > 0 and farthest < 1e-2, "losses compared": len(pairs), "farthest": farthest}


def _run(command: str, words: Sequence[Any], folder: Path, *, runner: Sequence[str] = ()) -> None:
    """Run a command of the toolkit, which need not be installed; RuntimeError if it fails or takes too long."""
    script = folder / f"{command}.py"
    script.write_text(f"from vc.cli.{command} import main\n\nraise SystemExit(main())\n")
    line = [*map(str, [sys.executable, *runner, script, *words])]
    root = Path(__file__).parents[1]
    paths = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths}
    with tempfile.TemporaryFile("w+", errors="replace") as errors:  # a pipe is open until the last process has ended
        with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=errors, env=environment) as process:
            try:
                status = process.wait(TIME_LIMIT)
                failure = f"exit status {status}" if status else ""
            except subprocess.TimeoutExpired:
                failure = f"stopped, because it was not done after {TIME_LIMIT} s"
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)
                process.kill()
        if failure:
            errors.seek(0)
            name = f"vc-{command} under torchrun" if runner else f"vc-{command}"
            raise RuntimeError(f"{name}: {failure}: {errors.read().strip()[-450:]}")


# Conversion


def conversion(bench: Bench) -> Figures:
    """`nearest` fitted, and frames converted by it and by CycleGAN-VC2, on both devices: dB between them."""
    features = read_features(bench.features)
    frames = features.frames(bench.speakers[0])[0]
    fitted = [_nearest(bench, device) for device in (CPU, bench.device)]
    weights = [
        torch.cat([weight.flatten().cpu() for weight in converter.network.state_dict().values()])
        for converter in fitted
    ]
    distance = _decibels(*(converter.convert_frames(frames, *bench.speakers) for converter in fitted))
    figures = {"nearest": {"weights": _cosine(*weights), "dB": distance}}
    plan = Plan.from_request(bench.request("cyclegan_vc2", small=False))
    torch.manual_seed(0)
    untrained = build_network("cyclegan_vc2", plan.experiment.network, plan.features.config, bench.speakers)
    model = plan.experiment.model(plan.features, 0, {})
    state = {name: weight.clone() for name, weight in untrained.state_dict().items()}
    for precision in ("float32", "tf32", "bf16"):
        devices.set_precision("float32", CPU)
        untrained.load_state_dict(state)
        here = Converter(model, untrained, CPU).convert_frames(frames, *bench.speakers)
        if precision == "bf16" and not devices.computes_bf16(bench.device):
            continue
        devices.set_precision(precision, bench.device)
        there = Converter(model, untrained, bench.device, precision)
        there.convert_frames(frames, *bench.speakers)
        wait(bench.device)
        start = time.perf_counter()
        converted = there.convert_frames(frames, *bench.speakers)
        figures[f"cyclegan_vc2 {precision}"] = {
            "dB": _decibels(here, converted),
            "frames a second": len(frames) / (time.perf_counter() - start),
        }
    passed = distance < 0.01 and figures["cyclegan_vc2 float32"]["dB"] < 0.01
    return {"passed": passed, **figures}


def _nearest(bench: Bench, device: torch.device) -> Converter:
    fewer = {"frames": 2000, "passes": 1} if bench.small else {}
    plan = Plan.from_request(bench.request("nearest", objective=fewer))
    experiment, features = plan.experiment, plan.features
    devices.set_precision("float32", device)
    fitted = build_network("nearest", experiment.network, features.config, experiment.speakers).to(device)
    frames = {name: SpeakerFrames.read(features, name, device) for name in experiment.speakers}
    fit_nearest(fitted, experiment.objective, frames)
    return Converter(experiment.model(features, FITTED_STEP, {}), fitted, device)


def _decibels(one: np.ndarray, other: np.ndarray) -> float:
    """Mean mel-cepstral distance of frames in the same places."""
    squares = np.square(one[:, 1:].astype(float) - other[:, 1:]).sum(1)
    return float(np.mean(10 / np.log(10) * np.sqrt(2 * squares)))


def commands(bench: Bench) -> Figures:
    """vc-convert of a recording on both devices, by `nearest` and WORLD and by a decoder: dB between spectra."""
    try:
        import pyworld  # noqa: F401
        import soundfile
        import soxr  # noqa: F401
    except ImportError as error:
        raise Skipped(f"needs {error.name}") from error
    recording = sorted((Path(__file__).parents[1] / "egs/mini/corpus/eval/slt").glob("*.flac"))[0]
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        fitted = _nearest(bench, bench.device)
        model = Path(folder) / model_file.NAME
        model_file.write(model, fitted.model, fitted.network.state_dict())
        models = {
            "nearest": ["--model", model],
            "decoder": ["--model", "six_voices", "--to", "TM1", "--vocoder", "world"],
        }
        for name, words in models.items():
            outputs = []
            for device in ("cpu", bench.device.type):
                path = Path(folder) / f"{name}-{device}.wav"
                options = ["--output", path, "--device", device, "--precision", "float32"]
                _run("convert", [*words, recording, *options], Path(folder))
                outputs.append(soundfile.read(path)[0])
            figures[name] = _spectral_decibels(*outputs)
    return {"passed": _largest(figures.values()) < 1.0, "dB": figures}


def _spectral_decibels(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance of log magnitudes where the first is within 40 dB of its loudest."""
    window, powers = torch.hann_window(512), []
    for samples in (one, other):
        spectrum = torch.stft(torch.from_numpy(samples).float(), 512, 128, window=window, return_complex=True)
        powers.append(20 * spectrum.abs().clamp(min=1e-7).log10())
    loud = powers[0] > powers[0].max() - 40
    return float((powers[0] - powers[1])[loud].abs().mean())


# Speed


def speed(bench: Bench) -> Figures:
    """Steps a second by layout, precision and recording, and of the textbook step, row by row in speed.jsonl."""
    batches, precisions = ((1, 8), bench.precisions) if bench.on_gpu else ((1,), ["float32"])
    bands = read_features(bench.features).config.bands
    config = Plan.from_request(bench.request("cyclegan_vc2", small=False)).experiment.network
    rates = {precision: matrix_rate(bench.device, precision) for precision in precisions}
    rows = []
    with (bench.output / "speed.jsonl").open("w", buffering=1) as file:
        for row in _speeds(bench, batches, precisions, config, bands):
            if not row.get("textbook"):
                flops = step_flops(config, row["batch"], 0 if row["identity_mapping"] else LATE, bands)
                row["tflops"] = flops * row["steps_per_second"] / 1e12
                row["share_of_matrix_rate"] = row["tflops"] * 1e12 / rates[row["precision"]]
            rows.append(row)
            file.write(_json(row) + "\n")
    passed = not any(row.get("steps_refused") for row in rows)
    return {"passed": passed, "matrix_tflops": {key: rate / 1e12 for key, rate in rates.items()}, "rows": rows}


def _speeds(
    bench: Bench, batches: tuple[int, ...], precisions: list[str], config: Any, bands: int
) -> Iterator[Figures]:
    for batch, layout in product(batches, LAYOUTS):
        yield from _our_speeds(bench, batch, layout, precisions)
    for batch, precision in product(batches, precisions):
        yield _textbook_speed(bench, batch, precision, config, bands)
    for batch in batches if bench.on_gpu else ():
        yield _compiled_speed(bench, batch, precisions[-1])


def _our_speeds(bench: Bench, batch: int, layout: str, precisions: list[str]) -> Iterator[Figures]:
    compute = {"channels_last": LAYOUTS[layout]}
    engine = bench.engine("cyclegan_vc2", small=False, training={"batch": batch}, compute=compute)
    steps = product(precisions, (True, False) if bench.on_gpu else (False,), (0, LATE))
    for precision, record, step in steps:
        row = {"batch": batch, "layout": layout, "precision": precision, "compile": False, "record": record}
        _set(engine, precision, record, bench.device)
        timed = _timed(lambda: engine.step(step), bench.device)  # noqa: B023
        yield {**row, "identity_mapping": step == 0, **timed, **_refusals(engine)}


def _compiled_speed(bench: Bench, batch: int, precision: str) -> Figures:
    row = {"batch": batch, "layout": "channels_last", "precision": precision, "compile": True, "record": True}
    compute = {name: row[name] for name in ("precision", "compile", "record")} | {"channels_last": True}
    engine = bench.engine("cyclegan_vc2", small=False, training={"batch": batch}, compute=compute)
    timed = _timed(lambda: engine.step(LATE), bench.device)
    return {**row, "identity_mapping": False, **timed, **_refusals(engine)}


def _refusals(engine: Engine) -> Figures:
    """Steps that were refused since the engine was set, warm-up included: fast and wrong does not count."""
    return {"steps_refused": engine.refused.read()[0]}


def _textbook_speed(bench: Bench, batch: int, precision: str, config: Any, bands: int) -> Figures:
    devices.set_precision(precision, bench.device)
    textbook = Textbook(config, bench.device, precision=precision, rows=bands)
    frames = Batch(*(torch.randn(batch, bands, 128, device=bench.device) for _ in range(2)))
    row = {"textbook": True, "batch": batch, "layout": "NCHW", "precision": precision, "identity_mapping": True}
    return {**row, **_timed(lambda: textbook.step(frames), bench.device)}


def _set(engine: Engine, precision: str, record: bool, device: torch.device) -> None:
    """Set how an engine computes its next steps."""
    devices.set_precision(precision, device)
    for optimiser in engine.training.optimisers.values():
        optimiser.precision = precision
    engine.record = record
    engine.reset()


def _timed(step: Callable[[], Any], device: torch.device) -> Figures:
    """Of three turns the median, after some steps to warm up; a turn takes some tenths of a second."""
    for _ in range(WARM_UP + 3 if device.type == "cuda" else 1):
        step()
    wait(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    count, taken = 1, []
    for turn in range(4 if device.type == "cuda" else 2):
        start = time.perf_counter()
        for _ in range(count):
            step()
        wait(device)
        taken.append((time.perf_counter() - start) / count)
        if device.type == "cuda" and turn == 0:
            count = min(50, max(1, round(TURN / taken[0])))
    memory = {"peak_gb": torch.cuda.max_memory_allocated() / 1e9} if device.type == "cuda" else {}
    return {"steps_per_second": 1 / median(taken[1:]), **memory}


def saving(bench: Bench) -> Figures:
    """How long a step and a checkpoint of the full size take."""
    engine = bench.engine("cyclegan_vc2", small=False)
    engine.step(0)
    wait(bench.device)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        checkpoint.save(Path(folder), engine, State(step=1), keep=2)
        seconds = time.perf_counter() - start
        megabytes = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
    return {"passed": True, "seconds": seconds, "megabytes": megabytes}


# The paper at its full size


def training(bench: Bench) -> Figures:
    """CycleGAN-VC2 at full size for --seconds: converted frames on the way, the generator to the target at the end."""
    compute = {"precision": bench.precisions[-1], "channels_last": False, "record": True} if bench.on_gpu else {}
    sections: dict[str, Any] = {"compute": compute, **bench.settings}
    sections.setdefault("training", {})
    rate = _rate(bench, sections)
    steps = sections["training"].get("steps") or max(3, int(0.9 * bench.seconds * rate))
    marks = [steps * part // 40 for part in ((1, 2, 4, 10, 20, 40) if bench.on_gpu else (40,))]
    sections["training"] = {**sections["training"], "steps": steps, "checkpoint_every": max(1, steps // 2)}
    sections["training"]["log_every"] = max(1, steps // 100)
    sections["objective"] = {"identity_steps": steps // 20, "decay_from": steps // 2, **sections.get("objective", {})}
    request = bench.request("cyclegan_vc2", bench.output / "run", small=False, **sections)
    plan = Plan.from_request(request)
    devices.set_precision(plan.experiment.compute.precision, bench.device)
    start = time.perf_counter()
    with locked_directory(request.output, SINGLE_PROCESS):
        run = Milestones(request, plan, bench.device, SINGLE_PROCESS)
        run.marks, run.frames, run.held_out_scores = marks, read_features(bench.held_out or bench.features), {}
        with contextlib.suppress(Stopped):  # by a signal: what it has reached is written all the same
            run.train()
    taken = time.perf_counter() - start
    _write_parts(run.engine.training.to_target.state_dict(), bench.output)
    scores = {str(step): each for step, each in run.held_out_scores.items()}
    return {"passed": run.state.step == steps, "steps": steps, "seconds": taken, "rate": rate, "scores": scores}


def _rate(bench: Bench, sections: dict[str, Any]) -> float:
    """Steps a second of the run, late in it."""
    engine = bench.engine("cyclegan_vc2", small=False, **sections)
    return _timed(lambda: engine.step(LATE), bench.device)["steps_per_second"]


class Milestones(ConverterRun):
    """A run that also writes converted frames at some steps, of the held-out set if there is one."""

    marks: list[int]
    held_out_scores: dict[int, dict[str, float]]

    def step(self) -> None:
        super().step()
        if self.state.step not in self.marks:
            return
        converter, arrays = self.converter(), {}
        with eager_mode():
            for source, target in (self.experiment.speakers, self.experiment.speakers[::-1]):
                ids = [id for id, owner in self.frames.utterances.items() if owner == source]
                for id, frames in islice(zip(ids, self.frames.frames(source)), MOST):
                    arrays[f"{id}-to-{target}"] = converter.convert_frames(frames, source, target).astype(np.float16)
            if self.held_out:
                self.held_out_scores[self.state.step] = self.scores()
        np.savez_compressed(self.output.parent / f"frames-{self.state.step:06d}.npz", **arrays)


def _write_parts(state: dict[str, Tensor], folder: Path) -> None:
    """Weights as float16, in files of PART bytes at most."""
    part, size, number = {}, 0, 0
    for name, weight in [*state.items(), (None, None)]:
        bytes_ = 2 * weight.numel() if name else 0
        if part and (name is None or size + bytes_ > PART):
            np.savez(folder / f"weights-{number}.npz", **part)
            part, size, number = {}, 0, number + 1
        if name:
            part[name], size = weight.half().cpu().numpy(), size + bytes_


CHECKS: dict[str, Callable[[Bench], Figures]] = {
    check.__name__: check
    for check in (
        same_step,
        cuda_graphs,
        resumption,
        precisions,
        compilation,
        processes,
        conversion,
        commands,
        saving,
        speed,
    )
} | {"training": training}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True, help="features directory of the speakers")
    parser.add_argument("--held-out", type=Path, help="features directory of others of their utterances")
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder for checks.jsonl and what the run leaves")
    parser.add_argument("--device", choices=devices.NAMES, default="auto")
    parser.add_argument(
        "--checks", nargs="+", choices=CHECKS, default=[*CHECKS], metavar="CHECK", help=", ".join(CHECKS)
    )
    parser.add_argument("--small", action="store_true", help="narrow networks everywhere")
    parser.add_argument("--seconds", type=float, default=120.0, help="of the training at the end")
    parser.add_argument("--settings", default="{}", help="of that training: JSON of a configuration's sections")
    parser.add_argument("--commit", default="", help="of the toolkit, where there is no repository")
    parser.add_argument("--again", action="store_true", help=argparse.SUPPRESS)  # the rest of a run that lost its GPU
    args = parser.parse_args()
    try:
        device = devices.choose(args.device)
        settings = json.loads(args.settings)
        sections = [*settings.values()] if isinstance(settings, dict) else [settings]
        require(
            all(isinstance(section, dict) for section in sections),
            '--settings: expected sections of a configuration, such as {"training": {"batch": 8}}',
        )
        for folder in filter(None, (args.features, args.held_out)):
            read_features(folder)  # refused before anything is removed
        args.output.mkdir(parents=True, exist_ok=True)
        if not args.again:
            resumes = "steps" in settings.get("training", {})
            _clear(args.output, [check for check in args.checks if check != "training" or not resumes])
    except (VCError, OSError) as error:
        parser.error(str(error))
    except ValueError as error:
        parser.error(f"--settings: {error}")
    speakers = (args.source, args.target)
    bench = Bench(args.features, args.held_out, speakers, args.output, device, args.small, args.seconds, settings)
    card = torch.cuda.get_device_name() if bench.on_gpu else "CPU"
    about = {"card": card, "torch": torch.__version__, "cuda": torch.version.cuda}
    about |= {"date": date.today().isoformat(), "commit": args.commit or commit()}
    print(json.dumps(about), flush=True)
    args.again = False
    rows, remaining = [], list(args.checks)
    while remaining:
        rows.append({"check": remaining[0], **_tried(CHECKS[remaining.pop(0)], bench), **about})
        with (args.output / "checks.jsonl").open("a") as file:
            file.write(_json(rows[-1]) + "\n")
        print(_json(rows[-1]), flush=True)
        if "CUDA" in rows[-1].get("error", "") and remaining:
            break
    print("\n".join(f"{row['check']:12s} {_verdict(row):8s} {row['took']:6.1f} s" for row in rows), flush=True)
    failed = any(row["passed"] is False for row in rows)
    if remaining:  # this process can compute on the GPU no more: another does the rest
        words = [
            word
            for name, value in vars(args).items()
            for word in _option(name, remaining if name == "checks" else value)
        ]
        failed |= bool(subprocess.run([sys.executable, __file__, *words, "--again"]).returncode)
    return int(failed)


def _clear(output: Path, checks: list[str]) -> None:
    """Begin a new checks.jsonl, and remove what these checks left in an earlier call, if there was one."""
    record = output / "checks.jsonl"
    found = {check: [path for pattern in FILES[check] for path in output.glob(pattern)] for check in FILES}
    in_the_way = ", ".join(path.name for path in chain(*found.values()))  # such as `run` of somebody's experiments
    require(record.exists() or not in_the_way, f"{output}: no earlier call left {in_the_way}; take another --output")
    for path in chain(*(found.get(check, ()) for check in checks)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    record.write_text("")


def _tried(check: Callable[[Bench], Figures], bench: Bench) -> Figures:
    """The figures of a check, or why there are none."""
    start = time.perf_counter()
    try:
        figures = check(bench)
    except Skipped as reason:
        figures = {"passed": None, "skipped": str(reason)}
    except Exception as error:  # the next check is to be tried all the same
        figures = {"passed": False, "error": f"{type(error).__name__}: {error}"[:600]}
    if bench.on_gpu:
        try:
            wait(bench.device)
            torch.cuda.empty_cache()
        except RuntimeError as error:  # after a fault this process can use the GPU no more, not even for that
            reasons = [figures["error"]] if "error" in figures else []
            figures = {**figures, "passed": False, "error": "; ".join([*reasons, f"CUDA: {error}"[:600]])}
    return {**figures, "took": time.perf_counter() - start}


def _json(figures: Figures) -> str:
    """JSON of one line; null stands for numbers that JSON does not have."""

    def finite(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: finite(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [*map(finite, value)]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(finite(figures), allow_nan=False)


def _option(name: str, value: Any) -> list[str]:
    """An argument as it was given."""
    if value is None or value is False or value == "":
        return []
    return [
        f"--{name.replace('_', '-')}",
        *([] if value is True else map(str, value if isinstance(value, list) else [value])),
    ]


def _verdict(row: Figures) -> str:
    return "skipped" if row["passed"] is None else "passed" if row["passed"] else "FAILED"


if __name__ == "__main__":
    sys.exit(main())
