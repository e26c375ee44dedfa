"""Mel-cepstrum, F0 and WORLD against independent implementations and round trips."""

import functools

import numpy as np
import pytest
from conftest import CORPUS, vowel

from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.features import mel_cepstrum, world
from vc.features.base import Frames
from vc.features.f0 import (
    SMALLEST_DEVIATION,
    WHISPER,
    F0Options,
    F0Range,
    F0Statistics,
    F0Track,
    LogF0,
    f0_statistics,
    map_f0,
)
from vc.features.speakers import MeanVariance, speakers_from_json, speakers_to_json, summarise
from vc.features.speech import speech
from vc.features.world import WorldConfig
from vc.vocoders.world import WORLD

CONFIG = WorldConfig(16000)
RATES = sorted(mel_cepstrum.SETTINGS)


def envelopes(random: np.random.Generator, bins: int = 513) -> np.ndarray:
    return np.exp(np.cumsum(random.standard_normal((20, bins)), axis=1) * 0.1)


@pytest.mark.parametrize("rate", RATES)
def test_mel_cepstrum_equals_sptk(rate, random):
    pysptk = pytest.importorskip("pysptk")
    order, warping = mel_cepstrum.SETTINGS[rate]
    envelope = envelopes(random)
    ours = mel_cepstrum.from_envelope(envelope, order, warping)
    theirs = np.array([pysptk.sp2mc(row, order, warping) for row in envelope])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    back = np.array([pysptk.mc2sp(row, warping, 1024) for row in theirs])
    np.testing.assert_allclose(np.log(mel_cepstrum.to_envelope(ours, warping, 513)), np.log(back), atol=1e-6)


def test_full_order_without_warping_is_a_round_trip(random):
    envelope = envelopes(random, bins=65)
    cepstrum = mel_cepstrum.from_envelope(envelope, 64, 0.0)
    np.testing.assert_allclose(mel_cepstrum.to_envelope(cepstrum, 0.0, 65), envelope, rtol=1e-9)


def test_a_smooth_envelope_survives_the_mel_cepstrum(random):
    given = random.standard_normal((10, 25)) * 0.1
    envelope = mel_cepstrum.to_envelope(given, 0.42, 513)
    np.testing.assert_allclose(mel_cepstrum.from_envelope(envelope, 24, 0.42), given, atol=1e-3)


def test_louder_speech_moves_c0_alone(random):
    envelope = envelopes(random)
    change = mel_cepstrum.from_envelope(100 * envelope, 24, 0.42) - mel_cepstrum.from_envelope(envelope, 24, 0.42)
    np.testing.assert_allclose(change[:, 0], np.log(100) / 2, atol=1e-9)
    np.testing.assert_allclose(change[:, 1:], 0, atol=1e-9)


@pytest.mark.parametrize("rate", RATES)
def test_fft_size_is_worlds(rate):
    import pyworld

    assert WorldConfig(rate).fft_size == pyworld.get_cheaptrick_fft_size(rate, world.FFT_FLOOR)


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("method", world.F0_METHODS)
def test_analysis_and_synthesis_keep_length_and_pitch(rate, method):
    config = WorldConfig(rate, f0_method=method)
    samples = vowel(0.7, rate, f0=150.0)
    frames = config.analyse(samples, F0Range(70, 400))
    assert len(frames.f0) == len(frames.spectrum) == len(frames.aperiodicity)
    assert frames.spectrum.shape[1] == config.bands and frames.aperiodicity.shape[1] == config.bins
    voiced = frames.f0[frames.f0 > 0]
    assert len(voiced) > 0.7 * len(frames.f0) and np.median(voiced) == pytest.approx(150, rel=0.01)
    again = WORLD.synthesise(frames, config)
    assert abs(len(again) - len(samples)) <= 0.02 * rate and np.isfinite(again).all()
    f0, extracted = config.extract(samples, F0Range(70, 400))
    np.testing.assert_array_equal(extracted, frames.spectrum)
    np.testing.assert_array_equal(f0, frames.f0)


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 48000])
def test_the_envelope_of_a_low_voice_is_that_of_a_longer_window(rate):
    """CheapTrick takes an F0 that its FFT cannot resolve for unvoiced, and smooths with a window for 500 Hz."""
    import pyworld

    samples = vowel(1.0, rate, f0=60.0).astype(np.float64)
    config = WorldConfig(rate, f0_method="dio")
    f0, ours = config.extract(samples, F0Range(50, 200))
    _, times = config.estimate_f0(samples, F0Range(50, 200))
    long = pyworld.cheaptrick(samples, f0, times, rate, fft_size=8192)
    theirs = mel_cepstrum.from_envelope(long, config.order, config.warping)
    distance = 6.1418 * np.sqrt(np.square(ours - theirs)[20:-20, 1:].sum(axis=1)).mean()
    assert distance < 3.5  # 6 to 9 dB where the low voice is taken for unvoiced


