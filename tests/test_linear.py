"""Laws of the methods that are fitted at once: alignment by neighbours and in time, `warp`, `nearest`, `parallel`."""

import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import CORPUS, ROOT, command
from torch import nn

from vc import metrics, model_file
from vc.convert.converter import Converter
from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.features.mel_cepstrum import warping_matrix
from vc.features.speakers import MeanVariance, Speaker
from vc.features.store import read_features
from vc.features.world import WorldConfig
from vc.live.linear import LinearModel
from vc.models import build_converter, network_config
from vc.models.linear import FactorisedConfig, LinearMap, NearestConfig, WarpConfig
from vc.train import alignment
from vc.train import linear as fitting
from vc.train.alignment import Aligner, SentenceAligner, SpeakerFrames, nearest_neighbours
from vc.train.converter import train
from vc.train.plan import InitialModel, Request

PAIR = ("slt", "rms")


def made_up(random, lengths=(300, 1, 700), bands=5) -> SpeakerFrames:
    """Random walks that return: frames that move."""
    utterances = []
    for length in lengths:
        steps = random.standard_normal((length + 50, bands))
        frames = np.stack([np.convolve(band, 0.9 ** np.arange(50), "valid")[:length] for band in steps.T], 1)
        utterances.append(frames * np.where(np.arange(bands), 1, 0.3))  # c0 moves by less than silence lies below it
    return voice(utterances)


def voice(utterances) -> SpeakerFrames:
    return SpeakerFrames.from_utterances(
        utterances, MeanVariance().fit(utterances), torch.device("cpu"), WorldConfig(16000)
    )


def fitted(mini, output, method: str, *more: object):
    """The experiment directory of a method that is fitted to features of the mini corpus."""
    config = output.parent / f"{method}.yaml"
    config.write_text(f"method: {method}\n")
    pair = ("--source", "slt", "--target", "rms", "--output", output)
    return command("train", "--config", config, "--features", mini / "dump/train", *pair, *more)


def test_neighbours_are_those_of_all_distances(random):
    one, other = (torch.from_numpy(random.standard_normal((rows, 7))) for rows in (3000, 200))
    indices, squares = nearest_neighbours(one, other)
    distances = torch.cdist(one, other)
    assert torch.equal(indices, distances.argmin(1))
    torch.testing.assert_close(squares, distances.amin(1) ** 2)


def test_neighbours_are_the_same_however_many_at_once(random, monkeypatch):
    one, other = (torch.from_numpy(random.standard_normal((rows, 7))) for rows in (300, 200))
    whole = nearest_neighbours(one, other)
    monkeypatch.setattr(alignment, "MAX_ENTRIES", 150)  # less than one row
    torch.testing.assert_close(nearest_neighbours(one, other), whole)


def test_a_context_is_what_a_convolution_sees(random):
    spoken, regression = made_up(random), nn.Conv1d(5, 3, 9, padding=4, padding_mode="replicate")
    places = torch.arange(len(spoken.frames))
    seen = spoken.contexts(places, range(-4, 5))
    expected = seen @ regression.weight.permute(2, 1, 0).flatten(0, 1) + regression.bias
    torch.testing.assert_close(fitting.map_frames(regression, spoken).frames, expected)


def test_places_are_audible_and_as_many_as_asked_for(random):
    spoken = made_up(random)
    assert spoken.audible[spoken.sample(100)].all() and len(spoken.sample(100).unique()) == 100
    assert torch.equal(spoken.sample(10**6), torch.nonzero(spoken.audible)[:, 0])


def test_a_recording_of_background_alone_is_not_heard(random):
    speech, quiet = ([random.standard_normal((50, 5)) for _ in range(3)] for _ in "ab")
    background = random.standard_normal((70, 5)) - [8, 0, 0, 0, 0]  # 8 of c0 are 69 dB
    alone, beside = voice(speech), voice([*speech, background])
    assert torch.equal(beside.audible[:150], alone.audible) and not beside.audible[150:].any()
    assert not beside.spoken[150:].any() and beside.spoken[:150].any()
    assert voice([frames - [8, 0, 0, 0, 0] for frames in quiet]).audible.any()  # one who whispers throughout is heard


