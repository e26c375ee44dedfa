"""Every reader of what a stranger hands us, fed with damage for minutes: our own errors, soon, and in little memory.

Bytes are flipped, repeated and cut; and what is inside, where it can be told, is replaced by odd values and signed
again, for a digest that does not match would hide all that comes behind it. VC_FUZZ_SECONDS says how long each reader
is tried. A failure leaves the file that caused it where its message says.
"""

import contextlib
import copy
import io
import json
import logging
import math
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import soundfile
import test_encoder_import
import test_encoders
import test_vocoders
import torch
import yaml
from conftest import vowel, write_untrained

from vc import config, extras, tensor_file
from vc.convert.converter import Converter
from vc.corpus import audio, check, data_directory, formats, lists
from vc.encoders import choice as encoders
from vc.encoders import published as published_encoders
from vc.errors import VCError
from vc.features import store
from vc.listening import formats as listening
from vc.report import curves
from vc.train import checkpoint, content_encoder, experiment
from vc.train import log as train_log
from vc.train.checkpoint import State
from vc.train.converter import make_engine, train
from vc.train.plan import Plan, Request
from vc.train.processes import SINGLE_PROCESS
from vc.vocoders import published as published_vocoders
from vc.vocoders import vocoder_file
from vc.vocoders.hifigan import HiFiGAN
from vc.vocoders.istft import ISTFT, ISTFTConfig
from vc.vocoders.neural import NeuralVocoder
from vc.vocoders.vocoder_file import VocoderModel

SECONDS = float(os.environ.get("VC_FUZZ_SECONDS", "600"))  # of each reader
MEMORY, LONGEST_CALL = 2_500_000_000, 10.0  # bytes; seconds of CPU time, which other work does not lengthen
RATE = 16000
NUMBERS = [(n % 2**64).to_bytes(8, "little") for n in (0, 1, 2**31 - 1, 2**32, 2**62, 2**63, -1)]
ODD = [None, True, False, 0, -1, 1, 2, 7, 255, 65536, 2**31, 2**63, 10**30, 0.0, -0.5, 1e-300, 1e300, math.nan]
ODD += [math.inf, "", "x", "\n", "../../x", "/dev/zero", "x" * 9000, [], [0], [[]], [1e300], {}, {"x": 1}, {"": None}]
WORDS = [b"", b"0", b"-1", b"nan", b"1e306", b"ann", b"ann-ann", b"|", b"\r", b"\0", b"\xff", b"/dev/zero", b"/tmp"]
WORDS += [b"../../x", b"x" * 9000, "\u2028".encode(), b"!!int ''", b"&a", b"*a", b"<<:", b"[" * 1500, b"9" * 5000]


# Damage