@pytest.mark.parametrize("rate", [16000, 22050, 48000])
def test_noise_has_the_steadier_envelope_the_longer_the_window(rate, random):
    import pyworld

    noise = 0.1 * random.standard_normal(2 * rate)
    configs = [WorldConfig(rate, f0_method="dio", unvoiced_f0=f0) for f0 in (500.0, 250.0, 150.0)]
    f0, frames = zip(*(config.extract(noise, F0Range(100, 400)) for config in configs))
    moved = [one[f0[0] == 0, :5].std(axis=0).mean() for one in frames]
    assert 0.85 * moved[0] > moved[1] and 0.85 * moved[1] > moved[2]
    default, times = configs[0], np.arange(len(f0[0])) * 0.005
    theirs = pyworld.cheaptrick(noise, f0[0], times, rate, fft_size=default.fft_size)  # 0: WORLD's own 500 Hz
    np.testing.assert_array_equal(frames[0], mel_cepstrum.from_envelope(theirs, default.order, default.warping))


def test_restored_power_is_the_sources_where_it_changes_slowly(random):
    config = WorldConfig(16000)
    steady, bent = np.repeat(random.standard_normal((2, 1, 25)), 400, axis=1)
    restored = config.restore_power(bent, steady)
    power = [mel_cepstrum.to_envelope(frames, config.warping, config.bins).sum(axis=1) for frames in (restored, steady)]
    np.testing.assert_allclose(*power)
    np.testing.assert_array_equal(restored[:, 1:], bent[:, 1:])
    np.testing.assert_allclose(config.restore_power(steady, steady), steady)


def test_copies_of_noise_move_less_by_a_longer_window(random):
    """Noise shaped by what noise happened to be moves twice; the window takes most of that away."""
    rate, noise = 16000, 0.1 * random.standard_normal(32000)
    moved = []
    for unvoiced_f0 in (500.0, 150.0):
        config = WorldConfig(rate, f0_method="dio", unvoiced_f0=unvoiced_f0)
        copy = WORLD.copy(noise, config, F0Range(100, 400))
        power = np.square(copy[1600:30400]).reshape(-1, 80).mean(axis=1)  # every 5 ms
        moved.append(np.log(power).std())
    own = np.log(np.square(noise).reshape(-1, 80).mean(axis=1)).std()
    assert moved[0] > 1.3 * own and moved[1] < 0.5 * (moved[0] + own)


def test_copy_synthesis_keeps_the_envelope():
    samples, rate = audio.read(CORPUS / "eval/slt/101.flac")
    config = WorldConfig(rate, f0_method="dio")
    frames = config.analyse(samples, F0Range(100, 400))
    again = config.analyse(WORLD.synthesise(frames, config), F0Range(100, 400))
    length = min(len(frames.f0), len(again.f0))
    distance = (frames.spectrum[:length] - again.spectrum[:length])[:, 1:]
    loud = frames.spectrum[:length, 0] > frames.spectrum[:, 0].max() - 3
    decibels = 6.1418 * np.sqrt((distance[loud] ** 2).sum(axis=1)).mean()
    assert decibels < 3.5  # unrelated speakers lie near 8


def pitch_track(f0: np.ndarray, periodicity: float = 0.95, power: float = 0.01) -> F0Track:
    """Of frames that are alike but for their F0."""
    same = np.ones(len(f0))
    return F0Track(f0, np.arange(len(f0)) * 0.005, periodicity * same * (f0 > 0), power * same)