@pytest.mark.parametrize("stride", [4, 5, 40])
def test_a_voice_is_aligned_with_itself(stride, random):
    spoken = made_up(random)
    one, other, distance = Aligner(stride=stride).pairs(spoken, spoken)
    assert torch.equal(one, other) and distance == pytest.approx(0, abs=1e-3)


def test_frames_that_are_compared_are_the_frame_itself_and_as_many_on_either_side(monkeypatch, random):
    spoken, offsets = made_up(random), []
    contexts = SpeakerFrames.contexts
    monkeypatch.setattr(SpeakerFrames, "contexts", lambda *args: offsets.append([*args[2]]) or contexts(*args))
    for stride in (4, 5, 40):
        Aligner(reach=16, stride=stride).pairs(spoken, spoken)
    assert offsets[::2] == [[-16, -12, -8, -4, 0, 4, 8, 12, 16], [-15, -10, -5, 0, 5, 10, 15], [0]]


def test_alignment_knows_no_order(random):
    source, target = made_up(random), made_up(random)
    there, back = Aligner().pairs(source, target), Aligner().pairs(target, source)
    assert {*zip(*map(torch.Tensor.tolist, there[:2]))} == {*zip(*map(torch.Tensor.tolist, back[1::-1]))}
    assert there[2] == pytest.approx(back[2], rel=1e-5)


def test_regression_finds_the_map_that_made_the_frames(random):
    spoken, truth, found = made_up(random), *(nn.Conv1d(5, 5, 3, padding=1, padding_mode="replicate") for _ in "ab")
    places = torch.arange(len(spoken.frames))
    fitting.fit_regression(found, spoken, places, fitting.map_frames(truth, spoken).frames, ridge=0)
    torch.testing.assert_close(found.weight, truth.weight, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.bias, truth.bias, atol=1e-4, rtol=0)


def test_spread_gives_means_and_deviations_of_the_target(random):
    source, target = made_up(random), made_up(random)
    once = fitting.match_moments(replace(source, frames=0.1 * source.frames + 3), target)
    own, theirs = once.frames[source.audible], target.frames[target.audible]
    torch.testing.assert_close((own.mean(0), own.std(0)), (theirs.mean(0), theirs.std(0)), atol=1e-4, rtol=1e-4)


def test_movement_that_is_right_is_left_alone(random):
    spoken, linear = made_up(random), LinearMap(NearestConfig(), 5)
    fitting.set_filters(linear, 0.0, fitting.spectrum_gains(spoken, spoken))
    unfitted = LinearMap(NearestConfig(), 5).state_dict()
    torch.testing.assert_close(linear.state_dict(), unfitted)


def test_movement_that_was_smoothed_away_comes_back(random):
    spoken = made_up(random, (4000, 4000))
    smooth = nn.Conv1d(5, 5, 5, padding=2, groups=5, bias=False, padding_mode="replicate")
    nn.init.constant_(smooth.weight, 1 / 5)
    dull, linear = fitting.map_frames(smooth, spoken), LinearMap(NearestConfig(), 5)
    fitting.set_filters(linear, 0.0, fitting.spectrum_gains(dull, spoken))
    lively = fitting.map_frames(linear.movement, dull)
    lost, left = (decibels_apart(made, spoken) for made in (dull, lively))
    assert lost > 5 and left < 1.5


def parted(warp_gain: float, slow: float = 4.0) -> LinearMap:
    """The identity where movement is slow, `warp_gain` times it where it is fast."""
    linear = LinearMap(NearestConfig(), 5)
    fitting.set_matrix(linear.warp, warp_gain * torch.eye(5))
    fitting.set_filters(linear, slow)
    return linear


@pytest.mark.parametrize("slow", [0.0, 1.0, 4.0, 20.0])
def test_two_equal_maps_make_the_map_itself(slow, random):
    frames = torch.from_numpy(random.standard_normal((2, 5, 300))).float()
    torch.testing.assert_close(parted(1.0, slow)(frames), frames, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("period", "gain"), [(400, 1.0), (200, 1.0), (8, -3.0), (4, -3.0)])
