"""Unit selection: the search, what is put together, what a model holds, and the commands from end to end."""

import itertools
import json
import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CORPUS, command
from test_recognition_synthesis import forged
from torch import Tensor

from vc import model_file
from vc.config import read_sections
from vc.convert.converter import Converter
from vc.corpus import audio
from vc.errors import ConfigError
from vc.features.content import PROSODY
from vc.features.mel import MelFeatures
from vc.features.store import read_features
from vc.models import unit_selection as search
from vc.models.unit_selection import MAX_DEVIATION, Units, UnitSelection, UnitSelectionConfig
from vc.tensor_file import read_tensors
from vc.train.converter import train
from vc.train.estimate import estimate
from vc.train.plan import Request
from vc.train.unit_selection import TargetFrames, UnitSelectionObjective, choose_excerpts, fit

BANDS, DIMS = 5, 6
CONFIG = UnitSelectionConfig()
SPEECH = sorted((CORPUS / "eval/slt").iterdir())[0]


def recordings(*lengths: int, seed: int = 0) -> TargetFrames:
    """Of a voice that says anything."""
    random = np.random.default_rng(seed)
    log_mel, content = ([random.standard_normal((length, rows)) for length in lengths] for rows in (BANDS, DIMS))
    manner = [
        np.column_stack([random.standard_normal(length), random.random(length) < 0.6, random.standard_normal(length)])
        for length in lengths
    ]
    return TargetFrames(log_mel, content, manner, random.uniform(0.5, 1, BANDS), 86.0)


def fitted(config: UnitSelectionConfig = CONFIG, **targets: TargetFrames) -> UnitSelection:
    network = UnitSelection(config, BANDS, DIMS, tuple(targets))
    fit(network, UnitSelectionObjective(), targets)
    return network


def given(wanted: TargetFrames, number: int = 0) -> tuple[Tensor, Tensor]:
    """Content and prosody of a recording, `(1, ..., frames)`, as a decoder takes them."""
    prosody = np.column_stack([np.zeros((len(wanted.log_mel[number]), BANDS)), wanted.manner[number]])
    return tuple(torch.from_numpy(each).float().T[None] for each in (wanted.content[number], prosody))


def path(network: UnitSelection, content: Tensor, prosody: Tensor) -> list[int]:
    return network.units[0].path(content[0].T, prosody[0, -PROSODY:].T, network.config).tolist()


# The search


def target_cost(content: np.ndarray, manner: np.ndarray, other: np.ndarray, others: np.ndarray, config) -> float:
    cosine = content @ other / np.linalg.norm(content) / np.linalg.norm(other)
    (melody, voiced, loud), (its_melody, its_voiced, its_loud) = (
        np.clip(each, [-MAX_DEVIATION, 0, -MAX_DEVIATION], [MAX_DEVIATION, 1, MAX_DEVIATION])
        for each in (manner, others)
    )
    cost = 1 - cosine + config.voicing * (voiced != its_voiced) + config.loudness * (loud - its_loud) ** 2
    return cost + config.melody * (melody - its_melody) ** 2 * (voiced and its_voiced)


def join_cost(units, before: int, now: int, config) -> float:
    same = before + 1 < len(units.recording) and units.recording[before + 1] == units.recording[before]
    if same and now == before + 1:
        return 0.0
    expected = units.log_mel[before + 1 if same else before].double()
    return config.jump + config.join * float((expected - units.log_mel[now].double()).square().mean().sqrt())


def brute_force(network: UnitSelection, content: Tensor, prosody: Tensor) -> list[int]:
    """The cheapest of all sequences of units."""
    units, config = network.units[0], network.config
    contents, manners = units.content.double().numpy(), units.manner.double().numpy()
    wanted = zip(content[0].T.double().numpy(), prosody[0, -PROSODY:].T.double().numpy())
    everyone = range(len(contents))
    targets = [[target_cost(*each, contents[n], manners[n], config) for n in everyone] for each in wanted]
    joins = [[join_cost(units, before, now, config) for now in everyone] for before in everyone]

    def cost(places: tuple[int, ...]) -> float:
        steps = sum(joins[before][now] for before, now in itertools.pairwise(places))
        return steps + sum(costs[place] for costs, place in zip(targets, places))

    return list(min(itertools.product(everyone, repeat=len(targets)), key=cost))


