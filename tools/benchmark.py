#!/usr/bin/env python3
"""Time this toolkit against the plain way of doing the same, in one run: ratios that a noisy machine cannot fake.

    tools/benchmark.py train            the training step against a textbook step
    tools/benchmark.py convert          conversion, stage by stage, against the plain path
    tools/benchmark.py resynthesise     recognition-synthesis, stage by stage, in float32 and as --precision auto has it
    tools/benchmark.py live             live conversion by each method, against that of another checkout

With --json the last line is one JSON object.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path
from statistics import median

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the commands set it, before torch is imported

import numpy as np
import pyworld
import torch
from textbook import FRAMES, ROWS, Ours, Textbook, commit, matrix_rate, step_flops, wait

from vc import devices, model_file
from vc.cli.common import positive
from vc.convert.converter import Converter
from vc.corpus import audio
from vc.encoders.base import Encoder
from vc.errors import VCError
from vc.features import mel_cepstrum
from vc.features.base import FeatureConfig
from vc.features.speakers import Speaker
from vc.features.world import WorldConfig
from vc.live.settings import METHODS
from vc.models.cyclegan_vc2 import CycleGANVC2, CycleGANVC2Config
from vc.models.recognition_synthesis import RecognitionSynthesis
from vc.train.sampling import Batch
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.world import WORLD

ROOT = Path(__file__).parents[1]
CONTESTANTS = ("ours", "careful", "textbook")


def contestant(name: str, config: CycleGANVC2Config, device: torch.device, precision: str) -> Ours | Textbook:
    if name == "ours":
        return Ours(config, device, precision=precision)
    return Textbook(config, device, precision=precision, careful=name == "careful")


def take_steps_on_request(args: argparse.Namespace) -> None:
    """Run one contestant: each line of standard input is a number of steps to take; a line of JSON answers it."""
    torch.set_num_threads(args.threads[0])
    torch.manual_seed(0)
    device = devices.choose(args.device)
    devices.set_precision(args.precision, device)
    step = contestant(args.contestant, network(args), device, args.precision).step
    batch = Batch(*(torch.randn(args.batch[0], ROWS, FRAMES, device=device) for _ in range(2)))
    for line in sys.stdin:
        wait(device)
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(int(line)):
            step(batch)
        wait(device)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(json.dumps({"cpu": cpu / int(line), "wall": wall / int(line), "peak_bytes": peak(device)}), flush=True)


def peak(device: torch.device) -> int:
    """Bytes: of the process on a CPU, of the device's allocator on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Worker:
    """A contestant's process."""

    def __init__(self, name: str, args: argparse.Namespace, batch: int, threads: int):
        settings = {
            "--batch": batch,
            "--threads": threads,
            "--device": args.device,
            "--precision": args.precision,
            "--channels": args.channels,
        }
        words = [str(word) for pair in settings.items() for word in pair]
        line = [sys.executable, __file__, "train", "--contestant", name, *words]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def steps(self, count: int) -> dict[str, float]:
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("tools/benchmark.py: error: a contestant died; its message is above")
        return json.loads(answer)

    def close(self) -> None:
        with self.process:  # which closes its pipes and waits for it
            pass


def compare(args: argparse.Namespace, batch: int, threads: int) -> dict:
    """Time all contestants in turns at one batch size and number of threads: medians, ratios, and our FLOP/s."""
    on_gpu = devices.choose(args.device).type == "cuda"
    workers = {name: Worker(name, args, batch, threads) for name in CONTESTANTS}
    taken = {name: [] for name in CONTESTANTS}
    for _ in range(1 + args.repeats):
        for name, worker in workers.items():
            taken[name].append(worker.steps(20 if on_gpu else 1))
    for worker in workers.values():
        worker.close()
    clock = "wall" if on_gpu else "cpu"
    seconds = {
        name: {c: median(step[c] for step in steps[1:]) for c in ("cpu", "wall")} for name, steps in taken.items()
    }
    torch.set_num_threads(threads)
    flops, rate = step_flops(network(args), batch), matrix_rate(devices.choose(args.device), args.precision)
    reached = flops / seconds["ours"]["wall"]
    return {
        "batch": batch,
        "threads": threads,
        "seconds": seconds,
        "textbook_over_ours": seconds["textbook"][clock] / seconds["ours"][clock],
        "careful_over_ours": seconds["careful"][clock] / seconds["ours"][clock],
        "steps_per_second": 1 / seconds["ours"]["wall"],
        "gflop_per_step": flops / 1e9,
        "tflops": reached / 1e12,
        "share_of_matrix_rate": reached / rate,
        "peak_gb": {name: steps[-1]["peak_bytes"] / 1e9 for name, steps in taken.items()},
    }