def mutated(content: bytes, chance: random.Random) -> bytes:
    """With bits flipped, numbers written over it, parts repeated or taken away."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 5)):
        place = chance.randrange(min(len(changed), chance.choice([64, 1024, 1 << 20])) + 1)
        end = place + chance.randint(1, 16)
        change = chance.choice(["flip", "number", "repeat", "drop", "cut"])
        if change == "flip" and place < len(changed):
            changed[place] ^= 1 << chance.randrange(8)
        elif change == "number":
            changed[place : place + 8] = chance.choice(NUMBERS)
        elif change == "repeat":
            changed[place:place] = changed[place:end] * chance.randint(1, 200)
        elif change == "drop":
            del changed[place:end]
        elif change == "cut" and chance.random() < 0.2:
            del changed[place:]
    return bytes(changed[: max(len(content), 100_000)])


def reworded(content: bytes, chance: random.Random) -> bytes:
    """A text with words replaced by odd ones, or with lines repeated, exchanged or taken away."""
    rows = [line.split(b" ") for line in content.split(b"\n")]
    for _ in range(chance.randint(1, 3)):
        row, other = chance.randrange(len(rows)), chance.randrange(len(rows))
        change = chance.choice(["word", "word", "repeat", "exchange", "drop"])
        if change == "word":
            rows[row][chance.randrange(len(rows[row]))] = chance.choice([*WORDS, *rows[other]])
        elif change == "repeat":
            rows.insert(row, list(rows[other]))
        elif change == "exchange":
            rows[row], rows[other] = rows[other], rows[row]
        elif len(rows) > 1:
            del rows[row]
    return b"\n".join(map(b" ".join, rows))


def altered(value: object, chance: random.Random) -> object:
    """Plain values with one of them, at any depth, replaced, dropped or added."""
    value = place = copy.deepcopy(value)
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            return value
        key = chance.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.8:
            place = place[key]
            continue
        change = chance.choice(["replace", "replace", "replace", "drop", "add"])
        if change == "drop":
            del place[key]
        elif change == "add" and isinstance(place, dict):
            place[chance.choice(["x", "", "\n", str(key) + "_"])] = chance.choice(ODD)
        else:
            place[key] = chance.choice(ODD)
        return value


def rewritten_json(content: bytes, chance: random.Random) -> bytes:
    return json.dumps(altered(json.loads(content), chance)).encode()


def rewritten_yaml(content: bytes, chance: random.Random) -> bytes:
    return yaml.safe_dump(altered(yaml.safe_load(content), chance), sort_keys=False, allow_unicode=True).encode()


def odd_tensor(tensor: torch.Tensor, chance: random.Random) -> torch.Tensor:
    """Of another type, shape or size, or with values that are none or too large."""
    one = torch.zeros(1)
    return chance.choice(
        [
            lambda: tensor.flatten(),
            lambda: tensor[None],
            lambda: tensor[:0],
            lambda: tensor.repeat(2, *[1] * (tensor.ndim - 1)) if tensor.ndim else one,
            lambda: torch.full_like(tensor, torch.finfo(tensor.dtype).max if tensor.is_floating_point() else 1),
            lambda: torch.full_like(tensor, float("nan")) if tensor.is_floating_point() else one,
            lambda: torch.zeros_like(tensor),
            lambda: tensor.to(chance.choice([torch.float16, torch.float64, torch.bfloat16, torch.int64, torch.uint8])),
            lambda: tensor.to(torch.complex64),
            lambda: tensor.bool(),
            lambda: torch.tensor(0.0),
        ]
    )()


def of_other_tensors(tensors: dict, chance: random.Random) -> dict:
    """With one of them replaced, dropped, added or under another name."""
    changed, name = dict(tensors), chance.choice(sorted(tensors))
    change = chance.choice(["replace", "replace", "drop", "add", "rename"])
    if change == "replace":
        changed[name] = odd_tensor(tensors[name], chance).clone().contiguous()
    elif change == "add":
        changed[chance.choice(["x", "", f"{name}.x", name.replace("0", "9999")])] = torch.ones(3)
    else:
        changed.pop(name)
        if change == "rename":
            changed[chance.choice([name.upper(), name.replace("0", "7"), f"x{name}"])] = tensors[name]
    return changed


def resigned(content: bytes, chance: random.Random) -> bytes:
    """Safetensors with other metadata or tensors; of our own files with the digest that they should have."""
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
    tensors = safetensors.torch.load(content)
    if "vc" not in header or chance.random() < 0.3:
        tensors = of_other_tensors(tensors, chance)
    if "vc" in header:
        told = json.loads(header["vc"])
        for _ in range(chance.randint(0, 3)):
            told = altered(told, chance)
        text = json.dumps(told)
        header = {"vc": text, "sha256": tensor_file.tensors_digest(tensors, text)}
    return safetensors.torch.save(tensors, header)


def of_torch(content: bytes, chance: random.Random) -> bytes:
    """An archive of torch's with other tensors, or with what is no tensor, in either format."""
    whole = torch.load(io.BytesIO(content), weights_only=True)
    place = whole
    while (inner := [key for key in place if isinstance(place[key], dict)]) and chance.random() < 0.8:
        place = place[chance.choice(inner)]
    tensors = {key: value for key, value in place.items() if isinstance(value, torch.Tensor)}
    if tensors and chance.random() < 0.7:
        changed = of_other_tensors(tensors, chance)
        for key in tensors.keys() - changed.keys():
            del place[key]
        place |= changed
    else:
        odd = [torch.zeros(2, device="meta"), torch.zeros(1).expand(10**9), torch.ones(2).to_sparse(), *ODD]
        place[chance.choice(list(place))] = chance.choice(odd)
    file = io.BytesIO()
    torch.save(whole, file, _use_new_zipfile_serialization=chance.random() < 0.7)
    return file.getvalue()


WAYS = {  # to change a file, by its ending; any bytes beside
    ".json": [rewritten_json, reworded],
    ".yaml": [rewritten_yaml, reworded],
    ".jsonl": [reworded],
    ".safetensors": [resigned],
    ".pt": [of_torch],
    ".scp": [reworded],
    "": [reworded],
}


# Readers


