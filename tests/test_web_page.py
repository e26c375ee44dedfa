"""The page of vc-web in a real browser, whose microphone is a recording."""

import importlib.util
import io
import json
import os
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import DESKTOP, NAMES, PHONE, Browser, Page, installed
from conftest import CORPUS, ROOT, commands
from web_server import COMMAND, Client, serving, until

from vc.convert.level import speech_level
from vc.corpus import audio, data_directory
from vc.corpus.data_directory import Utterance
from vc.live import settings
from vc.web import jobs

pytest.importorskip("uvicorn", reason="the extra web is not installed")
if installed() is None:
    pytest.skip(f"no browser on PATH: {', '.join(NAMES)}", allow_module_level=True)

SAID = CORPUS / "eval/slt/101.flac"
MODEL, VOICE = ROOT / "egs/mini/model.safetensors", "model--rms"
STEPS = 40  # of a training that is watched, stopped and gone on with
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def recorder(tmp_path_factory) -> Iterator[Browser]:
    """A browser whose microphone says a sentence again and again."""
    folder = tmp_path_factory.mktemp("microphone")
    samples, _ = audio.read(SAID, 48000)
    audio.write(folder / "said.wav", samples, 48000)
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with Browser(folder, *fake, f"--use-file-for-fake-audio-capture={folder / 'said.wav'}") as browser:
        yield browser


@pytest.fixture
def forked(monkeypatch):
    """Commands that start quickly; the slow tests start them as the server does."""
    monkeypatch.setattr(jobs, "command_line", lambda words: [str(commands() / words[0]), *words[1:]])


@pytest.fixture
def client(tmp_path) -> Iterator[Client]:
    with serving(tmp_path / "voices") as client:
        yield client


def visit(browser: Browser, client: Client, part: str = "convert", **look: object) -> Page:
    """The page by its address, at one of its parts; the storage that pages share is emptied before."""
    page = browser.open(f"http://{client.host}/?token={client.token}", **look)
    page.evaluate(f"localStorage.clear(); location.hash = '#{part}'")
    page.wait("document.getElementById('folder').textContent !== ''")
    return page


def click(page: Page, selector: str) -> None:
    """Press what can be seen and is not disabled, as soon as it is there."""
    found = f"document.querySelector({json.dumps(selector)})"
    page.wait(f"{found}?.checkVisibility() && !{found}.disabled")
    page.evaluate(f"{found}.click()")