@pytest.mark.parametrize(
    "weights",
    [
        *({}, {"join": 0.0, "jump": 0.0}, {"join": 3.0}, {"jump": 2.0}, {"melody": 5.0}, {"voicing": 5.0}),
        *({"loudness": 5.0}, {"reach": 0}),
    ],
)
@pytest.mark.parametrize("chunk", [2, 128])
def test_the_path_is_the_cheapest_of_all(weights, chunk, monkeypatch):
    monkeypatch.setattr(search, "CHUNK", chunk)
    network = fitted(replace(CONFIG, **weights), ann=recordings(2, 4))
    for seed in range(1, 4):
        wanted = given(recordings(4, seed=seed))
        assert path(network, *wanted) == brute_force(network, *wanted)


def test_candidates_are_the_nearest_units_and_those_that_continue_their_neighbours():
    assert search.add_continuations(torch.tensor([[2], [7], [8]]), 1).tolist() == [[2, 2, 6], [3, 7, 7], [8, 8, 8]]
    everything = fitted(replace(CONFIG, candidates=500, reach=0), ann=recordings(9))
    wanted = given(recordings(30, seed=1))
    assert path(everything, *wanted) == path(fitted(replace(CONFIG, candidates=9), ann=recordings(9)), *wanted)


def test_recordings_of_the_target_come_back_as_they_are():
    """Frame for frame, for nothing else costs nothing."""
    target = recordings(40, 1, 200, 25)
    network = fitted(ann=target)
    for number, log_mel in enumerate(target.log_mel):
        decoded = network.decode(*given(target, number), "ann")[0].T
        torch.testing.assert_close(decoded, torch.from_numpy(log_mel).half().float(), atol=1e-5, rtol=0)


def test_each_frame_is_one_of_the_targets_but_for_its_loudness(monkeypatch):
    monkeypatch.setattr(search, "JOIN_SMOOTHING", ())
    target = recordings(50)
    network, (content, prosody) = fitted(ann=target), given(recordings(300, seed=1))
    places = path(network, content, prosody)
    louder = np.clip(prosody[0, -1].numpy() - target.manner[0][places, 2], -CONFIG.louder, CONFIG.louder)
    expected = target.log_mel[0][places] + louder[:, None] * target.louder
    np.testing.assert_allclose(network.decode(content, prosody, "ann")[0].T, expected, atol=5e-3)  # float16
    assert np.abs(louder).max() == CONFIG.louder


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([3, 4, 5, 6, 7, 8], [0, 0.09, 0.26, 0.74, 0.91, 1]),
        ([0, 1, 2, 3], [0, 0, 0, 0]),
        ([4, 2, 3], [0, 0, 0]),
        ([5, 6], [0.26, 0.74]),
        ([7], [1]),
    ],
)
def test_a_step_at_a_join_is_bridged(places, expected, monkeypatch):
    """Between two recordings of six frames, whose log-mel is 0 and 1."""
    units = Units(1, DIMS)
    halves = torch.repeat_interleave(torch.arange(2), 6)
    units.log_mel, units.recording, units.manner = halves[:, None].half(), halves.int(), torch.zeros(12, PROSODY)
    monkeypatch.setattr(units, "path", lambda *_: torch.tensor(places))
    bridged = units.decode(torch.zeros(len(places), DIMS), torch.zeros(len(places), 1 + PROSODY), CONFIG)
    torch.testing.assert_close(bridged[:, 0], torch.tensor(expected, dtype=torch.float32))


def test_joins_that_cost_more_are_fewer():
    wanted, counts = given(recordings(200, seed=1)), []
    for jump in (0.0, 0.3, 10.0):
        places = path(fitted(replace(CONFIG, jump=jump), ann=recordings(400)), *wanted)
        counts.append(int((np.diff(places) != 1).sum()))
    assert counts[0] > counts[1] > counts[2]


def test_the_same_is_chosen_each_time_in_a_batch_and_under_autocast():
    network, one, other = (
        fitted(ann=recordings(90)),
        given(recordings(60, seed=1)),
        given(recordings(60, seed=2)),
    )
    decode = partial(network.decode, target="ann")
    alone = decode(*one)
    assert torch.equal(decode(*one), alone)
    assert torch.equal(decode(*(torch.cat(each) for each in zip(other, one)))[1:], alone)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(decode(*one), alone)


def test_a_scale_of_content_says_nothing():
    network, (content, prosody) = fitted(ann=recordings(90)), given(recordings(60, seed=1))
    assert path(network, 8 * content, prosody) == path(network, content, prosody)


