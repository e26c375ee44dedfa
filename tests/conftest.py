"""Things that many tests share: seeded noise, speech-like signals, a trained tiny model of the mini corpus."""

import atexit
import contextlib
import functools
import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the commands set it, before torch is imported
os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest-xdist has a worker for each core: more threads only wait

import fork_server
import numpy as np
import pytest
from browser import NAMES, Browser, installed
from filelock import FileLock

from vc.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "egs/mini/corpus"
TINY = ROOT / "recipes/pair/conf/tiny.yaml"
UTILS = ROOT / "recipes/utils"
COMMANDS_PLACE = "VC_TEST_COMMANDS"  # in a worker's environment: where the commands are
ENCODER = {"channels": 8, "dims": 12, "dilations": [1, 2]}  # sizes of the smallest content encoder


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give each worker a row of files, not tests in turn: what a file's tests share is made once, and none idles."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the commands' process for all workers together, before they are started."""
    if config.getoption("numprocesses", None):
        os.environ[COMMANDS_PLACE] = str(commands())


def pytest_collection_finish() -> None:
    """Spare what is there now every later collection of garbage, which would take some tenths of a second."""
    gc.freeze()


@functools.cache
def commands() -> Path:
    """A folder with the commands that fork_server.py starts, until this process or that of all workers ends."""
    if COMMANDS_PLACE in os.environ:
        return Path(os.environ[COMMANDS_PLACE])
    folder = Path(tempfile.mkdtemp(prefix="vc-commands-"))
    open_commands = fork_server.commands(folder, tuple(COMMANDS))
    open_commands.__enter__()
    atexit.register(shutil.rmtree, folder)
    atexit.register(open_commands.__exit__, None, None, None)
    return folder


def command(
    name: str,
    *arguments: object,
    input: bytes = b"",
    cwd: Path | None = None,
    check: int | None = 0,
    patience: float = 240,
) -> subprocess.CompletedProcess:
    """Run one of the commands in a process of its own, as `subprocess.run` does; refuse another status than `check`.

    The process is forked (fork_server.py); test_structure.py starts the commands as their users do.
    """

    def write(end: int) -> None:
        with contextlib.suppress(BrokenPipeError), open(end, "wb") as file:
            file.write(input)

    def read(end: int) -> bytes:
        with open(end, "rb") as file:
            return file.read()

    words = [str(word) for word in arguments]
    (stdin, given), (output, stdout), (errors, stderr) = (os.pipe() for _ in range(3))
    with ThreadPoolExecutor(3) as pool, socket.socket(socket.AF_UNIX) as link:
        link.settimeout(patience)
        link.connect(str(commands() / "socket"))
        fork_server.request(link, name, words, cwd or Path.cwd(), (stdin, stdout, stderr))
        for end in (stdin, stdout, stderr):
            os.close(end)
        pool.submit(write, given)
        streams = [pool.submit(read, end) for end in (output, errors)]
        (status,) = fork_server.STATUS.unpack(link.recv(fork_server.STATUS.size))
        done = subprocess.CompletedProcess([f"vc-{name}", *words], status, *(each.result() for each in streams))
    if check is not None and done.returncode != check:
        raise AssertionError(f"{name} exited {done.returncode}\n{done.stdout.decode()}\n{done.stderr.decode()}")
    return done


@contextlib.contextmanager
def started(name: str, *arguments: object, **settings: object) -> Iterator[subprocess.Popen]:
    """One of the commands while it runs; what has not ended by the end of the block is killed."""
    with subprocess.Popen([commands() / f"vc-{name}", *map(str, arguments)], **settings) as process:
        try:
            yield process
        finally:
            process.kill()


def environment(forked: bool = True, **more: str) -> dict[str, str]:
    """In which scripts find the commands, forked ones or those that users call, and what recipes share."""
    folders = [commands()] if forked else []
    path = os.pathsep.join([*map(str, [*folders, Path(sys.executable).parent, UTILS]), os.environ["PATH"]])
    return {**os.environ, "PATH": path, **more}


def run(*words: object, cwd: Path | None = None, forked: bool = True, **more: str) -> subprocess.CompletedProcess:
    """Run a script with the recipes' environment."""
    line = [str(word) for word in words]
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=environment(forked, **more), timeout=240)