def network(args: argparse.Namespace) -> CycleGANVC2Config:
    return CycleGANVC2Config(channels=args.channels, residual_channels=4 * args.channels)


def summary(row: dict, *, on_gpu: bool) -> str:
    """A row as lines to read."""
    seconds, memory = row["seconds"], row["peak_gb"]
    clock = "wall" if on_gpu else "cpu"
    times = ", ".join(f"{name} {seconds[name][clock]:.3g} s" for name in CONTESTANTS)
    peaks = ", ".join(f"{name} {memory[name]:.2f} GB" for name in CONTESTANTS)
    return (
        f"batch {row['batch']}, {row['threads']} thread(s), {clock} seconds a step: {times}\n"
        f"  textbook / ours {row['textbook_over_ours']:.2f}, careful / ours {row['careful_over_ours']:.2f};"
        f" ours {row['steps_per_second']:.3g} steps a second\n"
        f"  {row['gflop_per_step']:.0f} GFLOP a step, {row['tflops']:.3g} TFLOP/s,"
        f" {100 * row['share_of_matrix_rate']:.0f} % of the matrix rate; peak memory {peaks}"
    )


def train(args: argparse.Namespace) -> int:
    """Each contestant lives in a process of its own; they take turns, one at a time, and medians are compared."""
    device = devices.choose(args.device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else processor()
    print(f"{where}, torch {torch.__version__}, {args.precision}; {ROWS} rows x {FRAMES} frames, identity mapping on")
    rows = []
    for batch in args.batch:
        for threads in args.threads if device.type == "cpu" else args.threads[:1]:
            rows.append(compare(args, batch, threads))
            print(summary(rows[-1], on_gpu=device.type == "cuda"), flush=True)
    if args.json:
        about = {"command": "train", "hardware": where, "torch": torch.__version__, "precision": args.precision}
        first = {name: rows[0][name] for name in ("textbook_over_ours", "careful_over_ours")}
        print(json.dumps({**about, "date": date.today().isoformat(), "commit": commit(), **first, "rows": rows}))
    return 0


def convert(args: argparse.Namespace) -> int:
    """Both paths take turns on one thread; CPU seconds for each second of audio, medians."""
    torch.set_num_threads(1)
    samples, rate = speech(args.seconds)
    with tempfile.TemporaryDirectory() as folder:
        model, recording = untrained(Path(folder), network(args), rate), Path(folder) / "in.wav"
        audio.write(recording, samples, rate)
        converter, output = Converter.load(model), Path(folder) / "out.wav"
        stages = {"ours": [], "plain": []}
        for _ in range(1 + args.repeats):
            with stopwatch(STAGES) as taken:
                converter.convert_file(recording, output)
            stages["ours"].append(taken)
            with stopwatch(STAGES) as taken:
                plain_path(converter, *audio.read(recording))
            stages["plain"].append(taken)
        audio.write(recording, samples[: 5 * rate], rate)
        cold = command_seconds("convert", "--model", model, recording, "--output", output)
    help_alone = command_seconds("convert", "--help")
    seconds = len(samples) / rate
    medians = {
        who: {stage: median(taken[stage] for taken in turns[1:]) / seconds for stage in turns[0]}
        for who, turns in stages.items()
    }
    totals = {who: row["all"] for who, row in medians.items()}
    print(
        f"{processor()}, torch {torch.__version__}; {seconds:.1f} s at {rate} Hz, {args.channels} channels, one thread"
    )
    print("CPU seconds a second of audio: " + ", ".join(f"{who} {total:.3f}" for who, total in totals.items()))
    for stage in medians["ours"]:
        print(f"  {stage:20s} ours {medians['ours'][stage]:.4f}  plain {medians['plain'][stage]:.4f}")
    print(f"plain / ours {totals['plain'] / totals['ours']:.2f}")
    print(f"CPU seconds of vc-convert: 5 s of audio from a cold start {cold:.2f}, --help {help_alone:.2f}")
    if args.json:
        about = {"command": "convert", "hardware": processor(), "torch": torch.__version__, "channels": args.channels}
        ratio = {"plain_over_ours": totals["plain"] / totals["ours"], "real_time": totals["ours"]}
        more = {"stages": medians, "seconds": seconds, "cold_start_cpu": cold, "help_cpu": help_alone}
        print(json.dumps({**about, "date": date.today().isoformat(), "commit": commit(), **ratio, **more}))
    return 0


def resynthesise(args: argparse.Namespace) -> int:
    """Both precisions take turns on one thread; CPU seconds for each second of audio, medians."""
    torch.set_num_threads(1)
    samples, rate = speech(args.seconds)
    converters = {
        name: Converter.load("six_voices", precision=name, vocoder=args.vocoder) for name in ("float32", "auto")
    }
    rows = {name: [] for name in converters}
    for _ in range(1 + args.repeats):
        for name, converter in converters.items():
            with stopwatch(RESYNTHESIS) as taken:
                converter.convert(samples, rate, to=converter.speakers[0])
            rows[name].append(taken)
    medians = {
        name: {stage: median(taken[stage] for taken in turns[1:]) / args.seconds for stage in turns[0]}
        for name, turns in rows.items()
    }
    spoken = "WORLD" if converters["auto"].vocoder is WORLD else args.vocoder or "HiFi-GAN"
    print(f"{processor()}, torch {torch.__version__}; {args.seconds:.1f} s, {spoken}, one thread")
    print("CPU seconds a second of audio:")
    for stage in medians["auto"]:
        print(f"  {stage:12s} float32 {medians['float32'][stage]:.4f}  auto {medians['auto'][stage]:.4f}")
    ratio = medians["float32"]["all"] / medians["auto"]["all"]
    print(f"float32 / auto {ratio:.2f}")
    if args.json:
        about = {"command": "resynthesise", "hardware": processor(), "torch": torch.__version__, "vocoder": spoken}
        about |= {"date": date.today().isoformat(), "commit": commit(), "seconds": args.seconds, "stages": medians}
        print(json.dumps({**about, "float32_over_auto": ratio}))
    return 0


LIVE_METHODS = {  # method -> options of vc-live
    **{method: ("--model", ROOT / "egs/mini/model.safetensors", "--method", method) for method in METHODS},
    "decoder": ("--model", "six_voices", "--to", "TM1"),
    "decoder_world": ("--model", "six_voices", "--to", "TM1", "--vocoder", "world"),
}


def live(args: argparse.Namespace) -> int:
    """What vc-live costs, start-up included, in this checkout and another in turns: CPU seconds a second, medians.

    The median ratio is that of turns, which are next to each other in time.
    """
    samples, rate = speech(args.seconds)
    checkouts = {"ours": ROOT, **({} if args.other is None else {"other": args.other.absolute()})}
    for checkout in checkouts.values():
        if not (checkout / "vc/__main__.py").is_file():
            sys.exit(f"benchmark: error: --other: no checkout of this toolkit: {checkout}")
    taken = {method: {name: [] for name in checkouts} for method in args.methods}
    with tempfile.TemporaryDirectory() as folder:
        recording, output = Path(folder) / "in.wav", Path(folder) / "out.wav"
        audio.write(recording, samples, rate)
        files = ("--input", recording, "--output", output)
        for _ in range(1 + args.repeats):
            for method, seconds in taken.items():
                for name, checkout in checkouts.items():
                    words = LIVE_METHODS[method]
                    one = command_seconds("live", *words, *files, checkout=checkout, OMP_NUM_THREADS="1")
                    seconds[name].append(one)
    print(f"{processor()}; {args.seconds:.1f} s at {rate} Hz, one thread; CPU seconds a second of audio:")
    rows = {}
    for method, seconds in taken.items():
        rows[method] = {name: median(turns[1:]) / args.seconds for name, turns in seconds.items()}
        print(f"  {method:7s} " + ", ".join(f"{name} {row:.3f}" for name, row in rows[method].items()), end="")
        if args.other is not None:
            ratio = median(other / ours for ours, other in list(zip(seconds["ours"], seconds["other"]))[1:])
            rows[method]["other_over_ours"] = ratio
            print(f"; other / ours {ratio:.2f}", end="")
        print()
    if args.json:
        about = {"command": "live", "hardware": processor(), "date": date.today().isoformat(), "commit": commit()}
        print(json.dumps({**about, "seconds": args.seconds, "methods": rows}))
    return 0


STAGES = {  # stage -> what it calls
    "f0": [(WorldConfig, "estimate_f0"), (FeatureConfig, "track_f0"), (pyworld, "harvest")],
    "envelope": [(pyworld, "cheaptrick"), (mel_cepstrum, "from_envelope")],
    "aperiodicity": [(pyworld, "d4c")],
    "network": [(Converter, "convert_frames"), (CycleGANVC2, "convert")],
    "synthesis": [(pyworld, "synthesize"), (mel_cepstrum, "to_envelope")],
}
RESYNTHESIS = {
    "f0": [(WorldConfig, "estimate_f0"), (FeatureConfig, "track_f0")],
    "content": [(Encoder, "encode")],
    "decoder": [(RecognitionSynthesis, "decode")],
    "vocoder": [(NeuralVocoder, "synthesise"), (type(WORLD), "synthesise")],
}


@contextlib.contextmanager
def stopwatch(stages: dict) -> Iterator[dict[str, float]]:
    """CPU seconds by stage of what runs inside, `all` of it, and the `rest`; calls within calls count once."""
    taken, inside = dict.fromkeys(stages, 0.0), []
    originals = [(owner, name, getattr(owner, name)) for calls in stages.values() for owner, name in calls]

    def timed(stage: str, function: Callable) -> Callable:
        def call(*args: object, **more: object) -> object:
            start = time.process_time()
            inside.append(stage)
            try:
                return function(*args, **more)
            finally:
                inside.pop()
                if not inside:
                    taken[stage] += time.process_time() - start

        return call

    for stage, calls in stages.items():
        for owner, name in calls:
            setattr(owner, name, timed(stage, getattr(owner, name)))
    start = time.process_time()
    try:
        yield taken
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)
        taken["rest"] = time.process_time() - start - sum(taken.values())
        taken["all"] = sum(taken.values())