def test_each_target_has_frames_of_its_own():
    ann, bob = recordings(30), recordings(40, seed=1)
    both, wanted = fitted(ann=ann, bob=bob), given(recordings(50, seed=2))
    for name, target in (("ann", ann), ("bob", bob)):
        assert torch.equal(both.decode(*wanted, name), fitted(**{name: target}).decode(*wanted, name))


@pytest.mark.parametrize(
    "wrong", [{"candidates": 0}, {"reach": -1}, {"reach": 11}, {"jump": -0.1}, {"join": 1e9}, {"louder": -1.0}]
)
def test_impossible_settings_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=f"network.{next(iter(wrong))} must be"):
        replace(CONFIG, **wrong)
    with pytest.raises(ConfigError, match=r"reach \+ 1\) must be at most 500, got 2100"):
        replace(CONFIG, candidates=100, reach=10)


# What a model holds


@pytest.mark.parametrize("most", [60, 100, 333, 999])
def test_of_too_many_frames_stretches_from_all_over_are_held(most):
    lengths = [5, 200, 1, 90, 704]
    stretches = choose_excerpts(lengths, most, longest=20)
    held = [set(range(start, stop)) for _, start, stop in stretches]
    assert most - 20 < sum(map(len, held)) <= most and max(map(len, held)) <= 20
    places = [(number, place) for (number, *_), own in zip(stretches, held) for place in sorted(own)]
    assert places == sorted(set(places)) and all(place < lengths[number] for number, place in places)
    assert {1, 3, 4} <= {number for number, _ in places} or most < 300


def test_recordings_that_fit_are_held_whole():
    assert choose_excerpts([5, 200, 1], 206, longest=20) == [(0, 0, 5), (1, 0, 200), (2, 0, 1)]


def test_what_is_left_out_is_said(caplog):
    target, network = recordings(6000, 4000), UnitSelection(CONFIG, BANDS, DIMS, ("ann",))
    with caplog.at_level(logging.WARNING, "vc"):
        fit(network, UnitSelectionObjective(minutes=1), {"ann": target})
    assert "ann: objective.minutes: 0.9 of 1.9 minutes are held, spread over all" in caplog.text
    units = network.units[0]
    assert 60 * 86 - 860 < len(units.log_mel) <= 60 * 86 and len(units.recording.unique()) > 5
    caplog.clear()
    fit(network, UnitSelectionObjective(minutes=2), {"ann": target})
    assert not caplog.text and len(network.units[0].log_mel) == 10000


def test_a_minute_takes_six_megabytes():
    units = Units(80, 512)
    frame = sum(buffer[0].numel() * buffer.element_size() for name, buffer in units.named_buffers() if name != "louder")
    assert round(frame * 60 * MelFeatures().frame_rate / 1e6) == 6


def test_minutes_are_bounded():
    for minutes in (0.5, 31.0):
        with pytest.raises(ConfigError, match=r"objective.minutes must be in 1..30"):
            UnitSelectionObjective(minutes)


# The commands


@pytest.fixture(scope="module")
def dump(content):
    return read_features(content / "dump/train")


@pytest.fixture(scope="module")
def one(content, tmp_path_factory) -> Path:
    """An experiment directory: rms alone, by the command."""
    output = tmp_path_factory.mktemp("one") / "exp"
    known = ("--method", "unit_selection", "--features", content / "dump/train", "--target", "rms")
    extra = ("--held-out", content / "dump/held_out", "--validation", content / "data/held_out")
    done = command("train", *known, *extra, "--output", output)
    assert done.stdout.decode().startswith(f"{output}/model.safetensors: fitted, after ")
    return output


@pytest.fixture(scope="module")
def two(content, tmp_path_factory) -> Path:
    """An experiment directory: slt and rms."""
    output = tmp_path_factory.mktemp("two") / "exp"
    assert train(request(content, output, "slt", "rms")) == 1
    return output


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return audio.read(SPEECH, MelFeatures().sample_rate)[0]


def request(content: Path, output: Path, *speakers: str) -> Request:
    sections = read_sections(None, ["method=unit_selection"])
    return Request(content / "dump/train", speakers, output=output, sections=sections, device="cpu")


def converter(path: Path) -> Converter:
    return Converter.load(path, vocoder="world")