@dataclass(frozen=True)
class Reader:
    """Files to damage, one at a time, what reads one, and what signs it again where its digest lies elsewhere."""

    paths: Sequence[Path]
    read: Callable[[Path], object]
    sign: Callable[[Path], object] = lambda path: None


def recordings(folder: Path, _: Path) -> Reader:
    """A short one in every format."""
    kinds = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_24"), ("AU", "ULAW")]
    kinds += [("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("W64", "PCM_16"), ("RF64", "FLOAT"), ("CAF", "ALAC_16")]
    kinds += [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("NIST", "PCM_16"), ("VOC", "PCM_U8")]
    for format, subtype in kinds:
        samples = np.stack([vowel(0.1, RATE)] * (1 if format == "VOC" else 2), axis=1)
        soundfile.write(folder / f"{format}-{subtype}", samples, RATE, format=format, subtype=subtype)
    if formats.has_ffmpeg():
        for end in ("m4a", "mka", "wma", "aac"):
            line = ["ffmpeg", "-v", "error", "-nostdin", "-i", folder / "WAV-PCM_16", folder / f"a.{end}"]
            subprocess.run(line, check=True)
    return Reader(sorted(folder.iterdir()), lambda path: (audio.info(path), audio.read(path, 8000)))


def data(folder: Path, _: Path) -> Reader:
    """A data directory of two speakers, each with two parts of a recording, and a name."""
    utterances = []
    for speaker in ("ann", "bob"):
        soundfile.write(folder / f"{speaker}.wav", vowel(0.6, RATE), RATE)
        parts = ((number, 0.3 * number, 0.3 * number + 0.25) for number in (0, 1))
        utterances += [
            data_directory.Utterance(f"{speaker}-{n}", speaker, folder / f"{speaker}.wav", start, end, speaker.title())
            for n, start, end in parts
        ]
    data_directory.write(folder / "data", utterances, {utterance.id: "hello" for utterance in utterances})

    def read(path: Path) -> None:
        faults = []
        lists.Table(path, faults)
        with contextlib.suppress(VCError):
            data_directory.read(path.parent)
        check.check(path.parent)

    return Reader(sorted(path for path in (folder / "data").iterdir() if path.is_file()), read)


def configurations(folder: Path, dump: Path) -> Reader:
    """All settings of some methods, resolved."""
    features = store.read_features(dump)
    for method in ("cyclegan_vc2", "nearest", "unit"):
        settings = experiment.resolve({"method": method}, features.config, ("ann", "bob"), "")
        keys = ("method", "features", "network", "objective", "training", "compute")
        (folder / f"{method}.yaml").write_text(yaml.safe_dump({key: settings.as_dict()[key] for key in keys}))

    def read(path: Path) -> None:
        experiment.resolve(config.read_sections(path), features.config, ("ann", "bob"), "")

    return Reader(sorted(folder.iterdir()), read)


TINY = {"network": {"channels": 4, "residual_blocks": 2, "residual_channels": 2}, "training": {"segment": 32}}


def features(folder: Path, dump: Path) -> Reader:
    """All that a training reads of them."""

    def read(path: Path) -> None:
        plan = Plan.from_request(Request(dump, ("ann", "bob"), output=folder, sections=TINY))
        plan.features.check()

    def sign(path: Path) -> None:
        settings = dump / "config.yaml"
        if path.name in store.SIGNED:
            content = yaml.safe_load(settings.read_text())
            content["sha256"][path.name] = store._list_digest(path)
            settings.write_text(yaml.safe_dump(content))

    return Reader(sorted(path for path in dump.iterdir() if path.is_file()), read, sign)


def models(folder: Path, dump: Path) -> Reader:
    """Untrained ones, which convert."""
    sizes = {"cyclegan_vc2": TINY["network"], "vqvae": TINY["network"], "stargan_vc": {"channels": 4}, "nearest": {}}
    for method, given in sizes.items():
        write_untrained(folder / f"{method}.safetensors", dump, ("ann", "bob"), method, given)
    return Reader(sorted(folder.iterdir()), converted)


def converted(path: Path) -> None:
    model = Converter.load(path, vocoder="world")
    made = model.convert(vowel(0.3, RATE), RATE, model.speakers[-1], None if model.decodes else model.speakers[0])
    assert np.abs(made).max() <= 1


def decoders(folder: Path, dump: Path) -> Reader:
    """Models with a content encoder inside."""
    small = {"channels": 8, "content_channels": 8, "kernel": 3, "dilations": [1], "discriminator_channels": 4}
    write_untrained(folder / "decoder.safetensors", dump, ("slt", "rms"), "recognition_synthesis", small)
    train(Request(dump, ("slt",), output=folder / "units", sections={"method": "unit_selection"}))
    return Reader([folder / "decoder.safetensors", folder / "units/model.safetensors"], converted)


def checkpoints(folder: Path, dump: Path) -> Reader:
    made = make_engine(
        Plan.from_request(Request(dump, ("ann", "bob"), output=folder, sections=TINY)),
        torch.device("cpu"),
        SINGLE_PROCESS,
    )
    checkpoint.save(folder / "checkpoints", made, State(step=1), keep=1)

    def read(path: Path) -> None:
        try:
            checkpoint.resume(path.parent, made)
        finally:
            for damaged in path.parent.glob("*.corrupt"):
                damaged.unlink()

    return Reader(sorted((folder / "checkpoints").iterdir()), read)


def windows(folder: Path, _: Path) -> Reader:
    """What an interrupted extraction left."""
    tensor_file.write_arrays(
        folder / "a.safetensors", {"f0": np.ones(9, np.float32), "frames": np.ones((9, 2))}, "digest"
    )
    return Reader([folder / "a.safetensors"], tensor_file.read_arrays)


def vocoders(folder: Path, _: Path) -> Reader:
    small, mel = ISTFTConfig(8, 1, 1), test_vocoders.MEL
    generators = {"hifigan": (test_vocoders.SMALL, HiFiGAN), "istft": (small, ISTFT)}
    for name, (sizes, generator) in generators.items():
        described = VocoderModel(name, mel, vars(sizes))
        vocoder_file.write(folder / f"{name}.safetensors", described, generator(sizes, mel).state_dict())

    def read(path: Path) -> None:
        NeuralVocoder.load(path).resynthesise(vowel(0.1, mel.sample_rate))

    return Reader(sorted(folder.iterdir()), read)


def published_generators(folder: Path, _: Path) -> Reader:
    sizes = test_vocoders.SMALL
    tensors = {"generator": test_vocoders.published_tensors(sizes)}
    for name, new in (("zip", True), ("legacy", False)):
        torch.save(tensors, folder / f"{name}.pt", _use_new_zipfile_serialization=new)
    safetensors.torch.save_file(tensors["generator"], folder / "plain.safetensors")
    settings = {"upsample_initial_channel": sizes.channels, "upsample_rates": sizes.upsample_rates}
    settings |= {"upsample_kernel_sizes": sizes.upsample_kernels, "resblock_kernel_sizes": sizes.kernels}
    settings |= {"resblock_dilation_sizes": sizes.dilations, "resblock": "1", "num_mels": 80, "sampling_rate": 22050}
    settings |= {"n_fft": 1024, "win_size": 1024, "hop_size": 256, "fmin": 0, "fmax": 8000}
    (folder / "config.json").write_text(json.dumps(settings))

    def read(path: Path) -> None:
        checkpoint = folder / "zip.pt" if path.suffix == ".json" else path
        for configuration in (folder / "config.json", None):
            with contextlib.suppress(VCError):
                published_vocoders.read(checkpoint, configuration, "")

    return Reader(sorted(folder.iterdir()), read)


def content_encoders(folder: Path, _: Path) -> Reader:
    for kind in test_encoders.KINDS:
        test_encoders.written(folder, kind)
    return Reader(sorted(folder.iterdir()), lambda path: encoders.choose(str(path)).encode(vowel(0.2, RATE)))


def published_networks(folder: Path, _: Path) -> Reader:
    """In every format of theirs."""
    for format in test_encoder_import.FORMATS:
        test_encoder_import.write(format, folder)
    (folder / "archive/pytorch_model.bin").rename(folder / "archive/whole.pt")
    (folder / "archive/pytorch_model.bin").symlink_to("whole.pt")
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())

    def read(path: Path) -> None:
        published_encoders.read(path if path.parent == folder else path.parent)

    return Reader(paths, read)


def transformers(folder: Path, dump: Path) -> Reader:
    """A folder that `objective.encoder` names."""
    from transformers import Speech2TextConfig, Speech2TextModel

    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "conv_channels": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 20}
    bands = {"input_feat_per_channel": 25}
    Speech2TextModel(Speech2TextConfig(**bands, **sizes, **heads)).save_pretrained(folder / "own")
    known = store.read_features(dump)
    return Reader(
        sorted((folder / "own").iterdir()),
        lambda path: content_encoder.read(str(path.parent), known.speakers, known.config),
    )


