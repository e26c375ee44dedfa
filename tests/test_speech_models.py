"""Laws of the measures that models of speech make, on the mini corpus: two synthetic voices."""

import csv
import functools
import itertools
import json
import multiprocessing
import pickle
import socket
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import CORPUS, vowel

from vc import extras
from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.evaluate import Request, evaluate
from vc.evaluate.measure import MEASURES, OWN_MODELS, choose_measures
from vc.metrics import mos, phones, quality, speaker, words
from vc.metrics.speech_models import prepare

MODELS = {
    "speaker": (speaker, speaker.embed),
    "phones": (phones, phones.recognise),
    "quality": (quality, quality.dnsmos),
    "mos": (mos, mos.distillmos),
}
SIZES = [(1, 1), (1, 5), (5, 1), (4, 6), (6, 6)]
EVALUATED = range(101, 104)


def needs(module):
    absent = extras.missing(*module.MODULES)
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


SPEAKER, PHONES, QUALITY, MOS = map(needs, (speaker, phones, quality, mos))
each_model = pytest.mark.parametrize("name", [pytest.param(name, marks=needs(MODELS[name][0])) for name in MODELS])


@functools.cache
def recordings(voice: str) -> list[tuple[np.ndarray, int]]:
    return [soundfile.read(path, dtype="float32") for path in sorted(CORPUS.glob(f"*/{voice}/*.flac"))]


def recording(voice: str, sentence: int) -> tuple[np.ndarray, int]:
    return recordings(voice)[sentence - 101]  # eval before train


def noisy(samples: np.ndarray, decibels: float) -> np.ndarray:
    """With white noise, so many dB below the speech."""
    noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    return samples + noise * samples.std() * 10 ** (-decibels / 20)