def test_slow_movement_is_the_regressions_and_fast_movement_the_warps(period, gain):
    wave = torch.sin(2 * torch.pi * torch.arange(1600) / period).expand(1, 5, -1)
    inner = slice(100, -100)  # without the ends that are held
    torch.testing.assert_close(parted(-3.0)(wave)[..., inner], gain * wave[..., inner], atol=0.15, rtol=0)


def test_a_movement_of_nine_hertz_is_half_the_regressions_by_power():
    """At 200 frames a second, with the default `slow`."""
    linear = parted(0.0, fitting.NearestObjective().slow)
    wave = torch.sin(2 * torch.pi * 9 / 200 * torch.arange(1600)).expand(1, 5, -1)
    slow = linear(wave).detach()[..., 100:-100]
    assert float(slow.square().mean() / wave.square().mean()) == pytest.approx(0.5, abs=0.03)


def test_gains_are_those_of_both_ways(random):
    frames = torch.from_numpy(random.standard_normal((1, 5, 300))).float()
    linear = parted(1.0)
    fitting.set_filters(linear, 4.0, 2.5)
    torch.testing.assert_close(linear(frames), 2.5 * frames, atol=1e-5, rtol=0)


def test_a_model_without_the_second_map_converts_as_it_did(random):
    fitted = LinearMap(NearestConfig(), 5)
    fitting.set_filters(fitted, 0.0, torch.from_numpy(random.uniform(0.5, 2, (fitting.WINDOW // 2 + 1, 5))))
    old = {name: weights for name, weights in fitted.state_dict().items() if not name.startswith(("warp", "detail"))}
    frames = torch.from_numpy(random.standard_normal((1, 5, 300))).float()
    loaded = parted(1.0)
    loaded.load_state_dict(old)
    assert torch.equal(loaded(frames), fitted.movement(fitted.regression(frames)))
    with pytest.raises(RuntimeError, match=r"Missing key.*detail\.weight"):
        loaded.load_state_dict({**old, "warp.weight": torch.zeros(5, 5, 1)})


def decibels_apart(one: SpeakerFrames, other: SpeakerFrames) -> float:
    low = slice(1, 200)  # at 80 Hz of 200 the box has a zero, from which nothing comes back
    return float((10 * (fitting.modulation_power(one) / fitting.modulation_power(other)).log10())[low].abs().mean())


def test_too_few_frames_for_a_modulation_spectrum_are_refused(random):
    network = build_converter("nearest", NearestConfig(), 5, ("anna", "bert"))
    voices = {"anna": made_up(random), "bert": made_up(random, (300,))}
    with pytest.raises(DataError, match="bert: 300 frames are too few"):
        fitting.fit_nearest(network, fitting.NearestObjective(), voices)


def test_a_regression_without_a_single_solution_is_refused(random):
    spoken, regression = made_up(random), LinearMap(NearestConfig(), 5).regression
    twins = replace(spoken, frames=spoken.frames[:, [0, 0, 1, 2, 3]])
    with pytest.raises(DataError, match=r"objective\.ridge above 0"):
        fitting.fit_regression(regression, twins, torch.arange(1001), spoken.frames, ridge=0)


@pytest.mark.parametrize("cepstral", [True, False])
def test_a_voice_of_far_fewer_frames_is_fitted_and_progress_shown(cepstral, random, monkeypatch):
    shares = []

    @contextlib.contextmanager
    def progress(total, _):
        yield SimpleNamespace(update=lambda share: shares.append(share / total))

    monkeypatch.setattr(fitting, "progress", progress)
    network = build_converter("nearest", NearestConfig(), 5, ("anna", "bert"))
    voices = {"anna": made_up(random, (1, 600)), "bert": made_up(random, (9000, 9000))}
    voices = {name: replace(frames, cepstral=cepstral) for name, frames in voices.items()}
    fitting.fit_nearest(network, fitting.NearestObjective(), voices)
    assert all(weight.isfinite().all() for weight in network.state_dict().values())
    assert network.maps["to_target"].warp.weight.any() == cepstral  # of log-mel, all movement is the regression's
    assert sum(shares) == pytest.approx(1) and len(shares) == (66 if cepstral else 4)


@pytest.mark.parametrize("tried", [1, 30, 1001])
def test_constants_that_leave_no_warp_out_are_refused(tried):
    with pytest.raises(ConfigError, match=f"objective.tried must be odd and in 3..999, got {tried}"):
        fitting.WarpObjective(tried=tried)


@pytest.mark.parametrize("constant", [-0.08, 0.05])
def test_warp_finds_the_constant_that_was_used(constant, mini):
    utterances = read_features(mini / "dump/train").frames("slt")
    matrix = warping_matrix(24, 24, constant)
    voices = {"slt": voice(utterances[:8]), "other": voice([frames @ matrix for frames in utterances[8:16]])}
    network = build_converter("warp", WarpConfig(), 25, ("slt", "other"))
    fitting.fit_warp(network, fitting.WarpObjective(tried=31), voices)
    there, back = (network.maps[name].regression.weight.detach()[..., 0].T for name in ("to_target", "to_source"))
    grid = np.linspace(-0.15, 0.15, 31)
    assert abs(chosen(there, voices["slt"], grid) - constant) < 0.021
    assert abs(chosen(back, voices["other"], grid) + constant) < 0.021


def chosen(matrix: torch.Tensor, spoken: SpeakerFrames, grid: np.ndarray) -> float:
    return grid[np.argmin([float((fitting.warp_matrix(spoken, constant) - matrix).abs().max()) for constant in grid])]


# Many speakers.

QUICK = fitting.NearestObjective(frames=200, passes=1, slow=1.0)
THREE = ("anna", "bert", "cyd")


def fit(method: str, voices: dict, known: nn.Module | None = None, objective=QUICK, **settings) -> nn.Module:
    """A model of `voices` that begins from a known model of the first of them."""
    network = build_converter(method, network_config(method, {"context": 1, "reach": 8} | settings), 5, tuple(voices))
    if known is not None:
        InitialModel(Path(), None, known.state_dict(), adds_speakers=True).initialise(network)
    {"nearest": fitting.fit_nearest, "factorised": fitting.fit_factorised}[method](network, objective, voices)
    return network.eval()


@pytest.fixture
def three(random) -> dict[str, SpeakerFrames]:
    return {name: made_up(random, (400, 300)) for name in THREE}


def test_of_three_speakers_each_direction_is_as_in_a_pair(three):
    whole, x = fit("nearest", three), torch.randn(1, 5, 40)
    for pair in (("anna", "bert"), ("cyd", "anna")):
        alone = fit("nearest", {name: three[name] for name in pair})
        for direction in (pair, pair[::-1]):
            assert torch.equal(whole.convert(x, *direction), alone.convert(x, *direction))


@pytest.mark.parametrize("method", ["nearest", "factorised"])
def test_a_voice_is_added_and_all_others_stay_as_they_are(method, three):
    settings = {"rank": 4} if method == "factorised" else {}
    two = fit(method, {name: three[name] for name in THREE[:2]}, **settings)
    grown, x = fit(method, three, two, **settings), torch.randn(1, 5, 40)
    assert all(weights.equal(grown.state_dict()[name]) for name, weights in two.state_dict().items())
    assert torch.equal(grown.convert(x, *THREE[:2]), two.convert(x, *THREE[:2]))
    converted = [grown.convert(x, "cyd", name) for name in THREE[:2]]
    assert all(each.isfinite().all() and each.std() > 0.1 for each in converted)
    if method == "nearest":
        assert torch.equal(grown.convert(x, "bert", "cyd"), fit(method, three).convert(x, "bert", "cyd"))


@pytest.mark.parametrize("rank", [1, 3])
def test_a_regression_through_a_space_has_its_rank_and_two_maps_a_speaker(rank, three):
    network = fit("factorised", three, rank=rank)
    for source, target in ((0, 1), (2, 0)):
        inward, outward = network.parts[source].inward.weight, network.parts[target].outward.weight[..., 0]
        assert torch.linalg.matrix_rank(outward @ inward.flatten(1)) == rank
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in build_converter("factorised", FactorisedConfig(), 35, names).parameters())
            for names in (THREE[:2], THREE)
        ]
    a_speaker = 35 * 24 * 9 + 24 + 24 * 35 + 35 + 2 * 35 * 35 + 2 * 35 * 129
    assert sizes == [2 * a_speaker, 3 * a_speaker]


def test_of_one_voice_under_several_names_a_space_of_all_bands_keeps_all(three):
    voices = dict.fromkeys(THREE, three["anna"])
    objective = replace(QUICK, slow=0.0, ridge=0.0, frames=700)
    network = fit("factorised", voices, objective=objective, rank=5)
    part, frames = network.parts, three["anna"].frames.T[None]
    torch.testing.assert_close(part[2].outward(part[1].inward(frames)), frames, atol=1e-3, rtol=0)
    with pytest.raises(ConfigError, match=r"network\.rank must be at most 15"):
        fit("factorised", voices, rank=16)


def test_live_conversion_of_three_speakers_has_each_directions_map(three):
    network = fit("nearest", three)
    speakers = {name: Speaker([0.0] * 5, [1.0] * 5, 5.0, 0.2, 80.0, 300.0, 1, 100) for name in THREE}
    model = model_file.Model("nearest", WorldConfig(16000, order=4), {}, speakers, 1, "digest")
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    frames = np.random.default_rng(0).standard_normal((60, 5))
    for pair in (("anna", "cyd"), ("cyd", "bert"), ("bert", "anna")):
        live, wanted = LinearModel(model, weights).frame_map(*pair, 9), network.convert
        converted = [live.push(frame)[1] for frame in frames]
        whole = wanted(torch.from_numpy(frames).float().T[None], *pair)[0].T.detach().numpy()
        assert np.allclose(np.array(converted)[39:, 1:], whole[30:51, 1:], atol=1e-4)


def test_an_unknown_source_is_added_from_the_recordings_at_hand(three_dump, tmp_path):
    """kal is slt under another name: what is made of one is made of the other."""
    quick = ("--set", "objective.frames=200", "--set", "objective.tried=3")
    known = ("--method", "warp", "--features", three_dump, *quick)
    command("train", *known, "--speakers", "slt", "rms", "--output", tmp_path / "two")
    more = ("--add-to", tmp_path / "two", "--speakers", "slt", "rms", "kal")
    command("train", *known, *more, "--output", tmp_path / "three")
    two, three = (Converter.load(tmp_path / name) for name in ("two", "three"))
    frames = read_features(three_dump).frames("kal")[0]
    wanted = two.convert_frames(frames, "slt", "rms")
    assert np.array_equal(three.convert_frames(frames, "slt", "rms"), wanted)
    assert np.array_equal(three.convert_frames(frames, "kal", "rms"), wanted)


# Shared sentences.


def named(spoken: SpeakerFrames, *sentences: str) -> SpeakerFrames:
    return replace(spoken, sentences=sentences)


def slower(spoken: SpeakerFrames) -> SpeakerFrames:
    """The same speech at half the rate."""
    twice = {name: getattr(spoken, name).repeat_interleave(2, 0) for name in ("frames", "audible", "spoken")}
    return replace(spoken, **twice, lengths=[2 * length for length in spoken.lengths])


def test_a_sentence_said_slower_is_aligned_frame_by_frame_wherever_it_stands(random):
    spoken = made_up(random, (80, 120))
    later = made_up(random, (60,))  # before it, and of another name
    other = slower(spoken)
    joined = {name: torch.cat([getattr(later, name), getattr(other, name)]) for name in ("frames", "audible", "spoken")}
    other = named(replace(other, **joined, lengths=[60, 160, 240]), "x", "1", "2")
    source, target, distance = SentenceAligner().pairs(named(spoken, "1", "2"), other)
    assert torch.equal((target - 60) // 2, source) and distance == 0 and len(target.unique()) == len(target)
    assert len(target) == 2 * int(spoken.audible.sum())


def test_the_map_between_shared_sentences_is_found_and_they_may_be_few(random):
    spoken = named(made_up(random, (600, 500)), "1", "2")
    truth = nn.Conv1d(5, 5, 1)
    other = slower(fitting.map_frames(truth, spoken))
    indices, partners, _ = SentenceAligner().pairs(fitting.map_frames(truth, spoken), other)
    regression = nn.Conv1d(5, 5, 1)
    fitting.fit_regression(regression, spoken, indices, other.frames[partners], ridge=0)
    torch.testing.assert_close(regression.weight, truth.weight, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("4", "5", "6"), "share no sentence, by the names of their utterances: method parallel"),
        (("2", "3", "1"), "utterances of equal names, such as 1, do not say the same"),
    ],
)
def test_speakers_who_share_no_sentence_are_not_aligned_in_time(names, message, random):
    spoken = named(made_up(random, (100, 100, 100)), "1", "2", "3")
    network = build_converter("parallel", NearestConfig(), 5, ("anna", "bert"))
    voices = {"anna": spoken, "bert": named(slower(spoken), *names)}
    with pytest.raises(DataError, match=message):
        fitting.fit_parallel(network, fitting.ParallelObjective(), voices)


def test_parallel_learns_from_shared_sentences_and_refuses_others_in_one_line(mini, tmp_path):
    words = ("--method", "parallel", "--source", "slt", "--target", "rms", "--output", tmp_path / "exp")
    said = command("train", *words, "--features", mini / "dump/train", check=1).stderr.decode()
    assert said.splitlines()[-1].startswith("vc-train: error: the speakers share no sentence")
    assert not (tmp_path / "exp/config.yaml").exists()
    features, voices = read_features(mini / "dump/eval"), {}
    for name in PAIR:
        assert SpeakerFrames.read(features, name, torch.device("cpu")).sentences == features.sentences(name)
        few = features.frames(name)[:3], features.speakers[name].normaliser, torch.device("cpu"), features.config
        voices[name] = named(SpeakerFrames.from_utterances(*few), *features.sentences(name)[:3])
    network, aligner = build_converter("parallel", NearestConfig(), 25, PAIR), SentenceAligner()
    fitting.fit_parallel(network, fitting.ParallelObjective(passes=1), voices)
    for source, target in (PAIR, PAIR[::-1]):
        converted = fitting.map_frames(lambda x, pair=(source, target): network.convert(x, *pair), voices[source])
        before, after = (aligner.pairs(each, voices[target])[2] for each in (voices[source], converted))
        assert after < 0.85 * before


@pytest.mark.parametrize(("method", "gain"), [("warp", 0.05), ("nearest", 0.8)])
def test_fitted_methods_beat_means_and_variances(method, gain, mini, held_out_dump, tmp_path):
    quick = ("--set", "objective.tried=31") if method == "warp" else ()
    done = fitted(mini, tmp_path / "exp", method, "--held-out", held_out_dump, *quick)
    assert done.stdout.decode().startswith(f"{tmp_path}/exp/model.safetensors: fitted, after ")
    made = Converter.load(tmp_path / "exp")
    evaluation = read_features(mini / "dump/eval")
    spoken = {name: evaluation.frames(name)[:4] for name in PAIR}
    for source, target in (PAIR, PAIR[::-1]):
        moved = distortion(made.mean_variance(), spoken, source, target)
        assert distortion(made, spoken, source, target) < moved - gain
    assert set(model_file.read(tmp_path / "exp")[0].metrics) == {
        "score",
        "mcd",
        "msd",
        "held_out_frechet_distance",
        "held_out_content_lost",
    }


def distortion(made: Converter, spoken: dict, source: str, target: str) -> float:
    pairs = zip(spoken[source], spoken[target])
    return np.mean([metrics.mel_cepstral_distortion(made.convert_frames(a, source, target), b) for a, b in pairs])


def test_means_and_variances_alone_are_a_model_too(mini, tmp_path, random):
    fitted(mini, tmp_path / "exp", "mean_variance")
    made, frames = Converter.load(tmp_path / "exp"), random.standard_normal((50, 25))
    moved = made.mean_variance().convert_frames(frames, *PAIR)
    assert np.array_equal(made.convert_frames(frames, *PAIR), moved)
    source, target = (made.model.speakers[name].normaliser for name in PAIR)
    wanted = (frames - source.mean_) / source.deviation_ * target.deviation_ + target.mean_
    np.testing.assert_allclose(moved, np.column_stack([frames[:, 0], wanted[:, 1:]]), atol=1e-5)


def test_the_same_fit_makes_the_same_file_and_is_done_once(mini, tmp_path):
    quick = ("--set", "objective.frames=500", "--set", "objective.passes=1")
    for name in ("one", "other"):
        fitted(mini, tmp_path / name, "nearest", *quick)
    one, other = (model_file.read(tmp_path / name)[1] for name in ("one", "other"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert "nothing to do" in fitted(mini, tmp_path / "one", "nearest", *quick).stderr.decode()
    other_settings = fitted_badly(mini, tmp_path / "one", "objective.frames=501")
    assert "objective.frames (500 -> 501)" in other_settings


def fitted_badly(mini, output, change: str) -> str:
    (output.parent / "nearest.yaml").write_text("method: nearest\n")
    pair = ("--source", "slt", "--target", "rms", "--output", output, "--set", change)
    words = ("--config", output.parent / "nearest.yaml", "--features", mini / "dump/train", *pair)
    return command("train", *words, check=2).stderr.decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("objective.passes=0", "objective.passes must be 1 or more, got 0"),
        ("objective.slow=-1", "objective.slow must be 0 or more, got -1"),
        ("objective.slow=22", "objective.slow must be at most network.reach / 3, 21.3333, got 22"),
        ("objective.cycle_consistency=1", "objective: unknown key cycle_consistency"),
        ("network.context=99", "network.context must be in 0..50 frames, got 99"),
        ("network.reach=256", "network.reach must be in 0..255 frames, got 256"),
    ],
)
def test_wrong_settings_are_refused_by_name(change, message, mini, tmp_path):
    assert message in fitted_badly(mini, tmp_path / "exp", change)


def test_what_cannot_be_fitted_leaves_no_settings_behind(dump, tmp_path):
    request = Request(dump, ("ann", "bob"), output=tmp_path / "exp", sections={"method": "nearest"})
    with pytest.raises(DataError, match="40 frames are too few to learn from"):
        train(request)
    assert train(replace(request, sections={"method": "mean_variance"})) == 1


def test_an_estimate_of_a_fit_takes_no_steps(mini, tmp_path):
    done = fitted(mini, tmp_path / "exp", "nearest", "--estimate")
    assert done.stdout.decode() == "slt-rms: a minute at most for an hour of each (nearest takes no steps)\n"
    assert b"warning" not in done.stderr
    done = fitted(mini, tmp_path / "exp", "nearest", "--estimate", "--set", "training.steps=100")
    assert b"vc-train: warning: training.steps: no effect, since nearest takes no steps\n" in done.stderr
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    ("text", "refusal"),
    [("method: nearest\ntraining: 3", "training: expected a mapping"), ("method: [a]", "method: unknown")],
)
def test_settings_of_another_shape_are_refused_in_one_line(text, refusal, mini, tmp_path):
    (tmp_path / "odd.yaml").write_text(text)
    pair = ("--features", mini / "dump/train", "--source", "slt", "--target", "rms", "--output", tmp_path / "exp")
    [line] = command("train", "--config", tmp_path / "odd.yaml", *pair, check=2).stderr.decode().splitlines()
    assert line.startswith(f"vc-train: error: {refusal}")


@pytest.mark.parametrize("method", ["warp", "nearest", "parallel"])
def test_unfitted_maps_are_the_identity_and_keep_the_frames(method):
    network = build_converter(method, network_config(method, {}), 25, PAIR)
    for frames in (1, 2, 300):
        x = torch.randn(2, 25, frames)
        torch.testing.assert_close(network.convert(x, *PAIR), x)
    with pytest.raises(ConfigError, match="two speakers or more are needed, got 1"):
        build_converter(method, network_config(method, {}), 25, ("a",))


def test_the_model_in_the_repository_converts_both_ways_nearer_than_means_and_variances():
    carried = Converter.load(ROOT / "egs/mini/model.safetensors")
    config = carried.model.features
    for source, target in (("slt", "rms"), ("rms", "slt")):
        spoken, wanted = (
            config.extract(
                audio.read(CORPUS / f"eval/{name}/101.flac", config.sample_rate)[0],
                carried.model.speakers[name].f0_range,
            )[1]
            for name in (source, target)
        )
        far, near = (
            metrics.mel_cepstral_distortion(each.convert_frames(spoken, source, target), wanted)
            for each in (carried.mean_variance(), carried)
        )
        assert near < far - 1.5  # dB