def answers(folder: Path, _: Path) -> Reader:
    items = {"i": listening.Item(["1"], None), "j": listening.Item(["2"], None)}
    sounds = {"1": listening.Sound("s", "a"), "2": listening.Sound("s", "b")}
    key = listening.Key(listening.KEY, 1, "t", "mos", "", 0, RATE, 0.0, {"s": ""}, sounds, items)
    (folder / "key.json").write_text(json.dumps(config.plain(key)))
    given = [{"item": name, "answer": "5"} for name in items]
    told = {"format": listening.ANSWERS, "version": 1, "test": "t", "listener": "l", "answers": given}
    (folder / "answers.json").write_text(json.dumps(told))

    def read(path: Path) -> None:
        listening.read_answers(folder / "answers.json", listening.read_key(folder / "key.json"))

    return Reader(sorted(folder.iterdir()), read)


def logs(folder: Path, _: Path) -> Reader:
    (folder / "log.jsonl").write_text('{"step": 2, "losses": {"a": 0.5}, "held_out": {"score": 1}}\n' * 2)

    def read(path: Path) -> None:
        lines = train_log.read(path.parent)
        if curves.names_of_curves(lines):
            curves.draw_curves(lines)

    return Reader([folder / "log.jsonl"], read)


READERS = {  # and which features they are given
    "recordings": (recordings, "dump"),
    "lists": (data, "dump"),
    "configurations": (configurations, "dump"),
    "features": (features, "dump"),
    "models": (models, "dump"),
    "decoders": (decoders, "content"),
    "checkpoints": (checkpoints, "dump"),
    "windows": (windows, "dump"),
    "vocoders": (vocoders, "dump"),
    "published_vocoders": (published_generators, "dump"),
    "encoders": (content_encoders, "dump"),
    "published_encoders": (published_networks, "dump"),
    "transformers": (transformers, "dump"),
    "answers": (answers, "dump"),
    "logs": (logs, "dump"),
}