def plain_path(converter: Converter, samples: np.ndarray, rate: int) -> np.ndarray:
    """The whole recording at once, as the public reproductions do it: Harvest at 71 to 800 Hz, and gradients on."""
    settings, (source, target) = converter.model.features, converter.model.speakers.items()
    samples = samples.astype(np.float64)
    f0, times = pyworld.harvest(samples, rate, f0_floor=71.0, f0_ceil=800.0, frame_period=settings.frame_shift)
    envelope = pyworld.cheaptrick(samples, f0, times, rate, fft_size=settings.fft_size)
    aperiodicity = pyworld.d4c(samples, f0, times, rate, fft_size=settings.fft_size)
    frames = mel_cepstrum.from_envelope(envelope, settings.order, settings.warping)
    normalised = torch.from_numpy(source[1].normaliser.transform(frames).astype(np.float32).T)[None]
    made = converter.network.convert(normalised, source[0], target[0]).detach()[0].T.numpy()
    wanted = np.ascontiguousarray(target[1].normaliser.inverse(made))
    wanted[:, 0] = frames[:, 0]
    return pyworld.synthesize(f0, mel_cepstrum.to_envelope(wanted, settings.warping, settings.bins), aperiodicity, rate)


def speech(seconds: float) -> tuple[np.ndarray, int]:
    """Sentences of the corpus that the repository carries, end to end."""
    paths = sorted((ROOT / "egs/mini/corpus/eval/slt").glob("*.flac"))
    read = [audio.read(path) for path in paths]
    rate = read[0][1]
    return np.resize(np.concatenate([samples for samples, _ in read]), round(seconds * rate)), rate


