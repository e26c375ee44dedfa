"""Listening tests: what a page holds and gives away, whole tests taken in a browser, what answers are worth."""

import base64
import io
import json
import logging
import math
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import DESKTOP, PHONE, Browser, Page
from conftest import vowel

from vc.cli.listen import main
from vc.convert.level import speech_level
from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.listening import formats, kit
from vc.listening.formats import Answer, Answers, Item, Key, Sound, read_key
from vc.listening.score import binomial_p, format_table, score
from vc.metrics import crossed_interval, mean_interval

RATE, SPOKEN = 16000, 0.3  # Hz, seconds
SENTENCES = 5
HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
NAMES = ("giraffe", "walrus")  # of systems, and of nothing else


@pytest.fixture(autouse=True, scope="module")
def handlers():
    """The command's log handler writes to a stderr that pytest takes away; its signal handlers end the process."""
    kept, signals = logging.getLogger("vc").handlers, {number: signal.getsignal(number) for number in HEEDED}
    yield
    logging.getLogger("vc").handlers = kept
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Voices of several levels; the target's recordings have a higher rate and end in a pause."""
    root = tmp_path_factory.mktemp("voices")
    for place, (name, rate, gain) in enumerate(
        [("giraffe", RATE, 0.2), ("walrus", RATE, 0.9), ("reference", 22050, 0.05), ("source", RATE, 0.5)]
    ):
        (root / name).mkdir()
        for number in range(SENTENCES):
            sound = gain * vowel(SPOKEN, rate, 110 + 20 * place, number)
            pause = np.zeros(rate // 10 if name == "reference" else 0, np.float32)
            audio.write(root / name / f"{number}.wav", np.concatenate([sound, pause]), rate)
    return {path.name: path for path in root.iterdir()}


def arguments(folders: dict[str, Path], kind: str, output: Path, *more: object, systems: tuple = NAMES) -> list[str]:
    converted = [f"{name}={folders[name]}" for name in systems]
    sides = ["--reference", folders["reference"], "--source", folders["source"]]
    return [*map(str, ["make", "--kind", kind, "--converted", *converted, *sides, "--output", output, *more])]


@pytest.fixture(scope="module")
def tests(folders, tmp_path_factory) -> dict[str, Path]:
    """A test of each kind: two sentences that count, and one for practice."""
    root = tmp_path_factory.mktemp("tests")
    for kind in formats.KINDS:
        assert main(arguments(folders, kind, root / kind, "--sentences", 2)) == 0
    return {kind: root / kind for kind in formats.KINDS}


def content(folder: Path) -> dict:
    """What the page's script works with."""
    text = (folder / "test.html").read_text()
    return json.loads(text.partition('id="test">')[2].partition("</script>")[0])


def decoded(page: dict) -> dict[str, np.ndarray]:
    sounds = {id: soundfile.read(io.BytesIO(base64.b64decode(text))) for id, text in page["sounds"].items()}
    assert {rate for _, rate in sounds.values()} == {RATE}
    return {id: samples for id, (samples, _) in sounds.items()}


def test_every_recording_is_as_loud_as_the_others(tests):
    for folder in tests.values():
        sounds = decoded(content(folder))
        levels = [10 * np.log10(np.square(each[: round(SPOKEN * RATE)]).mean()) for each in sounds.values()]
        assert len(levels) >= 9 and max(levels) - min(levels) < 0.1
        assert np.mean(levels) == pytest.approx(kit.LEVEL, abs=0.5)


def test_all_are_quieter_where_one_would_clip(folders, tmp_path):
    for path in (tmp_path / "giraffe").mkdir() or folders["giraffe"].iterdir():
        clicks = np.zeros(round(SPOKEN * RATE), np.float32)
        clicks[:: RATE // 20] = 1
        audio.write(tmp_path / "giraffe" / path.name, clicks, RATE)
    changed = {**folders, "giraffe": tmp_path / "giraffe"}
    folders = kit.Folders({name: changed[name] for name in NAMES}, changed["reference"], None)
    made = kit.make("mos", folders, sentences=2, seed=0)
    sounds = [soundfile.read(io.BytesIO(each))[0] for each in made.contents.values()]
    levels = [speech_level(each, RATE) for each in sounds]
    assert made.level < kit.LEVEL - 1 and max(levels) - min(levels) < 0.1
    assert max(np.abs(each).max() for each in sounds) == pytest.approx(kit.MAX_PEAK, abs=1e-3)


def test_speech_level_follows_gain_and_heeds_neither_pauses_nor_an_offset():
    sound = vowel(0.5, RATE)
    level = speech_level(sound, RATE)
    assert speech_level(0.5 * sound, RATE) == pytest.approx(level - 20 * math.log10(2))
    assert speech_level(np.concatenate([sound, np.zeros(RATE)]), RATE) == pytest.approx(level, abs=0.1)
    assert speech_level(sound + 0.1, RATE) == pytest.approx(level, abs=0.1)
    assert speech_level(np.zeros(100), RATE) == -np.inf


def test_the_page_tells_no_system_and_needs_no_network(tests):
    for folder in tests.values():
        text = (folder / "test.html").read_text()
        assert not [
            word for word in (*NAMES, "reference", "source", str(folder.parent), "://", "<link") if word in text
        ]
        page, key = content(folder), read_key(folder / "key.json")
        assert set(key.items) == {item["id"] for item in page["items"]} and page["test"] == key.test
        systems = {"mos": [*NAMES, "reference", "source"], "abx": [*NAMES]}[key.kind]
        heard = [sound for item in page["items"] for sound in item["sounds"]]
        assert Counter(key.sounds[id].system for id in heard) == dict.fromkeys(systems, 2)
        assert [int(item["id"][1:]) for item in page["items"]] == sorted(int(item["id"][1:]) for item in page["items"])


def test_the_same_arguments_make_the_same_test_and_another_seed_another(folders, tmp_path):
    texts = []
    for place, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert main(arguments(folders, "abx", tmp_path / place, "--seed", seed, "--sentences", 4)) == 0
        texts.append([(tmp_path / place / name).read_bytes() for name in ("test.html", "key.json")])
    assert texts[0] == texts[1] and texts[0] != texts[2]


@pytest.mark.parametrize("systems", [NAMES, NAMES[:1]])
def test_sides_are_balanced_and_x_says_another_sentence(folders, tmp_path, systems):
    """One system alone is compared with the source."""
    assert main(arguments(folders, "abx", tmp_path, "--sentences", 4, systems=systems)) == 0
    key = read_key(tmp_path / "key.json")
    first = Counter(key.sounds_of(item)[0].system for item in key.items)
    assert first == dict.fromkeys([*systems, "source"][:2], 2)
    for id, item in key.items.items():
        (sentence,) = {sound.sentence for sound in key.sounds_of(id)}
        assert key.sounds[item.x].system == "reference" and key.sounds[item.x].sentence != sentence


def order(listener: str, page: dict) -> list[tuple[str, list[str]]]:
    """Items and sides that a listener is to hear, after the page's own description of its generator."""
    state = 2166136261
    for byte in f"{listener} {page['test']}".encode():
        state = (state ^ byte) * 16777619 % 2**32

    def draw(below: int) -> int:
        nonlocal state
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        return state * below >> 32

    step = (1, -1)[draw(2)]
    items = list(page["items"])
    for last in range(len(items) - 1, 0, -1):
        other = draw(last + 1)
        items[last], items[other] = items[other], items[last]
    return [(item["id"], item["sounds"][::step]) for item in page["practice"] + items]


def test_every_listener_has_an_order_that_can_be_made_again(browser, tests):
    listeners = ("anna", "bert", "Zoë 平", "4")
    for folder in tests.values():
        with browser.open(folder / "test.html") as page:
            told = {
                name: page.evaluate(f"trialsOf({json.dumps(name)}).map(trial => [trial.id, trial.sounds])")
                for name in listeners
            }
        assert told == {name: [list(each) for each in order(name, content(folder))] for name in listeners}
        assert len({tuple(sorted(id for id, _ in each)) for each in told.values()}) == 1
        assert len({str(each) for each in told.values()}) == len(listeners) or len(content(folder)["items"]) < 4


def begin(page: Page, listener: str) -> None:
    """Type the name, if the page does not know it from before."""
    page.press("Tab")
    if page.evaluate("document.getElementById('listener').value") != listener:
        page.evaluate("document.getElementById('listener').select()")  # another test's
        page.write(listener)
    page.press("Enter")


def take(page: Page, choose: Callable[[dict], int], count: int) -> None:
    """Hear and answer `count` items by keyboard; `choose` tells how far down the answer is."""
    for _ in range(count):
        trial = page.evaluate("trials[answers.length]")
        for place in range(len(trial["sounds"]) + (trial["x"] is not None)):
            assert page.evaluate(
                "document.getElementById('choices').disabled && document.getElementById('next').disabled"
            )
            page.press("Tab", place > 0)
            page.press("Enter")
            page.wait(f"document.querySelectorAll('.player')[{place}].dataset.heard")
        page.press("Tab")
        page.press("Space")
        page.press("ArrowDown", choose(trial))
        page.press("Enter")


def taken(browser: Browser, folder: Path, listener: str, choose: Callable[[dict], int]) -> tuple[int, Path]:
    """Take a test by keyboard, leave it in the middle and go on; how many answers that took, and the file of them."""
    count = len(order(listener, content(folder)))
    with browser.open(folder / "test.html") as page:
        begin(page, listener)
        take(page, choose, count // 2)
        page.reload()
        assert page.evaluate("document.getElementById('listener').value") == listener
        assert page.evaluate("document.getElementById('start').textContent") == "Continue where you left off"
        begin(page, listener)
        since = len(browser.events)
        take(page, choose, count - count // 2)
        path = browser.download(since)
        assert path.read_text() == page.evaluate("document.getElementById('result').value")
        page.reload()
        begin(page, listener)
        assert page.evaluate("document.activeElement.id") == "save"
        assert page.faults == [] and page.requests == []
    heard = [each["item"] for each in json.loads(path.read_text())["answers"]]
    assert heard == [id for id, _ in order(listener, content(folder))][-len(heard) :]
    return count, path


def scored(folder: Path, *answers: Path, code: int = 0) -> dict:
    """The file of scores."""
    path = folder / "scores.json"
    path.unlink(missing_ok=True)
    assert main(["score", str(folder / "key.json"), *map(str, answers), "--output", str(path)]) == code
    return json.loads(path.read_text(), parse_constant=pytest.fail)


def test_grades_that_are_given_by_keyboard_are_those_that_are_scored(browser, tests):
    key = read_key(tests["mos"] / "key.json")
    steps = {"giraffe": 3, "walrus": 1, "reference": 0, "source": 4}
    count, path = taken(browser, tests["mos"], "Ann O'Neil", lambda trial: steps[key.sounds[trial["sounds"][0]].system])
    assert path.name == "answers_Ann_O_Neil.json" and count == 12
    figures = scored(tests["mos"], path)
    assert {name: found["mos"] for name, found in figures["systems"].items()} == {
        name: 5 - step for name, step in steps.items()
    }
    assert figures["listeners"] == ["Ann O'Neil"] and figures["systems"]["walrus"]["answers"] == 2


def test_choices_that_are_made_by_keyboard_are_those_that_are_scored(browser, tests):
    key = read_key(tests["abx"] / "key.json")
    _, path = taken(
        browser, tests["abx"], "bert", lambda trial: [key.sounds[id].system for id in trial["sounds"]].index("walrus")
    )
    (pair,) = scored(tests["abx"], path)["pairs"]
    assert pair["chosen"] == {"giraffe": 0, "walrus": 2} and pair["share"] == {"giraffe": 0, "walrus": 1}
    assert pair["p"] == 0.5 and pair["intervals"]["walrus"] == [1, 1]


def test_one_recording_plays_at_a_time_and_none_after_its_item(browser, tests):
    with browser.open(tests["abx"] / "test.html") as page:
        begin(page, "one")
        page.evaluate("played = [...document.querySelectorAll('audio')], played.forEach(each => { each.loop = true; })")
        for place in (0, 1, 2):
            page.evaluate(f"document.querySelectorAll('.player button')[{place}].click()")
            page.wait(f"played[{place}].currentTime > 0")
            assert page.evaluate("played.map(each => each.paused)") == [other != place for other in range(3)]
        page.evaluate("played.forEach(each => each.onended()), document.querySelector('#options input').click()")
        page.evaluate("document.getElementById('next').click()")
        assert page.evaluate("answers.length") == 1 and page.evaluate("played.every(each => each.paused)")


@pytest.mark.parametrize(("size", "dark"), [(PHONE, False), (PHONE, True), (DESKTOP, False), (DESKTOP, True)])
def test_every_screen_can_be_read(browser, tests, size, dark):
    for kind, folder in tests.items():
        with browser.open(folder / "test.html", size, dark) as page:
            for screen in ("welcome", "trial", "finish"):
                page.evaluate(f"listener = 'x', trials = trialsOf('x'), answers = [], ask(trials[0]), show('{screen}')")
                assert page.evaluate("document.documentElement.scrollWidth") <= size[0], (kind, screen)
                assert page.contrast("p, li, h1, h2, label:not(:disabled *), button:not(:disabled), small") >= 4.5
                small = "[...document.querySelectorAll('button, label:has(input)')].filter(each => each.offsetHeight)"
                assert page.evaluate(f"{small}.every(each => each.offsetHeight >= 44)")  # for a thumb
            assert page.faults == []


def key_of(kind: str, sentences: int) -> Key:
    """Of the systems a and b, in a test that no page was made of."""
    sounds = {f"{system}{number}": Sound(system, str(number)) for system in "ab" for number in range(sentences)}
    groups = [[id] for id in sounds] if kind == "mos" else [[f"a{number}", f"b{number}"] for number in range(sentences)]
    items = {f"i{place}": Item(group, None) for place, group in enumerate(groups)}
    return Key(formats.KEY, 1, "f" * 64, kind, "T", 0, RATE, -26.0, {"a": "x", "b": "y"}, sounds, items)


def answers_of(key: Key, listener: str, choose: Callable[[list[Sound]], str]) -> Answers:
    return Answers(formats.ANSWERS, 1, key.test, listener, [Answer(id, choose(key.sounds_of(id))) for id in key.items])


def chose(system: str) -> Callable[[list[Sound]], str]:
    return lambda heard: next(f"{sound.system}{sound.sentence}" for sound in heard if sound.system == system)


def test_p_is_the_exact_binomial_test():
    from scipy.stats import binomtest

    for answers in (0, 1, 2, 9, 30, 1201):
        for chosen in range(0, answers + 1, max(1, answers // 9)):
            expected = binomtest(chosen, answers).pvalue if answers else 1
            assert binomial_p(chosen, answers) == pytest.approx(expected, rel=1e-9)
    assert 0 < binomial_p(0, 1000) < 1e-300


def test_one_system_that_is_always_chosen():
    key = key_of("abx", 4)
    (pair,) = score(key, [answers_of(key, str(number), chose("a")) for number in range(3)])["pairs"]
    assert pair["share"] == {"a": 1, "b": 0} and pair["chosen"] == {"a": 12, "b": 0}
    assert pair["p"] == pytest.approx(2**-11) and (pair["listeners"], pair["sentences"], pair["answers"]) == (3, 4, 12)


def test_scores_do_not_depend_on_which_system_stands_first(random):
    key = key_of("abx", 6)
    turned = replace(key, systems={"b": "y", "a": "x"}, items={
        id: Item(item.sounds[::-1], None) for id, item in key.items.items()
    })  # fmt: skip
    answers = [
        answers_of(key, str(number), lambda heard: chose(random.choice(["a", "b"]))(heard)) for number in range(4)
    ]
    (one,), (other,) = (score(each, answers)["pairs"] for each in (key, turned))
    assert one["systems"] == other["systems"][::-1]
    assert one["share"] == other["share"] and one["p"] == other["p"] and one["chosen"] == other["chosen"]
    for system in "ab":
        assert one["intervals"][system] == pytest.approx(other["intervals"][system], abs=1e-3)
        low, high = one["intervals"][system]
        assert low < one["share"][system] < high


def test_opinions_are_means_of_grades_with_intervals_around_them(random):
    key = key_of("mos", 5)
    grades = {name: random.integers(1, 6, (7, 5)) for name in "ab"}
    answers = [
        answers_of(key, str(row), lambda heard: str(grades[heard[0].system][row, int(heard[0].sentence)]))  # noqa: B023
        for row in range(7)
    ]
    figures = score(key, answers)
    for name, table in grades.items():
        found = figures["systems"][name]
        low, high = found["interval"]
        assert found["mos"] == pytest.approx(table.mean(), abs=1e-4) and 1 < low < found["mos"] < high < 5
        assert (found["listeners"], found["sentences"], found["answers"]) == (7, 5, 35)
        assert f"{found['mos']:.2f}" in format_table(figures)


def test_an_interval_over_one_of_a_kind_is_that_over_the_others(random):
    values = random.integers(1, 6, 20).astype(float)
    expected = mean_interval(values)
    assert crossed_interval(values[:, None]) == pytest.approx(expected)
    assert crossed_interval(np.repeat(values[:, None], 6, axis=1)) == pytest.approx(expected)
    assert crossed_interval(values[None]) == pytest.approx(expected, abs=0.1)  # other draws
    assert crossed_interval(np.append(values, np.nan)[None])[0] == pytest.approx(expected[0], abs=0.2)


def test_an_interval_over_both_is_wider_than_over_either(random):
    effects = random.standard_normal(9)
    table = effects[:, None] + effects  # would show draws of listeners that follow those of sentences
    widths = [high - low for low, high in map(crossed_interval, (table, table[:, :1], table[:1]))]
    assert widths[0] > max(widths[1:])
    expected = 2 * 1.96 * np.sqrt(2 * effects.var() / 9)  # of a sum of two independent means
    assert widths[0] == pytest.approx(expected, rel=0.1)


def write_answers(path: Path, key: Key, **changes: object) -> Path:
    found = {"format": formats.ANSWERS, "version": 1, "test": key.test, "listener": "anna"}
    found["answers"] = [{"item": id, "answer": key.choices(id)[0]} for id in key.items]
    path.write_text(json.dumps({**found, **changes}))
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"test": "0" * 64}, "answers to another test, 00000000"),
        ({"version": 2}, "expected vc-listening-answers, version 1, found"),
        ({"format": "vc-listening-key"}, "found ['vc-listening-key', 1]"),
        ({"answers": []}, "8 of 8 items are not answered"),
        ({"answers": [{"item": "i9999", "answer": "5"}]}, "item 'i9999' is unknown"),
        ({"answers": [{"item": "{}", "answer": "6"}]}, "answer '6' is none of 5, 4, 3, 2, 1"),
        ({"answers": [{"item": "{}", "answer": 5}]}, "expected str, found 5"),
        ({"answers": [{"item": "{}", "answer": "5"}] * 2}, "is answered twice"),
        ({"answers": 3}, "expected list, found 3"),
        ({"listener": None}, "listener: expected str, found None"),
        ({"more": 1}, "unknown key more"),
    ],
)
def test_bad_answers_are_named_and_the_rest_is_scored(tests, tmp_path, capsys, changes, said):
    key = read_key(tests["mos"] / "key.json")
    changes = json.loads(json.dumps(changes).replace("{}", next(iter(key.items))))
    good, bad = (
        write_answers(tmp_path / "good.json", key, listener="bert"),
        write_answers(tmp_path / "bad.json", key, **changes),
    )
    figures = scored(tests["mos"], bad, good, code=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vc-listen: error: {bad}: ") and said in line
    assert figures["listeners"] == ["bert"] and len(figures["failures"]) == 1


@pytest.mark.parametrize("text", ["", "{", "[" * 100000, '{"a": NaN}', '"\\ud800"', "[]", "null", b"\xff\xfe\x00"])
def test_files_that_are_no_answers_are_refused_in_a_line(tests, tmp_path, capsys, text):
    path = tmp_path / "a\nb.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for words, code in (([tests["mos"] / "key.json", path], 1), ([path, path], 2)):
        assert main(["score", *map(str, words)]) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"vc-listen: error: {tmp_path}/a\\nb.json: ")


def test_a_listener_counts_once(tests, tmp_path, capsys):
    key = read_key(tests["abx"] / "key.json")
    one, again = (write_answers(tmp_path / name, key) for name in ("1.json", "2.json"))
    assert scored(tests["abx"], one, again, code=1)["listeners"] == ["anna"]
    assert f"error: {again}: listener 'anna' is in {one} already" in capsys.readouterr().err


def test_incomplete_answers_are_taken_only_on_demand(tests, tmp_path, capsys):
    key = read_key(tests["mos"] / "key.json")
    first = next(iter(key.items))
    path = write_answers(tmp_path / "a.json", key, answers=[{"item": first, "answer": "2"}])
    words = ["score", str(tests["mos"] / "key.json"), str(path)]
    assert main(words) == 1 and "7 of 8 items are not answered; --partial accepts" in capsys.readouterr().err
    assert main([*words, "--partial", "--output", str(tmp_path / "s.json")]) == 0
    systems = json.loads((tmp_path / "s.json").read_text(), parse_constant=pytest.fail)["systems"]
    graded = systems.pop(key.sounds_of(first)[0].system)
    assert (graded["mos"], graded["interval"], graded["answers"]) == (2, None, 1)
    assert {(each["mos"], each["answers"]) for each in systems.values()} == {(None, 0)}


def test_folders_come_from_an_evaluation(folders, tests, tmp_path):
    systems = {name: str(folders[name]) for name in NAMES}
    measured = {"systems": systems, "reference": str(folders["reference"]), "source": str(folders["source"])}
    (tmp_path / "metrics.json").write_text(json.dumps({"configuration": {"folders": measured}}))
    words = ["make", "--kind", "mos", "--results", str(tmp_path), "--sentences", "2", "--output", str(tmp_path / "o")]
    assert main(words) == 0
    assert (tmp_path / "o/test.html").read_bytes() == (tests["mos"] / "test.html").read_bytes()


def test_an_evaluation_whose_reference_has_other_sentences_is_refused_though_names_are_alike(folders, tmp_path):
    measured = {"systems": {"a": str(folders["giraffe"])}, "reference": str(folders["reference"]), "source": None}
    content = {"configuration": {"folders": measured}, "parallel": False}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"metrics.json: the reference has other sentences"):
        kit.from_results(tmp_path)


def test_an_evaluation_of_nothing_is_refused(tmp_path):
    folders = {"systems": {}, "reference": "r", "source": None}
    (tmp_path / "metrics.json").write_text(json.dumps({"configuration": {"folders": folders}}))
    with pytest.raises(ConfigError, match="needs at least one system"):
        kit.from_results(tmp_path)


def test_a_test_takes_the_sentences_that_there_are(folders, tmp_path, capsys):
    assert main(arguments(folders, "mos", tmp_path)) == 0
    counted = {key.sounds_of(item)[0].sentence for key in [read_key(tmp_path / "key.json")] for item in key.items}
    assert len(counted) == SENTENCES - 1 and f"of {SENTENCES - 1} sentences" in capsys.readouterr().out


@pytest.mark.parametrize("metrics", ["{}", "[]", '{"configuration": {"folders": {"systems": 3}}}'])
def test_an_evaluation_that_tells_no_folders_is_refused(tmp_path, metrics):
    (tmp_path / "metrics.json").write_text(metrics)
    with pytest.raises(DataError, match=r"metrics.json: does not name the measured folders"):
        kit.from_results(tmp_path)


@pytest.mark.parametrize(
    ("kind", "changes", "code", "said"),
    [
        ("mos", ["--sentences", 5], 2, "must be at most 4, since all sides share 5 sentences"),
        ("mos", ["--seed", -1], 2, "--seed -1: must be 0 or more"),
        ("mos", ["--results", "x"], 2, "leave --converted, --reference and --source out"),
        ("mos", ["--converted", "x/a", "y/a"], 2, "several folders are called 'a'"),
        ("mos", ["--converted", "reference=x"], 2, "'reference' cannot name a converted system"),
        ("mos", ["--converted", "a=nowhere"], 1, "nowhere: no such folder"),
    ],
)
def test_tests_that_cannot_be_made_are_refused(folders, tmp_path, capsys, kind, changes, code, said):
    assert main(arguments(folders, kind, tmp_path / "o", *changes)) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vc-listen: error: ") and said in line and not (tmp_path / "o").exists()


def test_a_comparison_needs_something_to_compare_with(folders, tmp_path, capsys):
    sides = ["--converted", f"a={folders['giraffe']}", "--reference", folders["reference"]]
    assert main([*map(str, ["make", "--kind", "abx", *sides, "--output", tmp_path])]) == 2
    assert "abx of one system needs --source" in capsys.readouterr().err


def test_silence_is_refused(folders, tmp_path, capsys):
    for number in range(SENTENCES):
        audio.write(tmp_path / f"{number}.wav", np.zeros(RATE), RATE)
    assert main(arguments({**folders, "source": tmp_path}, "mos", tmp_path / "o", "--sentences", 2)) == 1
    assert ".wav: nothing but silence" in capsys.readouterr().err


def test_a_key_that_answers_may_belong_to_stays(folders, tests, capsys):
    before = (tests["mos"] / "key.json").read_bytes()
    assert main(arguments(folders, "mos", tests["mos"], "--seed", 9, "--sentences", 2)) == 2
    assert "key.json: already exists" in capsys.readouterr().err
    assert (tests["mos"] / "key.json").read_bytes() == before


@pytest.mark.parametrize("words", [["--converted", "x"], ["--kind", "ab"], ["--sentences", "0"], []])
def test_wrong_usage_exits_with_2(words):
    with pytest.raises(SystemExit) as stopped:
        main(["make", "--output", "o", *words])
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "mushra"}, "found 8 of 'mushra'"),
        ({"kind": "abx"}, "found 8 of 'abx'"),
        ({"items": {}}, "found 0 of 'mos'"),
        ({"sounds": {}}, "refers to undefined sounds or systems: s"),
        ({"systems": {"giraffe": "x"}}, "undefined sounds or systems: reference, source, walrus"),
        ({"version": 0}, "expected vc-listening-key, version 1, found"),
    ],
)
def test_bad_keys_are_refused(tests, tmp_path, changes, said):
    path = tmp_path / "key.json"
    path.write_text(json.dumps({**json.loads((tests["mos"] / "key.json").read_text()), **changes}))
    with pytest.raises(ConfigError, match=said):
        read_key(path)