def joined(*tracks: F0Track) -> F0Track:
    return F0Track(*(np.concatenate([vars(each)[name] for each in tracks]) for name in vars(tracks[0])))


def tracks(random, centre: float, octaves: float, errors: float) -> list[F0Track]:
    f0 = centre * 2 ** (random.standard_normal(4000) * octaves)
    wrong = random.random(4000) < errors
    return [pitch_track(np.where(wrong, f0 * random.choice([0.25, 2.5], 4000), f0))]


@pytest.mark.parametrize(("centre", "low", "high"), [(100, 60, 170), (210, 120, 360)])
def test_a_search_range_ignores_octave_errors(centre, low, high, random):
    clean, wrong = (f0_statistics(tracks(random, centre, 0.15, errors), CONFIG.frame_rate, "a") for errors in (0, 0.08))
    assert low < clean.f0_range.floor < centre < clean.f0_range.ceiling < high * 1.2
    for one, other in ((clean.f0_range, wrong.f0_range), (clean.log_f0, wrong.log_f0)):
        assert list(vars(one).values()) == pytest.approx(list(vars(other).values()), rel=0.1)


@pytest.mark.parametrize("gain", [1.0, 0.1])
def test_a_level_is_that_of_a_typical_recording_without_its_pauses(gain, random):
    speech = [gain * np.sin(2 * np.pi * 150 * np.arange(16000) / 16000) * a for a in (0.1, 0.2, 0.9)]
    padded = [np.concatenate([np.zeros(n), samples, np.zeros(n)]) for n, samples in zip((0, 16000, 4000), speech)]
    found = f0_statistics([CONFIG.track_f0(samples) for samples in padded], CONFIG.frame_rate, "a")
    assert found.level == pytest.approx(20 * np.log10(0.2 * gain / 2**0.5), abs=1)


@pytest.mark.parametrize("f0", [20.0, 24.0, 30.0, 1400.0, 1900.0])
def test_an_extreme_voice_is_in_its_search_range(f0):
    found = F0Statistics.of(np.full(50, f0)).f0_range
    assert found.floor <= f0 <= found.ceiling


@pytest.mark.parametrize(("speaker", "low", "high"), [("slt", 100, 300), ("rms", 50, 200)])
def test_a_search_range_of_real_recordings_holds_the_speaker(speaker, low, high):
    recordings = [audio.read(path)[0] for path in sorted((CORPUS / "eval" / speaker).glob("*.flac"))[:4]]
    found = f0_statistics([CONFIG.track_f0(samples) for samples in recordings], CONFIG.frame_rate, speaker).f0_range
    f0 = np.concatenate([CONFIG.estimate_f0(samples, F0Range(50, 600))[0] for samples in recordings])
    centre = np.median(f0[f0 > 0])
    assert low <= found.floor < centre / 1.2 and centre * 1.2 < found.ceiling <= high * 1.3


def test_silence_tells_no_range():
    with pytest.raises(DataError, match="nobody: 0 clearly voiced frames"):
        f0_statistics([CONFIG.track_f0(np.zeros(16000, np.float32))], CONFIG.frame_rate, "nobody")


def test_faint_and_unclear_frames_do_not_decide(random):
    speech = pitch_track(200 * np.exp(0.1 * random.standard_normal(300)))
    hum = pitch_track(np.full(6000, 60.0), power=0.01 * 10**-2)
    hiss = pitch_track(random.uniform(100, 700, 300), periodicity=0.5)
    alone, among = (f0_statistics([each], CONFIG.frame_rate, "a") for each in (speech, joined(hum, speech, hiss)))
    assert among == alone


def test_one_recording_decides_nothing_for_the_others(random):
    recordings = [0.1 * audio.read(path)[0] for path in sorted((CORPUS / "eval/slt").glob("*.flac"))[:4]]
    click = recordings[0].copy()
    click[8000:8160] = 0.9
    alone = f0_statistics([CONFIG.track_f0(samples) for samples in recordings], CONFIG.frame_rate, "slt")
    for odd in (0.3 * random.standard_normal(32000), click, 1000 * recordings[1]):
        tracks = [CONFIG.track_f0(samples) for samples in (*recordings, odd)]
        found = f0_statistics(tracks, CONFIG.frame_rate, "slt")
        assert found.f0_range.floor == pytest.approx(alone.f0_range.floor, rel=0.05)
        assert found.log_f0.mean == pytest.approx(alone.log_f0.mean, abs=0.02)