def shuffled(samples: np.ndarray, rate: int) -> np.ndarray:
    """The same pieces of 200 ms in another order."""
    pieces = np.array_split(samples, len(samples) * 5 // rate)
    return np.concatenate([pieces[index] for index in np.random.default_rng(0).permutation(len(pieces))])


BAD = {
    "shape": (np.zeros((2, 16000)), 16000, r"got shape \(2, 16000\)"),
    "empty": (np.zeros(0), 16000, "0.000 s is too short"),
    "short": (np.ones(3199), 16000, "0.200 s is too short to assess: 0.2 s or more"),
    "rate": (np.ones(8000), 4000, "4000 Hz is too low"),
    "nan": (np.append(np.zeros(16000), np.nan), 16000, "must be finite"),
    "silent": (np.full(16000, 0.1), 16000, "nothing but silence"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("function", [function for _, function in MODELS.values()])
def test_what_cannot_be_judged_is_refused(function, name):
    samples, rate, reason = BAD[name]
    with pytest.raises(DataError, match=reason) as refused:
        function(samples, rate)
    assert "\n" not in str(refused.value)


def test_models_are_given_16_khz_within_full_scale():
    samples = vowel(0.5, 48000)
    prepared = prepare(4 * samples, 48000)
    assert prepared.dtype == np.float32 and len(prepared) == 8000 and np.abs(prepared).max() == 1
    plain = vowel(0.5, 16000)
    assert np.array_equal(prepare(plain, 16000), plain)
    assert np.corrcoef(prepare(samples, 48000)[100:-100], prepared[100:-100])[0, 1] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_missing_package_is_named_with_what_installs_it(name, monkeypatch):
    module = MODELS[name][0]
    monkeypatch.setitem(sys.modules, module.MODULES[0], None)
    with pytest.raises(ConfigError, match=rf"needs {module.MODULES[0]}.*pip install 'nonparallel-vc\[eval\]'"):
        module.require()


@each_model
def test_the_same_recording_gives_the_same_in_another_process(name):
    function = MODELS[name][1]
    first, second = (function(*recording("slt", 101)) for _ in range(2))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("forkserver")) as pool:
        third = pool.submit(function, *recording("slt", 101)).result()
    np.testing.assert_equal(first, second)
    np.testing.assert_equal(first, third)


@pytest.fixture(scope="module")
def voices() -> dict[str, np.ndarray]:
    """`(sentences, 256)` of each voice."""
    return {
        voice: np.stack([speaker.embed(*given) for given in recordings(voice)[:count]])
        for voice, count in (("slt", 26), ("rms", 10))
    }


@SPEAKER
def test_an_embedding_is_a_direction(voices):
    for rows in voices.values():
        assert rows.shape[1:] == (256,) and rows.dtype == np.float32 and (rows >= 0).all()
        assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-6)


@SPEAKER
def test_a_voice_is_more_like_itself_than_like_another(voices):
    same = [speaker.similarity(*pair) for rows in voices.values() for pair in itertools.combinations(rows, 2)]
    other = [speaker.similarity(*pair) for pair in itertools.product(*voices.values())]
    assert np.mean(same) > np.mean(other) + 0.2
    assert speaker.equal_error_rate(np.array(same), np.array(other)) < 0.02


@SPEAKER
def test_a_voice_can_be_told_from_another_but_not_from_itself(voices):
    known, rest = voices["slt"][:6], voices["slt"][6:]
    centre = speaker.centroid(known)
    itself, split, other = (
        speaker.equal_error_rate(genuine @ centre, impostor @ centre)
        for genuine, impostor in ((rest, rest), (rest[::2], rest[1::2]), (rest, voices["rms"]))
    )
    assert itself == 0.5 and 0.2 < split < 0.8 and other == 0


@SPEAKER
def test_a_voice_stays_the_same_at_another_rate_and_level():
    samples, rate = recording("slt", 102)
    plain, times = speaker.embed(samples, rate), np.arange(0, len(samples) - 1, 0.5)
    faster = np.interp(times, np.arange(len(samples)), samples)
    assert speaker.similarity(plain, speaker.embed(faster, 2 * rate)) > 0.98
    assert speaker.similarity(plain, speaker.embed(samples / 10, rate)) > 0.98


@SPEAKER
def test_what_holds_no_speech_is_refused(random):
    with pytest.raises(DataError, match="no speech found"):
        speaker.embed(1e-3 * np.sin(np.arange(16000) / 50), 16000)


@SPEAKER
def test_weights_are_loaded_without_pickle(monkeypatch):
    def refuse(*arguments, **settings):
        raise AssertionError("unpickled")

    text = pickle.dumps("text")
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(f"pickle.{name}", refuse)
    with pytest.raises(AssertionError, match="unpickled"):
        pickle.loads(text)
    assert speaker.MODEL.load() is not None


def test_similarity_is_that_of_directions(random):
    one, other = random.standard_normal((2, 256))
    assert speaker.similarity(one, one) == pytest.approx(1) and speaker.similarity(one, -one) == pytest.approx(-1)
    assert speaker.similarity(one, other) == speaker.similarity(other, one)
    assert speaker.similarity(3 * one, other) == pytest.approx(speaker.similarity(one, other))
    assert speaker.centroid(np.stack([one, one])) == pytest.approx(one / np.linalg.norm(one))
    with pytest.raises(DataError, match="recordings, 256"):
        speaker.centroid(one)


def crossing(genuine: np.ndarray, impostor: np.ndarray) -> float:
    """The error rate where false acceptance and false rejection meet: every threshold tried, every line between two."""
    points = []
    for threshold in [*sorted({*genuine, *impostor}), np.inf]:
        false_rejection = sum(score < threshold for score in genuine) / len(genuine)
        points.append((false_rejection, sum(score >= threshold for score in impostor) / len(impostor)))
    steps = np.linspace(0, 1, 2001)
    lines = [np.outer(1 - steps, one) + np.outer(steps, other) for one, other in itertools.pairwise(points)]
    nearest = min(np.concatenate(lines), key=lambda rates: abs(rates[0] - rates[1]))
    return nearest.mean()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("sizes", [(1, 1), (2, 7), (9, 4), (8, 8)])
def test_equal_error_rate_is_where_the_errors_meet(random, sizes, ties):
    for shift in (-1, 0, 1):
        genuine, impostor = random.standard_normal(sizes[0]) + shift, random.standard_normal(sizes[1])
        if ties:
            genuine, impostor = genuine.round(), impostor.round()
        found = speaker.equal_error_rate(genuine, impostor)
        assert found == pytest.approx(crossing(genuine, impostor), abs=1e-3)
        assert found == pytest.approx(speaker.equal_error_rate(-impostor, -genuine), abs=1e-12)
        assert found == pytest.approx(speaker.equal_error_rate(np.exp(genuine), np.exp(impostor)), abs=1e-12)


def test_equal_error_rates_that_are_known(random):
    scores = random.standard_normal(50)
    assert speaker.equal_error_rate(scores, scores) == pytest.approx(0.5)
    assert speaker.equal_error_rate(scores + 9, scores) == 0
    assert speaker.equal_error_rate(scores, scores + 9) == 1
    assert speaker.equal_error_rate(np.array([1, 3, 4, 5.0]), np.array([0, 1.5, 2, 2.5])) == 0.25
    for bad in ([], [np.nan], [[1.0]]):
        with pytest.raises(DataError, match="impostor scores must be"):
            speaker.equal_error_rate(scores, np.array(bad))


def edits(found: tuple, expected: tuple) -> int:
    """Fewest edits, by trying every one."""
    if not found or not expected:
        return len(found) + len(expected)
    kept = edits(found[1:], expected[1:]) + (found[0] != expected[0])
    return min(kept, edits(found[1:], expected) + 1, edits(found, expected[1:]) + 1)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_error_rate_counts_the_fewest_edits(random, sizes):
    found, expected = (tuple(random.integers(0, 3, size).tolist()) for size in sizes)
    assert phones.error_rate(found, expected) == edits(found, expected) / len(expected)
    assert phones.error_rate(found, found) == 0


def test_error_rates_that_are_known():
    assert phones.error_rate(list("sitting"), list("kitten")) == pytest.approx(3 / 6)
    assert phones.error_rate([], ["t", "u"]) == 1
    assert phones.error_rate(["t", "u", "t", "u", "t"], ["t"]) == 4
    with pytest.raises(DataError, match="no phones are expected"):
        phones.error_rate(["t"], [])


@PHONES
def test_words_that_are_known():
    assert phones.from_text("Dog, \u201cknight\u201d; THROUGH ...") == [
        "d",
        "ɔ",
        "g",
        *phones.from_text("night"),
        "θ",
        "ɹ",
        "u",
    ]
    assert phones.from_text("isn\u2019t") == phones.from_text("isn't") != phones.from_text("isn t")
    assert phones.from_text("'church'") == ["t͡ʃ", "ɝ", "t͡ʃ"]


@PHONES
@pytest.mark.parametrize("text, reason", [("42 dogs", "2 4 in '42 dogs'"), ("schön", "ö in"), (" ... ", "no words in")])
def test_text_that_has_no_known_sound_is_refused(text, reason):
    with pytest.raises(DataError, match=reason):
        phones.from_text(text)


@PHONES
def test_phones_of_speech_are_those_of_its_text_and_lost_with_its_order():
    with (CORPUS / "manifest.tsv").open() as lines:
        texts = {(row["speaker"], row["id"]): row["text"] for row in csv.DictReader(lines, delimiter="\t")}
    rates = []
    for voice, sentence in itertools.product(("slt", "rms"), EVALUATED):
        expected, (samples, rate) = phones.from_text(texts[voice, str(sentence)]), recording(voice, sentence)
        heard = [phones.recognise(given, rate) for given in (samples, noisy(samples, 5), shuffled(samples, rate))]
        rates.append([phones.error_rate(found, expected) for found in heard])
    clean, noise, garbled = np.mean(rates, axis=0)
    assert clean < 0.2 < noise < garbled and garbled > 0.6


@PHONES
def test_a_long_recording_is_heard_to_its_end():
    samples, rate = recording("rms", 101)
    once, often = (phones.recognise(np.tile(samples, count), rate) for count in (1, 11))
    assert len(samples) * 11 > 31 * rate
    assert phones.error_rate(often, 11 * once) < 0.1


@QUALITY
@pytest.mark.parametrize("seconds", [2.5, 11.2])
def test_quality_is_what_speechmos_says(seconds):
    dnsmos = pytest.importorskip("speechmos.dnsmos")
    samples = np.resize(noisy(recording("slt", 103)[0], 30), round(seconds * 16000))
    found, wanted = quality.dnsmos(samples, 16000), dnsmos.run(samples, 16000)
    wanted = {"overall": wanted["ovrl_mos"], "signal": wanted["sig_mos"], "background": wanted["bak_mos"]}
    assert found == pytest.approx(wanted, abs=1e-4)


@QUALITY
def test_a_short_recording_is_heard_once_however_its_copies_end():
    """speechmos takes seven windows of one second that is repeated: all hold the same."""
    samples = np.resize(recording("slt", 103)[0], 16000)
    assert quality.dnsmos(samples, 16000) == quality.dnsmos(np.tile(samples, 3), 16000)


@QUALITY
def test_noise_lowers_quality():
    samples, rate = recording("rms", 104)
    grades = [quality.dnsmos(noisy(samples, decibels), rate) for decibels in (60, 20, 5)]
    for name in ("overall", "background"):
        first, second, third = (grade[name] for grade in grades)
        assert 5 > first > second > third >= 1


@MOS
def test_noise_lowers_the_predicted_opinion():
    samples, rate = recording("rms", 104)
    first, second, third = (mos.distillmos(noisy(samples, decibels), rate) for decibels in (60, 20, 5))
    assert 5 > first > second > third >= 1


@MOS
def test_the_network_of_the_predicted_opinion_is_in_its_package(monkeypatch):
    def refuse(*arguments, **settings):
        raise AssertionError("connected")

    monkeypatch.setattr("socket.socket.connect", refuse)
    with socket.socket() as one, pytest.raises(AssertionError, match="connected"):
        one.connect(("127.0.0.1", 9))
    assert mos.MODEL.load() is not None


@MOS
def test_a_torchaudio_of_another_build_is_left_out_by_default_and_refused_by_name(monkeypatch, tmp_path):
    (tmp_path / "torchaudio").mkdir()
    fault = 'raise OSError("could not load\\nthis") from OSError("libc10_cuda.so: no such file\\nat all")'
    (tmp_path / "torchaudio/__init__.py").write_text(fault)
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"same build as torch [^\n]*: libc10_cuda\.so: no such file$"):
        choose_measures(["mos"])
    chosen, [*_, note, _] = choose_measures(None)
    assert "mos" not in chosen and note.startswith("measure mos is left out: predicted opinion score needs")