def text(page: Page, selector: str) -> str:
    return page.evaluate(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''")


def fill(page: Page, selector: str, value: str) -> None:
    found = f"document.querySelector({json.dumps(selector)})"
    page.evaluate(f"{found}.value = {json.dumps(value)}; {found}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    page.evaluate(f"{found}.dispatchEvent(new Event('change', {{bubbles: true}}))")


def count(page: Page, selector: str, number: int) -> None:
    page.wait(f"document.querySelectorAll({json.dumps(selector)}).length === {number}")


def faultless(page: Page, client: Client) -> None:
    """Nothing in the console, and nobody else was asked for anything."""
    assert page.faults == []
    assert [url for url in page.requests if not url.startswith(f"http://{client.host}/")] == []


def record(page: Page, panel: str, seconds: float) -> None:
    """Press Record, and once so much was heard, Stop."""
    click(page, f"{panel} .record")
    page.wait(f"document.querySelector('{panel} .recorder [role=status]').textContent.includes('0:0{seconds:.0f}')")
    click(page, f"{panel} .record")


def test_from_an_empty_page_to_a_converted_recording(recorder, forked, tmp_path):
    with serving(tmp_path / "voices", consent=False) as client, visit(recorder, client) as page:
        page.wait("document.getElementById('consent').open")
        page.press("Enter")  # the button has the focus
        page.wait("!document.getElementById('consent').open")
        page.choose_files("#source-intake input", SAID)
        count(page, "#sources > li", 1)
        record(page, "#source-intake", 2)
        count(page, "#sources > li", 2)
        [recorded] = (tmp_path / "voices/sources").glob("recording-*.wav")
        samples, rate = soundfile.read(recorded)
        assert len(samples) > 2 * rate and samples.ndim == 1
        assert speech_level(samples, rate) == pytest.approx(speech_level(*audio.read(SAID)), abs=6)
        page.choose_files("#model-file", MODEL)
        page.wait(f"document.getElementById('voice').value === '{VOICE}'")
        assert text(page, "#convert-start") == "Convert 2 recordings"
        click(page, "#convert-start")
        seen(page, "#convert-state", "^Converted", 240)
        compare(page, client)
        assert page.evaluate("document.getElementById('downloads').checkVisibility()")
        since = len(recorder.events)
        click(page, f"#sources a[href*='{SAID.name}'][href$='flac']")
        made = recorder.download(since)
        expected = soundfile.read(tmp_path / f"voices/converted/{VOICE}/101.wav", dtype="int16")
        assert made.name == f"101-{VOICE}.flac"
        assert np.array_equal(soundfile.read(made, dtype="int16")[0], expected[0])
        since = len(recorder.events)
        click(page, "#downloads a[href$='wav']")
        with zipfile.ZipFile(recorder.download(since)) as archive:
            assert len(archive.namelist()) == 2
            content = archive.read(f"{VOICE}/101.wav")
        assert np.array_equal(soundfile.read(io.BytesIO(content), dtype="int16")[0], expected[0])
        page.reload()
        count(page, "#sources > li", 2)
        assert page.evaluate("document.getElementById('voice').value") == VOICE
        faultless(page, client)


def compare(page: Page, client: Client) -> None:
    """Source and conversion play in step and equally loud, and one is heard at a time."""
    page.evaluate(
        "window.gains = []; const Plain = GainNode;"
        "window.GainNode = class extends Plain { constructor(...all) { super(...all); gains.push(this); } }"
    )
    panel, factors = "#sources > li:last-child", {}  # the one that was added first
    for number, version in enumerate(("source", VOICE)):
        if page.evaluate(f"document.querySelector('{panel} .player').dataset.playing !== 'yes'"):
            click(page, f"{panel} .transport button")
            page.wait(f"document.querySelector('{panel} .player').dataset.playing === 'yes' && gains.length > 1")
        click(page, f"{panel} input[value='{version}']")
        now = "gains.slice(-2).map(each => each.gain.value)"
        page.wait(f"(now => now[{number}] > 0.01 && now[{1 - number}] < 1e-4)({now})")
        until(partial(settled, page, now))
        factors[version] = page.evaluate(now)[number]
    levels = {
        version: float(client("GET", f"/api/playback/{SAID.name}{end}").headers["x-speech-level"])
        for version, end in {"source": "", VOICE: f"/{VOICE}"}.items()
    }
    heard = {version: level + 20 * np.log10(factors[version]) for version, level in levels.items()}
    assert heard["source"] == pytest.approx(heard[VOICE], abs=0.2) and heard[VOICE] <= -22.9
    page.wait(f"document.querySelector('{panel} .player').dataset.playing === 'no'")  # to its end


def settled(page: Page, values: str) -> bool:
    """Whether values of JavaScript stay as they are for a while."""
    before = page.evaluate(values)
    time.sleep(0.1)
    return page.evaluate(values) == pytest.approx(before, abs=1e-6)


def test_sentences_that_are_read_aloud_fill_the_meters(recorder, client, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "LAUNCHER", COMMAND)  # estimates that are not replaced by later ones on a slow machine
    with visit(recorder, client, "train") as page:
        fill(page, "#target-name", "Bert B.")
        click(page, "#target-pile .prompts button")
        first = text(page, "#target-pile .sentence")
        for number in (1, 2):
            record(page, "#target-pile .prompt", 1)
            count(page, "#target-pile details li", number)
        assert text(page, "#target-pile .sentence") != first
        folder = tmp_path / "voices/recordings/Bert_B."
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert sorted(before) == ["prompt-01.wav", "prompt-02.wav"]
        covered = int(re.search(r"(\d+) %", text(page, "#target-pile .prompt small"))[1])
        assert 10 < covered < 60
        for _ in range(2):
            click(page, "#target-pile .prompt .row button:first-child")  # back
        assert text(page, "#target-pile .sentence") == first
        record(page, "#target-pile .prompt", 1)
        until(lambda: sorted(path.name for path in folder.iterdir()) == ["prompt-01-2.wav", "prompt-02.wav"])
        page.wait("document.querySelector('#target-pile [role=status] ~ meter').value > 0")
        page.wait("document.querySelector('#target-pile .words').textContent.includes('Too little')")
        assert int(re.search(r"(\d+) %", text(page, "#target-pile .prompt small"))[1]) == covered
        faultless(page, client)


def test_the_page_says_why_there_is_no_microphone(browser, client):
    with visit(browser, client) as page:
        click(page, "#source-intake .record")
        page.wait("document.querySelector('#source-intake .recorder .bad')?.textContent.length > 20")
        said = text(page, "#source-intake .recorder .bad")
        assert "microphone" in said and "try again" in said
        assert text(page, "#source-intake .record") == "Record"
        faultless(page, client)


def test_what_is_refused_is_named_and_the_rest_is_taken(browser, client, tmp_path):
    (tmp_path / "no recording.wav").write_bytes(b"RIFF")
    with visit(browser, client) as page:
        page.choose_files("#source-intake input", tmp_path / "no recording.wav", SAID)
        count(page, "#sources > li", 1)
        assert "no recording.wav: not a recording that can be read" in text(page, "#source-intake .faults")
        hostile = tmp_path / "<img src=x onerror=alert(1)>.wav"
        shutil.copy(tmp_path / "no recording.wav", hostile)
        page.choose_files("#source-intake input", hostile)
        page.wait("document.querySelector('#source-intake .faults').textContent.includes('<img')")
        assert page.evaluate("document.querySelectorAll('#source-intake img').length") == 0
        refused = "Failed to load resource: the server responded with a status of 422 (Unprocessable Content)"
        assert set(page.faults) <= {refused, refused.replace("Content", "Entity")}


def test_the_page_says_that_the_server_has_ended_or_is_another(browser, tmp_path):
    with serving(tmp_path / "voices") as client:
        page = visit(browser, client)
    with page:
        page.evaluate("document.getElementById('agree').onclick()")
        page.wait("document.getElementById('alert').checkVisibility()")
        assert "Start vc-web again" in text(page, "#alert")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everybody_can_use_every_part(browser, filled, size, dark):
    """By axe-core's rules; nothing is wider than the window, and everything that can be pressed has a name."""
    with visit(browser, filled, size=size, dark=dark) as page:
        for part in ("convert", "train", "measure", "live"):
            page.evaluate(f"location.hash = '#{part}'")
            page.wait(f"document.getElementById('{part}').checkVisibility()")
            if part == "live":
                page.wait("document.getElementById('live-body').checkVisibility()")
            page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
            assert serious_faults(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            headings = page.evaluate("[...document.querySelectorAll('h1')].filter(h => h.checkVisibility()).length")
            assert headings == 1
        faultless(page, filled)


def serious_faults(page: Page) -> list[tuple[str, str]]:
    """What axe-core finds that keeps people out, and where first."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None:
        pytest.skip("axe-core is not installed: tools/requirements-apart.txt has it")
    page.evaluate(f"{(Path(found.origin).parent / 'axe.min.js').read_text()}\n;0")
    faults = page.evaluate("axe.run(document, {iframes: false}).then(found => found.violations)")
    return [(each["id"], each["nodes"][0]["html"]) for each in faults if each["impact"] in SERIOUS]


@pytest.fixture(scope="module")
def sound_card() -> Iterator[None]:
    """Devices for commands, by a test double."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT / 'tests/doubles'}{os.pathsep}{ROOT}")
        yield


@pytest.fixture(scope="module")
def filled(tmp_path_factory, sound_card) -> Iterator[Client]:
    """A server whose folder holds something of everything."""
    folder = tmp_path_factory.mktemp("filled") / "voices"
    for speaker in ("slt", "rms"):
        shutil.copytree(CORPUS / "eval" / speaker, folder / "recordings" / speaker)
    for name in ("slt-rms", "other"):
        (folder / "exp" / name / "evaluation").mkdir(parents=True)
        (folder / "exp" / name / "converted").mkdir()
        (folder / "exp" / name / "evaluation/report.html").write_text("<h1>Report</h1>")
        (folder / "exp" / name / "evaluation/metrics.json").write_text("{}")
    (folder / "exp/slt-rms/samples").mkdir()
    audio.write(folder / "exp/slt-rms/samples/slt-101-to-rms-000000010.wav", *audio.read(SAID))
    lines = [{"step": n, "losses": {"spectrum": 1 / n}, "steps_per_second": 1.0} for n in range(1, 9)]
    (folder / "exp/slt-rms/log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for place in (folder / "sources", folder / "converted/six_voices--TM1"):
        place.mkdir(parents=True)
        audio.write(place / "said.wav", *audio.read(SAID))
    (folder / "exp/mini").mkdir()
    shutil.copy(MODEL, folder / "exp/mini")
    (folder / "tests/blind").mkdir(parents=True)
    (folder / "tests/blind/test.html").write_text("<h1>Test</h1>")
    (folder / "jobs").mkdir()
    for number, state in enumerate(("stopped", "failed", "done"), 1):
        request = {"target": "rms", "source": "slt", "output": "slt-rms"}
        job = {"number": number, "kind": "train", "request": request, "state": state}
        (folder / f"jobs/{number}.json").write_text(json.dumps(job))
        (folder / f"jobs/{number}.log").write_text("vc-train: error: something\n")
    with serving(folder) as client:
        yield client


def test_a_new_report_takes_the_place_of_the_one_before(browser, client, tmp_path):
    report = tmp_path / "voices/exp/one/evaluation/report.html"
    report.parent.mkdir(parents=True)
    with visit(browser, client, "measure") as page:
        for seconds in (10, 20):
            report.write_text(f"<h1>{seconds}</h1>")
            os.utime(report, (seconds, seconds))
            page.evaluate("document.getElementById('agree').onclick()")  # reads the folder again, as the end of a job
            page.wait(f"document.getElementById('report').src.endsWith('/frame/report/one?of={seconds}000')")
        faultless(page, client)


def test_times_are_rounded_before_they_are_split(browser, client):
    with visit(browser, client) as page:
        times = "[59.4, 59.6, 61, 3599.4, 3599.6, 7169, 7170, 7200, 86399]"
        told = page.evaluate(f"import('/static/common.js').then(common => {times}.map(common.duration))")
    assert told[:4] == ["59 s", "1 min 0 s", "1 min 1 s", "59 min 59 s"]
    assert told[4:] == ["1 h 0 min", "1 h 59 min", "2 h 0 min", "2 h 0 min", "24 h 0 min"]


def test_two_models_are_compared_blindly(browser, forked, client, tmp_path):
    folder = tmp_path / "voices"
    for name in ("one", "other"):
        for place in ("converted", "evaluation", "data/held_out"):
            (folder / "exp" / name / place).mkdir(parents=True)
        for speaker, id in {"anna": "slt", "bert": "rms"}.items():
            paths = sorted((CORPUS / "eval" / id).iterdir())[:3]
            said = [Utterance(f"{speaker}-{path.stem}", speaker, path) for path in paths]
            data_directory.write(folder / f"exp/{name}/data/held_out/{speaker}", said)
        for each in paths:
            audio.write(folder / f"exp/{name}/converted/anna-{each.stem}.wav", *audio.read(each))
        held_out = {"source": "/held_out/anna", "reference": "/held_out/bert"}
        about = json.dumps({"configuration": {"folders": held_out}})
        (folder / f"exp/{name}/evaluation/metrics.json").write_text(about)
    with visit(browser, client, "measure") as page:
        fill(page, "#blind-one", "one")
        fill(page, "#blind-other", "other")
        click(page, "#blind button")
        seen(page, "#tests h3", "one-other", 120)
        click(page, "#tests .row button")
        page.wait("document.querySelector('#tests iframe').src.endsWith('/frame/test/one-other')")
        key = json.loads((folder / "tests/one-other/key.json").read_text())
        answers = [{"item": id, "answer": item["sounds"][0]} for id, item in key["items"].items()]
        about = {"format": "vc-listening-answers", "version": 1, "test": key["test"], "listener": "ann"}
        (tmp_path / "answers.json").write_text(json.dumps({**about, "answers": answers}))
        page.choose_files("#tests input", tmp_path / "answers.json")
        seen(page, "#tests .score", "1 listener scored", 120)
        faultless(page, client)


def test_one_speaks_live_on_the_devices_that_are_chosen(browser, client, sound_card):
    device = "--model <b>$(touch x), OSS"
    with visit(browser, client, "live") as page:
        count(page, "#live-input option", 3)
        client.upload("/api/models", "mini", MODEL.read_bytes())
        page.reload()
        count(page, "#live-input option", 3)
        fill(page, "#live-voice", "six_voices--TM1")
        wanted = "vc-live --model six_voices --to TM1 --json"
        page.wait(f"document.getElementById('live-command').textContent === '{wanted}'")
        assert not page.evaluate("document.getElementById('live-methods').checkVisibility()")
        assert page.evaluate("document.getElementById('live-delay').placeholder") == f"{settings.DECODER_DELAY:g}"
        fill(page, "#live-voice", "mini--rms")
        fill(page, "#live-input", device)
        fill(page, "#live-delay", "80")
        page.wait("document.getElementById('live-command').textContent.includes('--delay 80')")
        shown = "vc-live --model exp/mini --to rms --method diff --delay 80 '--input-device=--model <b>$(touch x), OSS'"
        assert text(page, "#live-command") == f"{shown} --json"
        assert page.evaluate("document.getElementById('live-methods').checkVisibility()")
        click(page, "#live-start")
        seen(page, "#live-state", "^Live: slt is heard as rms. From --model <b>.* to Loudspeaker", 60)
        assert text(page, "nav a[href='#live']") == "Live: on"
        assert "of which the conversion 80;" in text(page, "#live-figures")
        for side in ("in", "out"):
            page.wait(f"document.getElementById('live-level-{side}').value > -30")
        assert serious_faults(page) == []
        for key, said in {"mute": "muted", "passthrough": "muted"}.items():
            click(page, f"#live-{key}")
            page.wait(f"document.getElementById('live-{key}').ariaPressed === 'true'")
            seen(page, "#live-state", said, 60)
        click(page, "#live-mute")
        seen(page, "#live-state", "in your own voice", 60)
        click(page, "#live-stop")
        seen(page, "#live-state", "^Ended", 60)
        assert text(page, "nav a[href='#live']") == "Live" and page.evaluate("document.querySelector('b')") is None
        fill(page, "#live-delay", "24")  # which the page takes and this voice is too low for
        click(page, "#live-start")
        seen(page, "#live-faults", "a delay must be in 2", 60)
        faultless(page, client)


def test_how_long_a_training_takes_is_shown_once_nothing_changes(browser, client, monkeypatch):
    monkeypatch.setattr(jobs, "LAUNCHER", COMMAND)
    assert client.upload("/api/recordings/bert", SAID.name, SAID.read_bytes()).status == 201
    with visit(browser, client, "train") as page:
        fill(page, "#target-name", "bert")
        for steps in ("7", "77", "777"):
            fill(page, "#steps", steps)
        seen(page, "#train-estimate", "about 2 min: as train .*/bert .*steps=777 --estimate", 60)
        assert len([url for url in page.requests if url.endswith("/api/estimate")]) == 1
        faultless(page, client)


def test_the_page_says_how_to_get_what_live_conversion_needs(browser, client, monkeypatch):
    monkeypatch.setattr(jobs, "LAUNCHER", COMMAND)
    with visit(browser, client, "live") as page:
        seen(page, "#live-missing", "cannot convert live yet: a sound card needs sounddevice", 60)
        assert not page.evaluate("document.getElementById('live-body').checkVisibility()")
        faultless(page, client)


def test_devices_are_looked_for_again_after_a_failure(browser, client, monkeypatch):
    monkeypatch.setattr(jobs, "LAUNCHER", COMMAND)
    monkeypatch.setattr(jobs, "LONGEST_QUERY", 0.0)
    with visit(browser, client, "live") as page:
        seen(page, "#live-missing", "vc-live: no answer within 0 s", 60)
        monkeypatch.setattr(jobs, "LONGEST_QUERY", 60.0)
        click(page, "#live-devices")
        seen(page, "#live-missing", "cannot convert live yet: a sound card needs sounddevice", 60)
        microphone = {"name": "one", "api": "ALSA", "inputs": 1, "outputs": 0, "default_input": True}
        monkeypatch.setattr(jobs, "LAUNCHER", f"print({json.dumps(json.dumps(microphone))})")
        click(page, "#live-devices")
        page.wait("document.getElementById('live-body').checkVisibility()")
        count(page, "#live-input option", 2)
        assert not page.evaluate("document.getElementById('live-missing').checkVisibility()")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_piles_become_a_measured_voice_whatever_stops_it(recorder, tmp_path):
    """Dropped files, a check, a training that is stopped, gone on with and outlives the server, its report, its use."""
    folder = tmp_path / "voices"
    with serving(folder) as client, visit(recorder, client, "train") as page:
        for side, speaker, name in (("target", "rms", "bert"), ("source", "slt", "anna")):
            fill(page, f"#{side}-name", name)
            paths = sorted((CORPUS / "train" / speaker).iterdir())[:8] + sorted((CORPUS / "eval" / speaker).iterdir())
            page.choose_files(f"#{side}-pile input[type=file]", *paths)
            count(page, f"#{side}-pile details li", 18)
        click(page, "#check")
        page.wait("document.querySelector('#check-result pre') !== null")
        fill(page, "#steps", str(STEPS))
        page.wait("document.getElementById('command').textContent.includes('training.steps')")
        assert text(page, "#command").startswith("vc-train recordings/anna recordings/bert --output exp/anna-bert ")
        click(page, "#train-start")
        seen(page, "#queue .stage", r"step \d+ of", 900)
        click(page, "#queue .action button")
        seen(page, "#queue .state", "stopped", 300)
        click(page, "#queue .action .main")
        seen(page, "#queue .stage", r"step \d+ of", 900)
        faultless(page, client)
    state = json.loads((folder / "jobs/2.json").read_text())["state"]
    assert state == "waiting" and not (folder / "exp/anna-bert/evaluation/report.html").exists()
    with serving(folder) as client, visit(recorder, client, "train") as page:
        seen(page, "#queue .state", "done", 1800)
        assert "bert" in text(page, "#queue .stage")  # the verdict
        assert len(page.evaluate("[...document.querySelectorAll('#queue .curves path')].map(each => 0)")) >= 3
        assert page.evaluate("document.querySelectorAll('#queue audio').length") > 0
        click(page, "#queue .action button:nth-of-type(2)")
        page.wait("document.getElementById('report').src.includes('/frame/report/anna-bert?of=')")
        [document] = client("GET", "/frame/report/anna-bert").body.decode().split("<h1>")[1:]
        assert "bert" in document
        page.evaluate("location.hash = '#train'")
        click(page, "#queue .action .main")
        assert page.evaluate("document.getElementById('voice').value") == "anna-bert--bert"
        page.choose_files("#source-intake input", SAID)
        count(page, "#sources > li", 1)
        click(page, "#convert-start")
        seen(page, "#convert-state", "^Converted", 120)
        assert (folder / "converted/anna-bert--bert/101.wav").is_file()
        faultless(page, client)


def seen(page: Page, selector: str, pattern: str, patience: float) -> None:
    """Wait longer than a page takes: for a command."""
    deadline = time.monotonic() + patience
    while not re.search(pattern, text(page, selector)):
        assert time.monotonic() < deadline, f"{selector}: {text(page, selector)!r}\n{text(page, '#queue pre')}"
        time.sleep(0.2)