def test_speech_is_told_in_spite_of_clicks_and_silent_recordings(random):
    frames = random.standard_normal((300, 5)) * [0.5, 1, 1, 1, 1]
    clicked = frames.copy()
    clicked[100] += [6, 0, 0, 0, 0]
    (usual,), (with_click,) = speech([frames]), speech([clicked])
    assert (usual != with_click).mean() < 0.05
    silent = np.full((300, 5), -40.0) + 0.01 * frames
    assert [heard.any() for heard in speech([silent, frames, silent])] == [False, True, False]


def background(kind: str, count: int, rate: int, random: np.random.Generator) -> np.ndarray:
    """`(count,)` of something that is not the voice."""
    times = np.arange(count) / rate
    if kind == "white":
        return random.standard_normal(count)
    if kind == "music":
        return sum(np.sin(2 * np.pi * f0 * times) * (1 + 0.3 * np.sin(np.pi * times)) for f0 in (110, 138.6, 164.8))
    if kind in ("slt", "rms"):
        return np.resize(audio.read(CORPUS / "eval" / kind / "105.flac")[0], count)
    return sum(np.sin(2 * np.pi * float(kind) * k * times + k) / k for k in range(1, 8))


@functools.cache
def known_speech(speaker: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Sentences spoken again on a melody that is known: samples and F0 `(frames,)`."""
    found = []
    for path in sorted((CORPUS / "eval" / speaker).glob("*.flac"))[:2]:
        frames = CONFIG.analyse(audio.read(path)[0], F0Range(60, 400))
        f0 = np.where(frames.aperiodicity[:, :20].mean(axis=1) > 0.9, 0, frames.f0)
        samples = WORLD.synthesise(Frames(f0, frames.spectrum, frames.aperiodicity), CONFIG)
        found.append((samples[: 80 * (len(f0) - 1)], f0))  # that as many frames come of it
    return found


@pytest.mark.parametrize("speaker", ["slt", "rms"])
@pytest.mark.parametrize(
    ("kind", "below"),
    [(hum, below) for hum in ("50", "60", "100") for below in (20, 32, 45)]
    + [("white", 20), ("music", 20), ("slt", 20), ("rms", 20)],
)
def test_f0_is_right_whatever_is_around_the_voice(speaker, kind, below, random):
    recordings, truth = zip(*known_speech(speaker))
    noisy = []
    for samples in recordings:
        more = background(kind, len(samples), 16000, random)
        noisy.append(samples + more * np.sqrt(np.square(samples).mean() / np.square(more).mean()) * 10 ** (-below / 20))
    voice = f0_statistics([CONFIG.track_f0(samples) for samples in noisy], CONFIG.frame_rate, speaker)
    f0 = np.concatenate([CONFIG.estimate_f0(samples, voice.f0_range)[0] for samples in noisy])
    true = np.concatenate(truth)
    assert voice.f0_range.floor < np.quantile(true[true > 0], 0.01) < 1.7 * voice.f0_range.floor
    assert voice.f0_range.ceiling / 1.6 < np.quantile(true[true > 0], 0.99) < voice.f0_range.ceiling
    some, more = (0.05, 1.0) if kind in ("slt", "rms") else (0.02, 0.15)  # the other's loudest vowels count
    assert voice.log_f0.mean == pytest.approx(np.log(true[true > 0]).mean(), abs=some)
    assert voice.log_f0.deviation == pytest.approx(np.log(true[true > 0]).std(), rel=more)
    both = (true > 0) & (f0 > 0)
    assert both.sum() > 0.9 * (true > 0).sum()
    assert (np.abs(np.log2(f0[both] / true[both])) > 0.25).mean() < 0.08
    if kind not in ("slt", "rms"):  # another voice is one, too
        assert (f0[true == 0] > 0).mean() < 0.3


@pytest.mark.parametrize(("low", "high"), [(36, 51), (650, 1130)])
def test_creaking_and_singing_are_found_where_they_lie(low, high, random):
    times = np.arange(64000) / 16000
    f0 = np.sqrt(low * high) * (high / low) ** (0.5 * np.sin(2 * np.pi * 0.4 * times))
    phase = np.cumsum(f0) / 16000
    buzz = sum(np.where(k * f0 < 7600, 1 / k, 0) * np.cos(2 * np.pi * k * phase) for k in range(1, 100))
    samples = 0.3 * buzz / np.abs(buzz).max() + 1e-4 * random.standard_normal(len(buzz))
    voice = f0_statistics([CONFIG.track_f0(samples)], CONFIG.frame_rate, "a")
    found, at = CONFIG.estimate_f0(samples, voice.f0_range)
    true = f0[np.minimum((at * 16000).astype(int), len(f0) - 1)]
    assert (np.abs(np.log2(np.maximum(found, 1) / true)) < 0.1).mean() > 0.9


@pytest.mark.parametrize("speaker", ["slt", "rms"])
def test_whispering_is_known_to_have_no_f0(speaker):
    samples, _ = audio.read(CORPUS / "eval" / speaker / "101.flac")
    frames = CONFIG.analyse(samples, F0Range(60, 400))
    nothing = Frames(np.zeros_like(frames.f0), frames.spectrum, np.ones_like(frames.aperiodicity))
    whispered = WORLD.synthesise(nothing, CONFIG)
    assert f0_statistics([CONFIG.track_f0(whispered)], CONFIG.frame_rate, speaker) == WHISPER
    assert f0_statistics([CONFIG.track_f0(samples)], CONFIG.frame_rate, speaker) != WHISPER
    assert not CONFIG.estimate_f0(whispered, None)[0].any()


@pytest.mark.parametrize("f0", [1e16, -1e16, 5.0, 1e5])
def test_native_code_is_given_no_f0_beyond_what_it_bears(f0):
    frames = CONFIG.analyse(vowel(0.5, 16000), F0Range(60, 400))
    wild = Frames(np.full_like(frames.f0, f0), frames.spectrum, frames.aperiodicity)
    assert np.isfinite(WORLD.synthesise(wild, CONFIG)).all()
    with pytest.raises(DataError, match="must be finite"):
        WORLD.synthesise(Frames(np.full_like(frames.f0, np.nan), frames.spectrum, frames.aperiodicity), CONFIG)


@pytest.mark.parametrize(("floor", "ceiling"), [(300.0, 200.0), (5.0, 200.0), (50.0, 9000.0)])
def test_impossible_ranges_are_refused(floor, ceiling):
    with pytest.raises(ConfigError, match="F0 range"):
        F0Range(floor, ceiling)


def test_f0_map_moves_the_statistics_and_leaves_unvoiced_frames(random):
    f0 = np.where(random.random(500) < 0.3, 0.0, 200 * np.exp(0.2 * random.standard_normal(500)))
    source, target = LogF0.of(f0[f0 > 0]), LogF0(np.log(110), 0.1)
    mapped = map_f0(f0, source, target)
    assert ((mapped == 0) == (f0 == 0)).all()
    statistics = LogF0.of(mapped[mapped > 0])
    assert (statistics.mean, statistics.deviation) == pytest.approx((target.mean, target.deviation))
    np.testing.assert_allclose(map_f0(mapped, target, source), f0, rtol=1e-9)


def test_f0_map_leads_to_what_the_target_can_say():
    source, target = LogF0.of(np.full(100, 150.0)), LogF0(np.log(110), 0.1)
    assert source.deviation == SMALLEST_DEVIATION
    mapped = map_f0(np.array([10.0, 150.0, 2000.0]), source, target)
    np.testing.assert_allclose(np.log(mapped), np.log(110) + np.array([-0.4, 0, 0.4]))
    kept = map_f0(np.array([10.0, 150.0, 2000.0]), source, target, F0Options(keep=True))
    np.testing.assert_allclose(kept, [10, 150, 2000])


def test_a_voice_without_f0_neither_gives_nor_gets_one():
    f0, spoken = np.array([0.0, 100.0, 120.0]), LogF0(np.log(110), 0.1)
    assert not map_f0(f0, spoken, None).any() and not map_f0(f0, None, spoken).any()
    np.testing.assert_allclose(map_f0(f0, spoken, None, F0Options(keep=True)), f0)


def test_normaliser_round_trip_and_moments(random):
    frames = [random.standard_normal((50, 4)) * [1, 2, 3, 4] + 7 for _ in range(3)]
    normaliser = MeanVariance().fit(frames)
    moved = normaliser.transform(np.concatenate(frames))
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(moved.var(axis=0), 1)
    np.testing.assert_allclose(normaliser.inverse(moved), np.concatenate(frames))


def test_a_band_that_never_varies_is_refused():
    with pytest.raises(DataError, match=r"slt: bands \[1\] never vary"):
        summarise("slt", [np.random.default_rng(0).random((30, 2)) * [1, 0]], WHISPER)


def test_speakers_survive_json_and_bad_ones_are_named(random):
    speaker = summarise("a", [random.random((30, 3))], F0Statistics(F0Range(60, 300), LogF0(5.0, 0.1), -20.0))
    content = speakers_to_json({"a": speaker})
    assert speakers_from_json(content) == {"a": speaker} and speaker.f0_statistics.level == -20.0
    del content["a"]["level"]  # as in earlier versions
    assert speakers_from_json(content)["a"].level is None
    for level, refusal in ((float("nan"), "finite"), (1e9, "outside the range of speech")):
        with pytest.raises(ConfigError, match=refusal):
            speakers_from_json({"a": {**content["a"], "level": level}})
    content["a"]["log_f0_mean"] = float("nan")
    with pytest.raises(ConfigError, match="finite"):
        speakers_from_json(content)
    content["a"]["log_f0_mean"] = None
    with pytest.raises(ConfigError, match="or neither"):
        speakers_from_json(content)


def test_a_whispering_speaker_survives_json_without_f0(random):
    speaker = summarise("a", [random.random((30, 3))], WHISPER)
    assert speakers_from_json(speakers_to_json({"a": speaker})) == {"a": speaker} and speaker.f0_statistics == WHISPER


def test_pauses_do_not_enter_the_statistics(random):
    frames = random.standard_normal((200, 5)) * [0.1, 1, 1, 1, 1]  # c0 of less than 35 dB
    gated = np.concatenate([np.full((300, 5), -40.0), frames, np.full((100, 5), -40.0)])
    alone = summarise("a", [frames], WHISPER)
    padded = summarise("a", [gated], WHISPER, speech=speech([gated]))
    assert padded.mel_cepstrum_mean == pytest.approx(alone.mel_cepstrum_mean)
    assert padded.mel_cepstrum_deviation == pytest.approx(alone.mel_cepstrum_deviation)


def test_frames_are_not_written_into():
    samples = vowel(0.5, 16000)
    before = samples.copy()
    frames = WorldConfig(16000).analyse(samples, F0Range())
    kept = Frames(frames.f0.copy(), frames.spectrum.copy(), frames.aperiodicity.copy())
    WORLD.synthesise(frames, WorldConfig(16000))
    np.testing.assert_array_equal(samples, before)
    np.testing.assert_array_equal(frames.spectrum, kept.spectrum)
    np.testing.assert_array_equal(frames.f0, kept.f0)


def test_power_is_restored_in_speech_whatever_pauses_need(random):
    config = WorldConfig(16000, order=4)
    source = np.ones((400, 1)) * [0.0, 0.3, 0.3, 0.2, 0.2] + 0.02 * random.standard_normal((400, 5))
    converted = source + np.array([0, 0.4, -0.2, 0.1, 0])
    plain = config.restore_power(converted, source)
    source[100:200, 0] = converted[100:200, 0] = -40.0  # a gate
    converted[100:200, 1:] *= 20  # whatever a model makes of silence
    gated = config.restore_power(converted, source)
    np.testing.assert_array_equal(gated[:, 1:], converted[:, 1:])
    heard = np.r_[0:100, 200:400]
    assert np.abs(gated[heard, 0] - plain[heard, 0]).max() < 0.5 * np.log(10) / 20  # half a decibel
    (wanted, moved, before) = (
        np.log(mel_cepstrum.to_envelope(frames[heard], config.warping, config.bins).sum(axis=1))
        for frames in (source, gated, converted)
    )
    assert abs((moved - wanted).mean()) < 0.1 * abs((before - wanted).mean())