def untrained(folder: Path, config: CycleGANVC2Config, rate: int) -> Path:
    """A model file with random weights."""
    features = WorldConfig(rate)
    torch.manual_seed(0)
    weights = CycleGANVC2(config, features.bands, ("a", "b")).state_dict()
    voice = Speaker([0.0] * features.bands, [1.0] * features.bands, 5.0, 0.2, 80.0, 400.0, 1, 1)
    path = folder / model_file.NAME
    model_file.write(
        path, model_file.Model("cyclegan_vc2", features, asdict(config), {"a": voice, "b": voice}, 0, ""), weights
    )
    return path


def command_seconds(name: str, *words: object, checkout: Path = ROOT, **environment: str) -> float:
    """CPU seconds of one of the commands of a checkout, start-up included; `words` name no relative paths."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = [sys.executable, "-m", "vc", name, *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(checkout), **environment}
    done = subprocess.run(line, capture_output=True, cwd=checkout, env=environment)
    if done.returncode:
        sys.exit(f"benchmark: error: vc-{name} of {checkout} failed:\n{done.stderr.decode(errors='replace').strip()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def processor() -> str:
    """The processor's name and the cores that may be used."""
    names = [line.partition(":")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return f"{names[0].strip() if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def duration(text: str) -> float:
    """Parse seconds of audio, for argparse."""
    seconds = float(text)
    if not 0.1 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be 0.1 or more, got {text}")
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    training = commands.add_parser("train", help="the training step against a textbook step")
    training.add_argument("--batch", type=positive, nargs="+", default=[1, 8])
    training.add_argument("--threads", type=positive, nargs="+", default=[1, 2], help="on a CPU")
    training.add_argument(
        "--repeats", type=positive, default=3, help="turns of which the median is taken, after one to warm up"
    )
    training.add_argument("--device", choices=devices.NAMES, default="auto")
    training.add_argument(
        "--precision", choices=devices.PRECISIONS, default="float32", help="of all contestants' networks"
    )
    training.add_argument("--channels", type=positive, default=128, help="width of the networks (default: the paper's)")
    training.add_argument("--json", action="store_true", help="end with one JSON object")
    training.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    training.set_defaults(run=train)
    conversion = commands.add_parser("convert", help="conversion, stage by stage, against the plain path")
    conversion.add_argument("--seconds", type=duration, default=30.0, help="of audio")
    conversion.add_argument(
        "--repeats", type=positive, default=3, help="turns of which the median is taken, after one to warm up"
    )
    conversion.add_argument(
        "--channels", type=positive, default=128, help="width of the network (default: the paper's)"
    )
    conversion.add_argument("--json", action="store_true", help="end with one JSON object")
    conversion.set_defaults(run=convert)
    resynthesis = commands.add_parser("resynthesise", help="recognition-synthesis, stage by stage, in two precisions")
    resynthesis.add_argument("--seconds", type=duration, default=30.0, help="of audio; 30 at most, one piece")
    resynthesis.add_argument(
        "--repeats", type=positive, default=3, help="turns of which the median is taken, after one to warm up"
    )
    resynthesis.add_argument("--vocoder", help="default: HiFi-GAN where it is installed, else WORLD")
    resynthesis.add_argument("--json", action="store_true", help="end with one JSON object")
    resynthesis.set_defaults(run=resynthesise)
    streaming = commands.add_parser("live", help="live conversion by each method, against that of another checkout")
    streaming.add_argument("--methods", nargs="+", choices=LIVE_METHODS, default=[*LIVE_METHODS])
    streaming.add_argument("--seconds", type=duration, default=60.0, help="of audio")
    streaming.add_argument(
        "--repeats", type=positive, default=3, help="turns of which the median is taken, after one to warm up"
    )
    streaming.add_argument("--other", type=Path, metavar="CHECKOUT", help="of another commit (git worktree add)")
    streaming.add_argument("--json", action="store_true", help="end with one JSON object")
    streaming.set_defaults(run=live)
    args = parser.parse_args()
    try:
        if getattr(args, "contestant", None):
            take_steps_on_request(args)
            return 0
        return args.run(args)
    except VCError as error:
        print(f"benchmark: error: {error}", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