def test_every_measure_that_is_installed_is_taken_by_default():
    possible = MEASURES.keys() - OWN_MODELS.keys()
    installed = [name for name in MEASURES if name in possible and not extras.missing(*MEASURES[name].MODULES)]
    chosen, notes = choose_measures(None)
    assert chosen == installed and "content" in chosen and {"utmos", "wer"} == {*OWN_MODELS}
    assert notes[-1].startswith("measures that need") and all(
        f"{name} ({needed})" in notes[-1] for name, needed in OWN_MODELS.items()
    )


@pytest.fixture(scope="module")
def whisper(tmp_path_factory) -> Path:
    """A folder of transformers: the smallest Whisper, which has learnt nothing, and its processor."""
    import torch

    transformers = pytest.importorskip("transformers")
    from transformers.models.whisper.tokenization_whisper import bytes_to_unicode

    folder = tmp_path_factory.mktemp("whisper")
    signs = [*bytes_to_unicode().values(), "<|endoftext|>", "<|startoftranscript|>"]
    (folder / "vocab.json").write_text(json.dumps({sign: number for number, sign in enumerate(signs)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.WhisperTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    transformers.WhisperProcessor(transformers.WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    end, start = len(signs) - 2, len(signs) - 1
    sizes = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in {
        "layers": 1, "attention_heads": 2, "ffn_dim": 16}.items()}  # fmt: skip
    ends = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    config = transformers.WhisperConfig(
        vocab_size=len(signs), d_model=16, max_target_positions=40, begin_suppress_tokens=None, **sizes, **ends
    )
    torch.manual_seed(0)
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_words_are_heard_by_a_recogniser_of_the_user_s_own(whisper, tmp_path):
    """One that has learnt nothing hears the same in the same recording, so that its source makes no error."""
    for name, f0 in (("source", 120.0), ("target", 180.0)):
        (tmp_path / name).mkdir()
        audio.write(tmp_path / name / "1.wav", vowel(0.6, 16000, f0), 16000)
    request = Request(
        {"same": tmp_path / "source"}, tmp_path / "target", source=tmp_path / "source", measures=[f"wer={whisper}"]
    )
    evaluation = evaluate(request, tmp_path / "out")
    heard = words.transcribe(*audio.read(tmp_path / "source/1.wav"), str(whisper))
    assert words.normalise(heard), "what it hears must have letters for this test to tell something"
    assert evaluation.scores["same"].means["word_error"] == evaluation.scores["same"].means["character_error"] == 0
    assert "measures not requested: speaker, content, phones, quality, mos, utmos" in evaluation.notes


def test_words_are_compared_without_case_and_punctuation():
    assert words.normalise(" It\u2019s  HERE, no-one\n knew.") == "it's here no one knew"


@pytest.mark.parametrize(
    ("measure", "said"),
    [
        ("wer", "wer=PATH"),
        ("wer=", "wer=PATH"),
        ("wer=nowhere", "nowhere: not a transformers folder"),
        ("phones=x", "measure phones takes no path"),
    ],
)
def test_a_recogniser_that_is_none_is_refused(measure, said):
    pytest.importorskip("transformers")
    with pytest.raises(ConfigError, match=said):
        choose_measures([measure])