def too_long(*_: object) -> None:
    raise AssertionError(f"a call of more than {LONGEST_CALL} s of CPU time")


def fuzz(make: Callable[[Path, Path], Reader], dump: Path, folder: Path, seconds: float) -> None:
    """Damage and read until the time is up; ends with a traceback where it is not our own error."""
    folder.mkdir()
    warnings.simplefilter("ignore")
    logging.getLogger("vc").setLevel(logging.CRITICAL)
    reader = make(folder, dump)
    resource.setrlimit(resource.RLIMIT_DATA, (4 * MEMORY, 4 * MEMORY))  # of addresses: a bomb is a traceback
    signal.signal(signal.SIGPROF, too_long)
    for path in reader.paths:  # whole, they are read; and what is imported late is there
        reader.read(path)
    whole, chance = {path: path.read_bytes() for path in reader.paths}, random.Random(0)
    end, calls, longest = time.monotonic() + seconds, 0, 0.0
    while time.monotonic() < end:
        for path, before in whole.items():
            path.write_bytes(before)
        path = chance.choice(reader.paths)
        change = chance.choice([mutated, *WAYS.get(path.suffix, [])])
        path.write_bytes(change(whole[path], chance))
        if chance.random() < 0.7:
            reader.sign(path)
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, LONGEST_CALL)
        try:
            with contextlib.suppress(VCError, OSError):  # what the commands report in one line
                reader.read(path)
        except BaseException:
            print(f"call {calls}, by {change.__name__}: {path}", flush=True)
            raise
        signal.setitimer(signal.ITIMER_PROF, 0)
        calls, longest = calls + 1, max(longest, time.process_time() - began)
    peak = 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        f"{calls} calls in {time.process_time():.0f} s, the longest of {longest:.2f} s; {peak / 1e6:.0f} MB", flush=True
    )
    assert peak < MEMORY


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("what", READERS)
def test_damage_of_any_kind_ends_in_our_own_errors_soon_and_in_little_memory(what, request, tmp_path):
    make, given = READERS[what]
    if what == "transformers" and extras.missing("transformers"):
        pytest.skip("the extra encoders is not installed")
    dump = request.getfixturevalue(given)
    dump = dump if given == "dump" else dump / "dump/train"
    work = (make, dump, tmp_path / "files", SECONDS)
    process = multiprocessing.get_context("forkserver").Process(target=fuzz, args=work)
    process.start()
    process.join()
    assert process.exitcode == 0