def heed_interruption() -> None:
    """For a process about to start: a suite in the background or under nohup ignores signals, and so would it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def training(mini: Path, output: Path, *more: object) -> list:
    """Arguments of `command` that train `tiny.yaml` on the mini corpus, slt -> rms."""
    pair = ["--features", mini / "dump/train", "--source", "slt", "--target", "rms"]
    return ["train", "--config", TINY, *pair, "--output", output, *more]


def trained(mini: Path, output: Path, *more: object) -> Path:
    """The experiment directory that `training` makes."""
    command(*training(mini, output, *more))
    return output


def vowel(seconds: float, rate: int, f0: float = 120.0, seed: int = 0) -> np.ndarray:
    """A buzz with formants and a little noise, `(samples,)` float32: what WORLD takes for voiced speech."""
    from scipy.signal import lfilter

    noise = np.random.default_rng(seed).standard_normal(round(seconds * rate))
    phase = np.cumsum(np.full(len(noise), f0 / rate))
    buzz = (np.diff(np.floor(phase), prepend=0) > 0) + 0.002 * noise
    for formant, width in ((600.0, 80.0), (1200.0, 100.0), (2500.0, 150.0)):
        radius, angle = np.exp(-np.pi * width / rate), 2 * np.pi * formant / rate
        buzz = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], buzz)
    return (0.5 * buzz / np.abs(buzz).max()).astype(np.float32)


def beginning(recording: Path, path: Path, seconds: float = 1.5) -> None:
    """Write the first seconds of a recording: nearly all that commands do takes time in proportion to the length."""
    import soundfile

    samples, rate = soundfile.read(recording, round(seconds * soundfile.info(recording).samplerate))
    soundfile.write(path, samples, rate)


def write_as_format_3(path: Path) -> None:
    """Give the parts of a checkpoint the names that they had in format 3."""
    from vc.tensor_file import read_tensors, write_tensors
    from vc.train.checkpoint import EARLIER_FORMAT, EARLIER_NAMES

    tensors, content = read_tensors(path)
    names = {today: earlier for earlier, today in EARLIER_NAMES.items()}
    tensors = {".".join(names.get(part, part) for part in name.split(".")): tensors[name] for name in tensors}
    write_tensors(path, tensors, {**content, "format": EARLIER_FORMAT})


def equal(one: dict, other: dict) -> bool:
    """Whether these are the same tensors to the last bit, under the same names."""
    import torch

    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def count(network: "nn.Module") -> int:  # noqa: F821
    """Of a network's weights."""
    return sum(parameter.numel() for parameter in network.parameters())


def two_speakers() -> dict:
    """Ann and Bob, by 25 mel-cepstra."""
    from vc.features.speakers import Speaker

    both = {"ann": 5.0, "bob": 5.3}  # mean of log F0
    return {name: Speaker([0.0] * 25, [1.0] * 25, mean, 0.2, 80.0, 300.0, 1, 100) for name, mean in both.items()}


def random_features(folder: Path) -> Path:
    """A features directory with one utterance of each of two speakers."""
    from vc.features.store import write_features
    from vc.features.world import WorldConfig

    random, speakers = np.random.default_rng(0), two_speakers()
    rows = [
        (f"{name}-1", name, {"frames": random.random((40, 25)), "f0": 100 + random.random(40)}) for name in speakers
    ]
    folder.mkdir()
    recordings = {id: f"digest of {id}" for id, _, _ in rows}
    write_features(folder, WorldConfig(16000), "digest", speakers, rows, recordings)
    return folder


@pytest.fixture
def dump(tmp_path) -> Path:
    return random_features(tmp_path / "dump")


def write_untrained(path: Path, dump: Path, speakers: tuple[str, ...], method: str, sizes: dict) -> None:
    """A model's file of a network that has learnt nothing, with its content encoder if it has one."""
    from vc import model_file
    from vc.encoders.choice import choose
    from vc.models import build_network
    from vc.train.plan import Plan, Request

    plan = Plan.from_request(Request(dump, speakers, output=path, sections={"method": method, "network": sizes}))
    config = plan.features.config
    weights = build_network(method, plan.experiment.network, config, speakers).state_dict()
    encoder = choose(config.content.encoder) if config.content is not None else None
    model_file.write(path, plan.experiment.model(plan.features, 1, {}), weights, encoder)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    """A real one, for what the tests of pages share."""
    if installed() is None:
        pytest.skip(f"no browser on PATH: {', '.join(NAMES)}")
    with Browser(tmp_path_factory.mktemp("downloads")) as running:
        yield running


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`once(name, make)`: a folder that the first worker to ask for it fills by `make`, for all workers to read."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        path, complete = root / name, root / f"{name}.complete"
        with FileLock(root / f"{name}.lock"):
            if not complete.exists():
                shutil.rmtree(path, ignore_errors=True)
                path.mkdir()
                make(path)
                complete.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def mini(once) -> Path:
    """data/train, data/eval, dump/train and dump/eval of the mini corpus, made by the commands.

    The training part has sixteen utterances of each voice.
    """
    return once("mini", _make_mini)


def _make_mini(folder: Path) -> None:
    from vc.corpus import data_directory

    command("prepare", CORPUS / "train", folder / "data/whole")
    recordings = data_directory.read(folder / "data/whole")
    few = [u for name in ("rms", "slt") for u in [u for u in recordings if u.speaker == name][:16]]
    data_directory.write(folder / "data/train", few)
    for speaker in ("slt", "rms"):
        command("prepare", CORPUS / "eval", folder / "data/eval" / speaker, "--speakers", speaker)
    settings = ("--set", "features.sample_rate=16000", "--set", "features.f0_method=dio")
    command("prepare", CORPUS / "eval", folder / "data/both")
    for name, data in (("train", "data/train"), ("eval", "data/both")):
        command("extract", folder / data, folder / "dump" / name, *settings, "--jobs", 1)