def test_a_model_says_the_targets_recordings_as_they_are(two, dump):
    """From features through the file: content at log-mel's frames, prosody, and both normalisations."""
    made = converter(two)
    for name in ("slt", "rms"):
        for content, f0, log_mel in zip(dump.content(name), dump.f0(name), dump.frames(name)):
            np.testing.assert_allclose(made.resynthesise(content, f0, log_mel, name), log_mel, atol=0.01)


def test_the_command_fits_scores_converts_and_does_it_once(one, content, dump):
    [line] = [json.loads(line) for line in (one / "log.jsonl").read_text().splitlines() if "held_out" in line]
    made = converter(one)
    assert made.model.metrics == line["held_out"] and made.direction() == (None, "rms")
    assert len(list((one / "samples").glob("*.wav"))) == 2
    assert len(made.network.units[0].log_mel) == sum(map(len, dump.frames("rms")))
    known = ("--method", "unit_selection", "--features", content / "dump/train", "--target", "rms")
    assert "nothing to do" in command("train", *known, "--output", one).stderr.decode()


def test_the_same_recordings_make_the_same_file(content, two, tmp_path):
    train(request(content, tmp_path / "exp", "slt", "rms"))
    assert (tmp_path / "exp/model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


def test_a_recording_of_anyone_is_converted_by_the_command(one, speech, tmp_path):
    command("convert", "--model", one, "--vocoder", "world", SPEECH, "--output", tmp_path / "as_rms.wav")
    converted, rate = audio.read(tmp_path / "as_rms.wav")
    assert rate == 22050 and len(converted) == len(speech) and np.isfinite(converted).all()
    np.testing.assert_allclose(converted, converter(one).convert(speech, 22050), atol=2**-12)


@pytest.mark.parametrize("samples", [1, 300, 40001])
def test_the_output_is_finite_and_as_long_as_the_input(samples, one, speech):
    converted = converter(one).convert(np.resize(speech, samples), 22050)
    assert converted.shape == (samples,) and np.isfinite(converted).all()


def test_a_recording_in_pieces_is_close_to_the_whole(two):
    spoken = np.concatenate([audio.read(path, 22050)[0] for path in sorted((CORPUS / "eval/slt").iterdir())[:2]])
    made = converter(two)
    whole = made.convert(spoken, 22050, to="rms", source="slt")
    blocks = made.convert_stream(np.array_split(spoken, 50), to="rms", source="slt", longest=1.5)
    joined = np.concatenate(list(blocks))
    assert len(joined) == len(whole) == len(spoken)
    log_mels = [MelFeatures().analyse(each, None).spectrum for each in (whole, joined)]
    difference = np.abs(log_mels[1] - log_mels[0] - np.median(log_mels[1] - log_mels[0]))
    loud = log_mels[0].mean(axis=1) > log_mels[0].mean(axis=1).max() - 3
    assert difference[loud].mean() < 0.5


def test_it_takes_no_steps(content, tmp_path):
    told = estimate(request(content, tmp_path, "rms"))
    assert told == "rms: a minute at most for an hour of each (unit_selection takes no steps)"


def without(name: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: each for key, each in weights.items() if key != f"units.0.{name}"}


def changed(name: str, value: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return weights | {f"units.0.{name}": value}


HOSTILE = {
    "no log-mel": partial(without, "log_mel"),
    "no content": partial(without, "content"),
    "fewer contents than log-mels": partial(changed, "content", torch.zeros(3, 12, dtype=torch.float16)),
    "content of other dims": partial(changed, "content", torch.zeros(3, 11, dtype=torch.float16)),
    "no frames": partial(changed, "log_mel", torch.zeros(0, 80, dtype=torch.float16)),
    "a number in place of frames": partial(changed, "log_mel", torch.tensor(1.0, dtype=torch.float16)),
    "another type": partial(changed, "recording", torch.zeros(3)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_model_that_does_not_fit_itself_is_refused_in_one_line(what, one, tmp_path):
    weights, content = read_tensors(one / "model.safetensors")
    path = forged(tmp_path / "m", content, HOSTILE[what](weights))
    with pytest.raises(ConfigError) as refused:
        converter(path)
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)


def test_the_model_that_is_not_changed_is_taken(one, tmp_path):
    weights, content = read_tensors(one / "model.safetensors")
    assert converter(forged(tmp_path / "m", content, weights)).speakers == ("rms",)
    assert model_file.read(one)[0].method == "unit_selection"