@pytest.fixture(scope="session")
def mel_dump(mini, once) -> Path:
    """Features of kind `mel` of the training part."""
    words = ("--set", "features.kind=mel", "--set", "features.f0_method=dio", "--jobs", 1)
    return once("mel", lambda folder: command("extract", mini / "data/train", folder / "dump", *words)) / "dump"


@pytest.fixture(scope="session")
def held_out_dump(mini, once) -> Path:
    """Features of three utterances of each voice of the evaluation part."""
    return once("held_out", lambda folder: _make_held_out(mini / "dump/eval", folder / "dump")) / "dump"


def _make_held_out(dump: Path, part: Path) -> None:
    from vc.features.store import read_features, write_features

    features, rows = read_features(dump), []
    for name in features.speakers:
        ids = [id for id, owner in features.utterances.items() if owner == name]
        arrays = list(zip(ids, features.frames(name), features.f0(name), strict=True))
        rows += [(id, name, {"frames": frames, "f0": f0}) for id, frames, f0 in arrays[:3]]
    part.mkdir()
    recordings = {id: features.recordings[id] for id, *_ in rows}
    write_features(part, features.config, f"part of {features.digest}", features.speakers, rows, recordings)


@pytest.fixture(scope="session")
def three_dump(mini, once) -> Path:
    """Features of three voices: kal is slt with other names."""
    return once("three", lambda folder: _make_three(mini, folder / "dump")) / "dump"


def _make_three(mini: Path, dump: Path) -> None:
    from vc.features.speakers import summarise
    from vc.features.store import read_features, write_features

    features, rows, speakers = read_features(mini / "dump/train"), [], {}
    for name, origin in (("kal", "slt"), ("rms", "rms"), ("slt", "slt")):
        frames, known = features.frames(origin), features.speakers[origin]
        speakers[name] = summarise(name, frames, known.f0_statistics)
        for n, each in enumerate(frames):
            rows.append((f"{name}-{n}", name, {"frames": each, "f0": np.full(len(each), 100.0)}))
    dump.mkdir()
    write_features(dump, features.config, "three", speakers, rows)


@pytest.fixture(scope="session")
def encoder(once) -> Path:
    """A content encoder's file: the smallest network, which has learnt nothing."""
    return once("encoder", lambda folder: _make_encoder(folder / "small.safetensors")) / "small.safetensors"


def _make_encoder(path: Path) -> None:
    import torch

    from vc.encoders import encoder_file
    from vc.encoders.distilled import DistilledConfig, DistilledNetwork

    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = DistilledNetwork(DistilledConfig(**ENCODER)).state_dict()
    encoder_file.write(path, encoder_file.EncoderModel("distilled", ENCODER), weights)


@pytest.fixture(scope="session")
def content(encoder, once) -> Path:
    """data/train and dump/train with content of three short recordings of each voice, dump/held_out of two others."""
    return once("content", lambda folder: _make_content(encoder, folder))


def _make_content(encoder: Path, folder: Path) -> None:
    for part, numbers in (("train", slice(0, 3)), ("held_out", slice(3, 5))):
        for speaker in ("slt", "rms"):
            (folder / part / speaker).mkdir(parents=True)
            shortest = sorted((CORPUS / "train" / speaker).iterdir(), key=lambda path: path.stat().st_size)
            for path in shortest[numbers]:
                shutil.copy(path, folder / part / speaker)
        command("prepare", folder / part, folder / "data" / part)
        settings = ("--set", "features.kind=content", "--set", f"features.content.encoder={encoder}")
        command("extract", folder / "data" / part, folder / "dump" / part, *settings, "--jobs", 1)


@pytest.fixture(scope="session")
def model(mini, once) -> Path:
    """An experiment directory: `tiny.yaml` on the mini corpus, slt -> rms."""
    return once("model", lambda folder: trained(mini, folder / "tiny", "--validation", mini / "data/eval/slt")) / "tiny"


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Path:
    """The scripts and a corner of the mini corpus, in a folder with a space in its name."""
    root = tmp_path_factory.mktemp("a checkout") / "with a space"
    for folder in ("recipes", "egs/mini/vc2"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("data", "dump", "exp"))
    for speaker in ("slt", "rms"):
        for part, count in (("train", 4), ("eval", 2)):
            (root / "egs/mini/corpus" / part / speaker).mkdir(parents=True)
            for path in sorted((CORPUS / part / speaker).iterdir())[:count]:
                beginning(path, root / "egs/mini/corpus" / part / speaker / path.name)
    (root / "features.yaml").write_text("features:\n  sample_rate: 16000\n  f0_method: dio\n")
    return root


@pytest.fixture(scope="session")
def three(checkout) -> Path:
    """A corpus of three voices: kal is slt played slower."""
    import soundfile

    corpus = checkout / "three voices"
    shutil.copytree(checkout / "egs/mini/corpus", corpus)
    for path in sorted(corpus.glob("*/slt/*")):
        samples, rate = soundfile.read(path)
        slower = np.interp(np.arange(0, len(samples) - 1, 0.8), np.arange(len(samples)), samples)
        (path.parents[1] / "kal").mkdir(exist_ok=True)
        soundfile.write(path.parents[1] / "kal" / path.name, slower, rate)
    return corpus
