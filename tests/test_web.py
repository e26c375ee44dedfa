"""The server of vc-web: whom it answers, what it takes, and that what was asked for is done in the end."""

import asyncio
import contextlib
import errno
import http.client
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from conftest import CORPUS, ROOT, vowel

pytest.importorskip("uvicorn", reason="the extra web is not installed")

from web_server import COMMAND, Client, serving, until

from vc.cli.web import main
from vc.config import build
from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.files import write_text
from vc.live import settings
from vc.tensor_file import read_content, tensor_file
from vc.web import jobs, recordings, workspace
from vc.web.jobs import DONE, FAILED, RUNNING, STOPPED, WAITING, Job, Jobs, start_process
from vc.web.progress import progress
from vc.web.workspace import Workspace

WAV = audio.encode(0.2 * vowel(0.5, 16000), 16000)
MODEL = ROOT / "egs/mini/model.safetensors"
STATIC = ROOT / "vc/web"


@pytest.fixture(autouse=True)
def commands(monkeypatch):
    """What takes the place of the commands; test_web_page.py runs the real ones."""
    monkeypatch.setattr(jobs, "LAUNCHER", COMMAND)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[tuple[Client, Path]]:
    """One for all tests that end none."""
    folder = tmp_path_factory.mktemp("web") / "voices"
    with serving(folder) as client:
        yield client, folder


@pytest.fixture
def folder(server, tmp_path) -> Iterator[Path]:
    """What the server works in, empty, but for the consent."""
    client, folder = server
    yield folder
    for job in client("GET", "/api/jobs").json["jobs"]:
        client("POST", f"/api/jobs/{job['number']}/stop")
        client("DELETE", f"/api/jobs/{job['number']}")
    for place in folder.iterdir():
        for path in place.iterdir() if place.is_dir() else ():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.fixture
def client(server, folder) -> Client:
    return server[0]


def files(folder: Path) -> list[str]:
    """All that lies below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# Who is answered


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, 200),
        ({"sec_fetch_site": None}, 200),  # no browser
        ({"cookie": None}, 403),
        ({"cookie": "vc_web_1=wrong"}, 403),
        ({"cookie": 'vc_web="\udcff'.encode("utf-8", "surrogateescape").decode("latin-1")}, 403),
        ({"host": "evil.example"}, 421),  # a name that was let point to this machine
        ({"host": "127.0.0.1"}, 421),
        ({"host": None}, 400),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),  # another port of this machine
    ],
)
def test_only_the_browser_that_was_given_the_address_is_answered(client, changes, status):
    for path in ("/api/state", "/static/main.js"):
        reply = client("GET", path, **changes)
        assert reply.status == status and (status != 403 or b"folder" not in reply.body)


@pytest.mark.parametrize("other", ['a={"b": "c"}', "a=[1,2]", 'a="b', "a@b=1", "a", "", "name=Zoë", "vc_web_1=x"])
def test_cookies_of_other_servers_on_this_machine_lock_nobody_out(client, other):
    other = other.encode().decode("latin-1")
    for cookies in (f"{other}; {client.cookie}", f"{client.cookie};{other}"):
        assert client("GET", "/api/jobs", cookie=cookies).status == 200
    for cookies in (other, f"{other}; {client.cookie}x", f"x{client.cookie}; {other}"):
        assert client("GET", "/api/jobs", cookie=cookies).status == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://{host}", "http://{host}0", None])
@pytest.mark.parametrize(("method", "path"), [("POST", "/api/consent"), ("PUT", "/api/sources?name=a.wav")])
def test_no_other_page_can_change_anything(tmp_path, origin, method, path):
    with serving(tmp_path / "voices", consent=False) as client:
        given = origin and origin.format(host=client.host)
        assert client(method, path, WAV, origin=given).status == 403
        assert client(method, path, WAV, sec_fetch_site="cross-site").status == 403
    assert files(tmp_path / "voices") == []


def test_the_address_gives_a_cookie_that_no_script_and_no_other_site_gets(client):
    reply = client("GET", f"/?token={client.token}", cookie=None, sec_fetch_site="none")
    assert reply.status == 303 and reply.headers["location"] == "/" and client.token not in reply.headers["location"]
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith(client.cookie) and "HttpOnly" in cookie and "SameSite=strict" in cookie
    for wrong in ("", "x", client.token[:-1], f"{client.token}x", "%ff"):
        assert client("GET", f"/?token={wrong}", cookie=None).status == 403
    assert client("GET", f"/api/state?token={client.token}", cookie=None).status == 403  # at the entrance alone


def test_the_page_may_load_and_reach_nothing_but_its_own_server(client):
    for path in ("/", "/api/state", "/static/page.css", "/nothing"):
        reply = client("GET", path)
        policy = dict(part.split(maxsplit=1) for part in reply.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == policy["style-src"] == "'self'"
        assert reply.headers["x-content-type-options"] == "nosniff" and "server" not in reply.headers


def test_nothing_is_taken_before_consent(tmp_path):
    with serving(tmp_path / "voices", consent=False) as client:
        assert client("GET", "/api/state").json["consent"] is False
        asked = {"kind": "check", "request": {"speakers": []}}
        for reply in (client.upload("/api/sources", "a.wav", WAV), client("POST", "/api/jobs", asked)):
            assert reply.status == 422 and "agree first" in reply.json["error"]
        assert client("POST", "/api/consent").status == 200
        assert client.upload("/api/sources", "a.wav", WAV).status == 201
    assert "agreed" in (tmp_path / "voices/consent.txt").read_text()


# What comes in


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.wav", "a.wav"),
        ("../../../etc/cron.d/a.wav", "a.wav"),
        ("..\\..\\a.wav", "a.wav"),
        ("/etc/passwd.wav", "passwd.wav"),
        ("..wav", "speaker_"),
        (".hidden.wav", "hidden.wav"),
        ("-rf.wav", "rf.wav"),
        ("a b;$(touch x).WAV", "a_b___touch_x_.wav"),
        ("naïve.wav", "naive.wav"),
        ("你好.wav", "speaker_"),
        ("a\nb\0c.wav", "a_b_c.wav"),
        (f"{'x' * 900}.wav", f"{'x' * workspace.LONGEST_NAME}.wav"),
    ],
)
def test_a_name_is_never_a_path(client, folder, name, kept):
    reply = client.upload("/api/sources", name, WAV)
    assert reply.status == 201, reply.body
    assert reply.json["name"].startswith(kept.removesuffix(".wav")) and reply.json["name"].endswith(".wav")
    assert [path.read_bytes() for path in (folder / "sources").iterdir()] == [WAV]
    assert files(folder.parent) == sorted(["voices/consent.txt", f"voices/sources/{reply.json['name']}"])


@pytest.mark.parametrize("speaker", ["..", "../x", "%2e%2e", "a/b", ".incoming", "/etc"])
def test_a_speaker_is_never_a_path(client, folder, speaker):
    client.upload(f"/api/recordings/{speaker}", "a.wav", WAV)
    client.upload(f"/api/recordings/{speaker.replace('/', '%2F')}", "a.wav", WAV)
    kept = [path for path in files(folder.parent) if path.endswith(".wav")]
    assert all(re.fullmatch(r"voices/recordings/[A-Za-z0-9][\w.-]*/a(-2)?\.wav", path) for path in kept)


@pytest.mark.parametrize("path", ["..", "../..", "%2e%2e", "..%2f..%2fsecret.wav", ".", "%00", "a%00b", "%ff"])
def test_nothing_outside_the_folder_can_be_heard_or_removed(client, folder, path):
    secret = folder.parent / "secret.wav"
    secret.write_bytes(WAV)
    (folder / "sources/link.wav").symlink_to(folder)
    for place in ("playback", "playback/a.wav", "recordings", "converted", "archive", "experiments"):
        assert client("GET", f"/api/{place}/{path}").status in (404, 405), place
    for place in ("sources", "recordings", "converted", "exp", "tests", "jobs", ".incoming", ".."):
        assert client("DELETE", f"/api/{place}/{path}").status in (404, 405)
    secret.unlink()  # it is there
    assert all((folder / name).is_dir() for name in ("sources", "jobs", ".incoming"))


def test_a_link_out_of_the_folder_is_not_written_through(tmp_path):
    folder, outside = tmp_path / "voices", tmp_path / "outside"
    outside.mkdir()
    for name in ("recordings/anna", "recordings/bert", "exp/model", "converted/six_voices--TM1"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(outside)
    with serving(folder) as client:
        assert "leads outside" in client.upload("/api/recordings/anna", "a.wav", WAV).json["error"]
        client.upload("/api/recordings/carl", "a.wav", WAV)
        client.upload("/api/sources", "a.wav", WAV)
        for kind, request in {
            "train": {"target": "carl", "output": "model"},
            "convert": {"voice": "six_voices--TM1", "names": ["a.wav"]},
        }.items():
            reply = client("POST", "/api/jobs", {"kind": kind, "request": request})
            assert reply.status == 422 and "leads outside" in reply.json["error"]
        assert client("DELETE", "/api/recordings/bert").status == 422
    assert not list(outside.iterdir())


@pytest.mark.parametrize("place", ["recordings", "exp", "jobs", ".incoming"])
def test_a_folder_whose_parts_lead_elsewhere_is_refused(tmp_path, place):
    (tmp_path / "voices").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "voices" / place).symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="leads outside"):
        Workspace(tmp_path / "voices")


def test_more_bytes_than_are_taken_are_refused_before_and_while_they_come(client, folder, monkeypatch):
    reply = client("PUT", "/api/sources?name=a.wav", b"", content_length=str(3 << 30))
    assert reply.status == 413 and reply.json["error"] == "3072 MiB; at most 1024 MiB are accepted"
    reply = client("PUT", "/api/sources?name=a.wav", b"", content_length=str((1 << 30) + 1))
    assert reply.status == 413 and reply.json["error"] == "1025 MiB; at most 1024 MiB are accepted"
    monkeypatch.setattr(recordings, "LARGEST", len(WAV) - 1)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(WAV), WAV)
    reply = client("PUT", "/api/sources?name=a.wav", chunked, transfer_encoding="chunked", content_length=None)
    assert reply.status == 413
    assert client("POST", "/api/jobs", b"[" * (1 << 17)).status == 413
    assert client("POST", "/api/jobs", b"[" * (1 << 15)).status == 422
    assert files(folder) == ["consent.txt"]


def test_an_upload_that_breaks_off_leaves_nothing(client, folder):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", client.port)) as connection:
        connection.putrequest("PUT", "/api/sources?name=a.wav", skip_host=True)
        for name, value in {"host": client.host, "cookie": client.cookie, "origin": f"http://{client.host}"}.items():
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(WAV)))
        connection.endheaders(WAV[:-100])
        until(lambda: list((folder / ".incoming").iterdir()))
    until(lambda: not list((folder / ".incoming").iterdir()))
    assert files(folder) == ["consent.txt"]


def test_a_full_disk_is_said(client, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(workspace.shutil, "disk_usage", lambda _: usage)
    reply = client.upload("/api/sources", "a.wav", WAV)
    assert reply.status == 422 and "not enough space" in reply.json["error"]


def claiming(frames: int) -> bytes:
    """A FLAC of a second whose header claims so many frames."""
    content = bytearray(audio.encode(0.2 * vowel(1.0, 16000), 16000, "FLAC"))
    content[21] = (content[21] & 0xF0) | frames >> 32  # of the 36 bits at the end of STREAMINFO's bytes 10 to 17
    content[22:26] = (frames & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(content)


def many_channels() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.tile(vowel(0.5, 8000)[:, None], 60), 8000, format="WAV")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.wav", b"", "a.wav: "),
        ("a.wav", b"RIFF\x10\0\0\0WAVEfmt ", "a.wav: not a recording that can be read"),
        ("a.wav", b"PK\x03\x04" + bytes(1000), "a.wav: not a recording that can be read"),
        ("a.exe", WAV, "unknown file extension"),
        ("a", WAV, "unknown file extension"),
        ("a.flac", claiming(2**36 - 1), "a.flac: 1193.0 hours; at most 4 are accepted"),
        ("a.wav", audio.encode(np.zeros(16000), 16000), "a.wav: nothing but silence"),
        ("a.wav", audio.encode(vowel(0.1, 16000), 16000), "a.wav: 0.10 s, shorter than 0.3 s"),
        ("a.wav", many_channels(), "a.wav: 60 channels; at most 8 are accepted"),
        ("a.m4a", b"#EXTM3U\nfile:///etc/passwd\n", "a.m4a: not a recording that can be read"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_what_is_no_recording_is_refused_by_its_name(client, folder, name, content, said):
    reply = client.upload("/api/sources", name, content)
    assert reply.status == 422 and said in reply.json["error"] and ".incoming" not in reply.json["error"]
    assert files(folder) == ["consent.txt"]


def test_a_recording_longer_than_it_claims_is_not_read_to_its_end(monkeypatch, tmp_path):
    monkeypatch.setattr(recordings, "LONGEST", 1.0)
    monkeypatch.setattr(audio, "info", lambda path: audio.AudioInfo(16000, 1, 1))
    soundfile.write(tmp_path / "a.wav", vowel(2.0, 16000), 16000)
    with pytest.raises(DataError, match="more than 0 hours"):
        recordings.examine(tmp_path / "a.wav")


def tensors(**content: object) -> bytes:
    from safetensors.numpy import save

    return save({"a": np.zeros(1)}, {"vc": json.dumps(content), "sha256": ""})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b"\x80\x04cposix\nsystem\n", "damaged or not safetensors"),
        (lambda: (1 << 60).to_bytes(8, "little"), "a header of"),
        (lambda: tensors(a=1), "not a model of a voice"),
        (lambda: tensors(speakers={"../x": {}}, features={}), "must consist of letters"),
        (lambda: tensors(speakers=[], features={}), "expected a mapping"),
        (lambda: tensors(speakers={}, features={}), "a model of 0 speakers"),
        (lambda: MODEL.read_bytes()[:5000], "damaged or not safetensors"),
    ],
    ids=["pickle", "header", "vocoder", "speaker", "list", "nobody", "cut"],
)
def test_a_file_that_is_no_model_is_refused(client, folder, content, said):
    reply = client.upload("/api/models", "model.safetensors", content())
    assert reply.status == 422 and said in reply.json["error"] and ".incoming" not in reply.json["error"]
    assert files(folder) == ["consent.txt"]


def test_a_model_of_somebody_else_becomes_a_voice(client, folder):
    reply = client.upload("/api/models", "their model.safetensors", MODEL.read_bytes())
    assert reply.status == 201 and reply.json == {"name": "their_model"}
    voices = {voice["id"]: voice for voice in client("GET", "/api/state").json["voices"]}
    assert voices["their_model--rms"]["source"] == "slt" and voices["six_voices--TM1"]["source"] == ""
    (folder / "exp/their_model/model.safetensors").write_bytes(b"spoilt")
    state = client("GET", "/api/state").json
    assert "damaged" in state["faults"]["their_model"]
    assert all(voice["model"] != "their_model" for voice in state["voices"])
    (folder / "exp/looped").mkdir()
    (folder / "exp/looped/model.safetensors").symlink_to("model.safetensors")
    reply = client("GET", "/api/state")
    assert reply.status == 200 and "looped" in reply.json["faults"]


def test_a_model_called_like_the_folder_of_features_gets_another_name(client, folder):
    for name in ("features", "Features"):
        assert client.upload("/api/models", f"{name}.safetensors", MODEL.read_bytes()).status == 201
    names = {experiment["name"] for experiment in client("GET", "/api/state").json["experiments"]}
    assert names == {"features-2", "Features-3"}


def test_two_hundred_uploads_at_once_are_all_kept(client, folder):
    with ThreadPoolExecutor(200) as pool:
        names = pool.map(lambda _: client.upload("/api/recordings/anna", "a.wav", WAV).json["name"], range(200))
    assert sorted(names) == sorted(path.name for path in (folder / "recordings/anna").iterdir())
    assert len(list((folder / "recordings/anna").iterdir())) == 200


def test_names_of_two_recordings_never_give_one_conversion(client):
    names = [client.upload("/api/sources", name, WAV).json["name"] for name in ("a.wav", "A.wav", "a.WAVE", "a-2.wav")]
    assert len({Path(name).stem.lower() for name in names}) == 4


# What goes out


def test_a_conversion_comes_back_as_wav_flac_and_zip(client, folder):
    voice, other = "six_voices--TM1", folder / "converted/six_voices--TM1"
    for name in ("a", "b"):
        client.upload("/api/sources", f"{name}.wav", WAV)
        other.mkdir(exist_ok=True)
        (other / f"{name}.wav").write_bytes(WAV)
    expected = soundfile.read(io.BytesIO(WAV), dtype="int16")[0]
    for format in ("wav", "flac"):
        reply = client("GET", f"/api/converted/{voice}/a.wav?format={format}")
        assert f'filename="a-{voice}.{format}"' in reply.headers["content-disposition"]
        assert np.array_equal(soundfile.read(io.BytesIO(reply.body), dtype="int16")[0], expected)
        archive = zipfile.ZipFile(io.BytesIO(client("GET", f"/api/archive/{voice}?format={format}").body))
        assert archive.namelist() == [f"{voice}/a.{format}", f"{voice}/b.{format}"] and archive.testzip() is None
        content = archive.read(f"{voice}/b.{format}")
        assert np.array_equal(soundfile.read(io.BytesIO(content), dtype="int16")[0], expected)
    assert client("GET", f"/api/converted/{voice}/a.wav?format=exe").status == 422
    assert files(folder / ".incoming") == []


@pytest.mark.parametrize("stem", ["plain", "a b", 'a"b', "naïve", "привет", "a%b;c"])
@pytest.mark.parametrize("format", ["wav", "flac"])
def test_a_download_has_the_name_of_its_source_in_any_language(client, folder, stem, format):
    voice = "six_voices--TM1"
    (folder / f"converted/{voice}").mkdir()
    (folder / f"converted/{voice}/{stem}.wav").write_bytes(WAV)
    reply = client("GET", f"/api/converted/{voice}/{quote(stem)}.wav?format={format}")
    disposition = reply.headers["content-disposition"]
    assert re.fullmatch(r"""attachment; filename(="[\w.-]+"|\*=utf-8''[\w.%-]+)""", disposition, re.ASCII)
    header = Message()
    header["content-disposition"] = disposition
    assert header.get_filename() == f"{stem}-{voice}.{format}"


@pytest.mark.timeout(30)
def test_what_is_not_a_file_is_not_listed_and_not_waited_for(client, folder, monkeypatch):
    (folder / "recordings/anna").mkdir()
    for place in (folder / "sources", folder / "recordings/anna"):
        (place / "a.wav").write_bytes(WAV)
        (place / "album.wav").mkdir()
        (place / "dangling.wav").symlink_to("nowhere")
        (place / "loop.wav").symlink_to("loop.wav")
        os.mkfifo(place / "pipe.wav")
    monkeypatch.setattr("vc.files.PATIENCE", 60)
    state = client("GET", "/api/state").json
    for listed in (state["sources"], state["speakers"][0]["recordings"]):
        assert [(recording["name"], recording["seconds"]) for recording in listed] == [("a.wav", 0.5)]
    assert client("GET", "/api/recordings/anna").json.keys() == {"a.wav"}


def test_a_recording_that_is_removed_while_the_page_asks_is_no_fault_of_the_others(client, folder, monkeypatch):
    (folder / "sources/a.wav").write_bytes(WAV)
    list_names = recordings.list_names
    monkeypatch.setattr(recordings, "list_names", lambda place: sorted([*list_names(place), "removed.wav"]))
    (folder / "recordings/anna").mkdir()
    state = client("GET", "/api/state").json
    sources = {source["name"]: source["seconds"] for source in state["sources"]}
    assert sources == {"a.wav": 0.5, "removed.wav": None}
    assert state["speakers"][0]["recordings"] == [{"name": "removed.wav", "seconds": None}]


def test_a_speaker_whose_name_is_no_unicode_hides_no_other_voice(client, folder):
    with tensor_file(MODEL, "numpy") as file:
        content = read_content(file, MODEL)[0]
    content["speakers"]["rms"]["name"] = "\ud800x"
    (folder / "exp/odd").mkdir()
    (folder / "exp/odd/model.safetensors").write_bytes(tensors(**content))
    reply = client("GET", "/api/state")
    assert reply.status == 200 and reply.body.isascii()
    assert "six_voices--TM1" in {voice["id"] for voice in reply.json["voices"]}


def test_voices_are_live_as_vc_live_takes_them(client, folder):
    with tensor_file(MODEL, "numpy") as file:
        content = read_content(file, MODEL)[0]
    of_world = {"method": "recognition_synthesis", "features": {**content["features"], "kind": "content_world"}}
    changes = {"linear": {"method": "nearest"}, "network": {"method": "cyclegan_vc2"}, "of_world": of_world}
    for name, change in changes.items():
        (folder / "exp" / name).mkdir()
        (folder / "exp" / name / "model.safetensors").write_bytes(tensors(**{**content, **change}))
    live = {voice["id"]: voice["live"] for voice in client("GET", "/api/state").json["voices"]}
    assert (live["linear--rms"], live["network--rms"], live["six_voices--TM1"]) == ("linear", "", "decoder")
    assert live["of_world--rms"] == "decoder_world"
    command = {"kind": "live", "request": {"voice": "six_voices--TM1"}}
    assert client("POST", "/api/command", command).json["command"] == "vc-live --model six_voices --to TM1 --json"
    command["request"]["voice"] = "network--rms"
    assert "its method cannot convert live; these can: nearest" in client("POST", "/api/command", command).json["error"]


def test_a_conversion_is_newer_than_its_source_and_its_model(client, folder):
    """Times in seconds; a model that comes with the package has none."""
    client.upload("/api/models", "mini", MODEL.read_bytes())
    source, model = folder / "sources/a.wav", folder / "exp/mini/model.safetensors"
    source.write_bytes(WAV)
    voices = {"mini--rms", "six_voices--TM1"}
    conversions = [folder / f"converted/{voice}/a.wav" for voice in voices]
    for path in conversions:
        path.parent.mkdir()
        path.write_bytes(WAV)

    def converted(source_time: int, model_time: int, conversion_time: int) -> set[str]:
        times = {source: source_time, model: model_time} | dict.fromkeys(conversions, conversion_time)
        for path, seconds in times.items():
            os.utime(path, (seconds, seconds))
        listed = set(client("GET", "/api/state").json["sources"][0]["converted"])
        for voice in voices:
            with zipfile.ZipFile(io.BytesIO(client("GET", f"/api/archive/{voice}?format=wav").body)) as archive:
                assert archive.namelist() == ([f"{voice}/a.wav"] if voice in listed else [])
        return listed

    assert converted(10, 20, 30) == converted(10, 20, 20) == voices
    assert converted(10, 40, 30) == {"six_voices--TM1"}
    assert converted(40, 20, 30) == set()


def test_what_is_heard_tells_its_level_and_lies_within_full_scale(client, folder):
    loud = 3 * vowel(0.5, 16000)
    soundfile.write(folder / "sources/loud.wav", loud, 16000, subtype="FLOAT")
    soundfile.write(folder / "sources/faint.wav", 0.01 * loud, 16000, subtype="FLOAT")
    levels = {}
    for name in ("loud", "faint"):
        reply = client("GET", f"/api/playback/{name}.wav")
        samples = soundfile.read(io.BytesIO(reply.body))[0]
        levels[name] = float(reply.headers["x-speech-level"])
        assert levels[name] == pytest.approx(recordings.speech_level(samples, 16000), abs=0.3)
    assert levels["loud"] > levels["faint"] + 10


@pytest.mark.parametrize("seconds", [0.3, 3.0])
def test_what_is_there_of_a_truncated_recording_is_heard_as_far_as_the_page_plays(folder, monkeypatch, seconds):
    monkeypatch.setattr(recordings, "LONGEST_PLAYBACK", seconds)
    path = folder / "sources/cut.flac"
    soundfile.write(path, vowel(4.0, 16000), 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert recordings.audio.info(path).seconds == 4.0  # by its header
    heard = len(soundfile.read(io.BytesIO(recordings.playback(path)[0]))[0])
    assert heard == 4800 if seconds == 0.3 else 16000 < heard < 48000


def test_a_report_stands_in_a_frame_that_reaches_nothing(client, folder):
    (folder / "exp/a/evaluation").mkdir(parents=True)
    (folder / "exp/a/evaluation/report.html").write_text("<script>fetch('/api/state')</script>")
    policy = client("GET", "/frame/report/a").headers["content-security-policy"]
    assert "sandbox allow-scripts" in policy and "allow-same-origin" not in policy
    assert "default-src 'none'" in policy and "connect-src" not in policy and "frame-ancestors 'self'" in policy


def test_a_new_report_has_another_time(client, folder):
    report = folder / "exp/a/evaluation/report.html"
    report.parent.mkdir(parents=True)
    times = []
    for seconds in (None, 10, 20):
        if seconds:
            report.write_text("<h1>Report</h1>")
            os.utime(report, (seconds, seconds))
        times += [experiment["report"] for experiment in client("GET", "/api/state").json["experiments"]]
    assert times == [0, 10_000, 20_000]


# What is asked for


def pile(client: Client, *speakers: str) -> None:
    for speaker in speakers:
        assert client.upload(f"/api/recordings/{speaker}", "a.wav", WAV).status == 201


def test_a_job_is_the_command_that_is_shown(client, folder):
    pile(client, "anna", "bert")
    number = client.job("train", source="anna", target="bert", output="a-b", config="nearest")
    done = client.wait(number, DONE)
    assert done["command"] == "vc-train recordings/anna recordings/bert --output exp/a-b --config nearest"
    words = [str(folder / word) if "/" in word else word for word in done["command"].split()]
    assert done["log"] == [" ".join(["vc-fake:", words[0].removeprefix("vc-"), *words[1:]])]
    client.upload("/api/sources", "a.wav", WAV)
    number = client.job("convert", voice="six_voices--TM1", names=["a.wav"])
    command = "vc-convert --model six_voices --to TM1 sources/a.wav --output converted/six_voices--TM1/"
    assert client.wait(number, DONE)["command"] == command


@pytest.mark.parametrize(
    ("kind", "request_", "said"),
    [
        ("shell", {}, "unknown 'shell'"),
        ("train", {"target": "bert", "output": "../x"}, "model's name '../x'"),
        ("train", {"target": "bert", "output": "features"}, "model's name 'features'"),
        ("train", {"target": "bert", "output": "-x"}, "model's name '-x'"),
        ("train", {"target": "../../etc", "output": "x"}, "nothing of that name"),
        ("train", {"target": "nobody", "output": "x"}, "nothing of that name"),
        ("train", {"target": "bert", "output": "x", "config": "/tmp/x.yaml"}, "config: unknown"),
        ("train", {"target": "bert", "output": "x", "steps": -1}, "steps: -1"),
        ("train", {"target": "bert", "output": "x", "extra": 1}, "unknown key extra"),
        ("train", {"target": ["bert"], "output": "x"}, "train.target"),
        ("train", [], "expected a mapping"),
        ("convert", {"voice": "six_voices--TM1", "names": ["../../x.wav"]}, "nothing of that name"),
        ("convert", {"voice": "six_voices--TM1", "names": []}, "no recording to convert"),
        ("convert", {"voice": "/tmp--x", "names": ["a.wav"]}, "no such voice"),
        ("check", {"speakers": ["..", "bert"]}, "nothing of that name"),
        ("compare", {"one": "a", "other": "a"}, "two different models"),
        ("compare", {"one": "a", "other": "../b"}, "nothing of that name"),
        ("score", {"test": "x"}, "nothing of that name"),
        ("live", {"voice": "six_voices--TM1", "method": "diff"}, "method: unknown 'diff'; known: none"),
        ("live", {"voice": "mini--rms", "method": "--help"}, "method: unknown '--help'"),
        ("live", {"voice": "mini--rms", "delay": 0.0}, "delay: 0.0 is not above 0 and at most 1000 ms"),
        ("live", {"voice": "mini--rms", "delay": float("nan")}, "delay"),
        ("live", {"voice": "mini--rms", "input": "a\n--model"}, "input: a device's name"),
        ("live", {"voice": "mini--rms", "output": "x" * 201}, "output: a device's name"),
        ("live", {"voice": "mini--rms", "slack": 101}, "slack: 101 is outside 1..100"),
        ("live", {"voice": "mini--rms", "seconds": 1}, "unknown key seconds"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_by_name(client, folder, kind, request_, said):
    pile(client, "bert")
    client.upload("/api/models", "mini", MODEL.read_bytes())
    client.upload("/api/sources", "a.wav", WAV)
    reply = client("POST", "/api/jobs", {"kind": kind, "request": request_})
    assert reply.status in (404, 422) and said in reply.json["error"]
    assert client("GET", "/api/jobs").json == {"jobs": []} and not list((folder / "jobs").glob("*.json"))


def test_trainings_wait_for_each_other_and_conversions_for_none(client, folder):
    pile(client, "bert")
    client.upload("/api/sources", "a.wav", WAV)
    first, second = (client.job("train", target="bert", output=name) for name in ("long-1", "long-2"))
    client.wait(first, RUNNING)
    client.wait(client.job("convert", voice="six_voices--TM1", names=["a.wav"]), DONE)
    assert client("GET", f"/api/jobs/{second}").json["state"] == WAITING
    again = client("POST", "/api/jobs", {"kind": "train", "request": {"target": "bert", "output": "long-1"}})
    assert again.status == 422 and "is already running or waiting" in again.json["error"]
    for path in ("exp/long-1", "recordings/bert", "recordings/bert/a.wav"):
        assert f"job {first} (train), which is running, needs it" in client("DELETE", f"/api/{path}").json["error"]
    (folder / "exp/long-1/finish").touch()
    client.wait(first, DONE)
    until((folder / "exp/long-2/starts").exists)
    assert client("POST", f"/api/jobs/{second}/stop").status == 200
    assert client.wait(second, STOPPED)["log"][-1] == "saved"


def test_what_stopped_or_failed_can_be_gone_on_with(client, folder):
    pile(client, "bert")
    number = client.job("train", target="bert", output="long")
    client.wait(number, RUNNING)
    until((folder / "exp/long/starts").exists)
    assert client("POST", f"/api/jobs/{number}/resume").status == 422
    client("POST", f"/api/jobs/{number}/stop")
    assert client("POST", f"/api/jobs/{number}/resume").status == 200
    (folder / "exp/long/finish").touch()
    client.wait(number, DONE)
    assert (folder / "exp/long/starts").read_text() == "start\n" * 2
    number = client.job("train", target="bert", output="bad")
    assert client.wait(number, FAILED)["lines"] == ["vc-fake: error: wrong"]
    assert client("DELETE", f"/api/jobs/{number}").status == 200
    assert client("GET", f"/api/jobs/{number}").status == 404


def test_a_training_that_can_be_resumed_stays_in_the_list(tmp_path):
    """Behind any number of other jobs, unless a later training of the same experiment took its place."""
    Workspace(tmp_path)
    states = {"stopped": STOPPED, "failed": FAILED, "done": DONE, "again": STOPPED}
    requests = [("train", {"target": "bert", "output": name}, state) for name, state in states.items()]
    requests += [("train", {"target": "bert", "output": "again"}, DONE), ("live", {"voice": "a--b"}, STOPPED)]
    requests += [("convert", {"voice": "a--b", "names": ["a.wav"]}, DONE)] * jobs.MOST_LISTED
    for number, (kind, request, state) in enumerate(requests, 1):
        job = {"number": number, "kind": kind, "request": request, "state": state}
        (tmp_path / f"jobs/{number}.json").write_text(json.dumps(job))
    listed = Jobs(Workspace(tmp_path)).listing()
    assert [job.kind for job in listed] == ["convert"] * jobs.MOST_LISTED + ["train"] * 2
    assert [job.task.output for job in listed[-2:]] == ["failed", "stopped"]


def test_a_training_goes_on_when_the_server_is_started_again(tmp_path):
    with serving(tmp_path) as client:
        pile(client, "bert")
        running, waiting = (client.job("train", target="bert", output=name) for name in ("long-1", "long-2"))
        client.wait(running, RUNNING)
        until((tmp_path / "exp/long-1/starts").exists)
    with serving(tmp_path) as client:
        client.wait(running, RUNNING)
        until(lambda: (tmp_path / "exp/long-1/starts").read_text() == "start\n" * 2)
        assert client("GET", f"/api/jobs/{waiting}").json["state"] == WAITING
        (tmp_path / "exp/long-1/finish").touch()
        client.wait(running, DONE)
        client.wait(waiting, RUNNING)


START = """
import sys
from vc.cli.web import main
from vc.web import jobs
jobs.LAUNCHER = sys.argv.pop(1)
sys.exit(main())
"""


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen, Client]]:
    """The command itself, with the stand-ins for the others; it has ended by the end of the block."""
    line = [sys.executable, "-c", START, COMMAND, str(folder)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env) as process:
        said = next(line for line in process.stdout if "token=" in line)
        port, token = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", said).groups()
        yield process, Client(int(port), token)
        if process.poll() is None:
            process.terminate()
            assert process.wait(30) == 0 and process.stdout.read() == ""


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asks about has no words."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_the_server_ends_with_a_training_running_which_goes_on(tmp_path, number, status):
    with started(tmp_path) as (process, client):
        client("POST", "/api/consent")
        pile(client, "bert")
        job = client.job("train", target="bert", output="long")
        client.wait(job, RUNNING)
        until((tmp_path / "exp/long/starts").exists)
        pid = json.loads((tmp_path / f"jobs/{job}.json").read_text())["pid"]
        process.send_signal(number)
        assert process.wait(30) == status
    assert lives(pid) == (number == signal.SIGKILL)  # it outlives a server that could not end it
    with started(tmp_path) as (_, client):
        client.wait(job, RUNNING)
        until(lambda: (tmp_path / "exp/long/starts").read_text() == "start\n" * 2)
        assert not lives(pid)
        (tmp_path / "exp/long/finish").touch()
        client.wait(job, DONE)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "shell"},
        {"request": {"target": "bert", "output": "x", "command": "rm"}},
        {"number": 2},
        {"state": "eaten"},
        {"pid": "1"},
        {"words": ["sh"]},
    ],
    ids=str,
)
def test_a_folder_of_somebody_else_can_ask_for_nothing_new(tmp_path, changes):
    job = {"number": 1, "kind": "train", "request": {"target": "bert", "output": "x"}, "state": WAITING}
    found = Workspace(tmp_path)
    (tmp_path / "jobs/1.json").write_text(json.dumps({**job, **changes}))
    (tmp_path / "jobs/3.json").symlink_to("/dev/zero")
    read = Jobs(found)
    assert read.listing() == [] and len(read.faults) == 2


@pytest.mark.timeout(30)
def test_jobs_of_somebody_else_do_not_keep_the_list_from_the_page(tmp_path, monkeypatch):
    """Their words may be no Unicode, and pipes may lie where their files and output should."""
    monkeypatch.setattr("vc.files.PATIENCE", 60)
    Workspace(tmp_path)
    job = {"kind": "check", "request": {"speakers": ["\ud800"]}, "state": DONE}
    for number in (1, 2):
        (tmp_path / f"jobs/{number}.json").write_text(json.dumps({**job, "number": number}))
    os.mkfifo(tmp_path / "jobs/2.log")
    os.mkfifo(tmp_path / "jobs/3.json")
    with serving(tmp_path) as client:
        jobs = client("GET", "/api/jobs").json["jobs"]
        assert [(job["number"], job["request"], job["lines"]) for job in jobs] == [
            (number, {"speakers": ["\ud800"]}, []) for number in (2, 1)
        ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.jsonl", '{"step": 10, "losses": {"a": NaN}}'),
        ("log.jsonl", '{"step": 10, "losses": {"a": 1.0}, "steps_per_second": "a"}'),
        ("log.jsonl", '{"step": 10, "losses": {"a": 1.0}, "steps_per_second": 5e-324}'),
        ("data/held_out/anna/wav.scp", None),
    ],
)
@pytest.mark.timeout(30)
def test_an_experiment_of_somebody_else_does_not_keep_the_list_from_the_page(client, folder, name, content):
    report = '{"step": 1, "losses": {"a": 1}, "steps_per_second": 1}'
    contents = {"config.yaml": "training: {steps: 100}", "train.log": "", "log.jsonl": report}
    for path, text in {**contents, name: content}.items():
        (folder / "exp/theirs" / path).parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            os.mkfifo(folder / "exp/theirs" / path)
        else:
            (folder / "exp/theirs" / path).write_text(f"{text}\n")
    pile(client, "bert")
    number = client.job("train", target="bert", output="theirs")
    assert number in {job["number"] for job in client("GET", "/api/jobs").json["jobs"]}


def test_a_process_that_is_not_ours_is_left_alone(tmp_path):
    """A job's file names a process that has its number by now, or that somebody wrote there."""
    job = {"number": 1, "kind": "train", "request": {"target": "bert", "output": "x"}, "state": RUNNING}
    with subprocess.Popen(["sleep", "60"]) as other:
        Workspace(tmp_path)
        (tmp_path / "jobs/1.json").write_text(json.dumps({**job, "pid": other.pid}))
        with serving(tmp_path) as client:
            assert "nothing of that name" in client.wait(1, FAILED)["log"][0]
        assert other.poll() is None
        other.kill()


LIVE = {"voice": "mini--rms"}  # of MODEL under that name


def test_a_live_session_waits_for_no_training_and_is_the_only_one(client, folder):
    pile(client, "bert")
    client.upload("/api/models", "mini", MODEL.read_bytes())
    training = client.job("train", target="bert", output="long")
    client.wait(training, RUNNING)
    number = client.job("live", **LIVE)
    client.wait(number, RUNNING)
    assert "which is running, needs it" in client("DELETE", "/api/exp/mini").json["error"]
    reply = client("POST", "/api/jobs", {"kind": "live", "request": LIVE})
    assert reply.status == 422 and reply.json["error"] == "a live session is already running: stop it first"
    until(lambda: client("GET", f"/api/jobs/{number}/status").json == {"muted": False, "passthrough": False})
    for key, state in {"mute": "muted", "passthrough": "passthrough"}.items():
        for wanted in (True, False):
            assert client("POST", f"/api/jobs/{number}/press/{key}").status == 200
            until(lambda: client("GET", f"/api/jobs/{number}/status").json[state] is wanted)  # noqa: B023
    for path in (f"{number}/press/q", f"{number}/press/m%0aq", f"{training}/press/mute"):
        assert client("POST", f"/api/jobs/{path}").status == 422
    client("POST", f"/api/jobs/{number}/stop")
    ended = client.wait(number, STOPPED)
    assert "no state" in ended["log"] and not any("muted" in line for line in ended["log"])  # states fill no disk
    assert client("GET", f"/api/jobs/{number}/status").json == {}
    assert client("POST", f"/api/jobs/{number}/press/mute").status == 422
    client.wait(client.job("live", **LIVE), RUNNING)
    assert client("POST", f"/api/jobs/{number}/resume").status == 422
    (folder / "exp/long/finish").touch()


@pytest.mark.parametrize("name", ["--model", "-h", "$(touch x); `touch y`", "'\"", "/etc/passwd", "naïve 你"])
def test_a_device_is_one_word_of_the_command_whatever_its_name(client, name):
    client.upload("/api/models", "mini", MODEL.read_bytes())
    number = client.job("live", input=name, output=name, **LIVE)
    until(lambda: client("GET", f"/api/jobs/{number}/status").json)
    job = client("GET", f"/api/jobs/{number}").json
    devices = [f"--input-device={name}", f"--output-device={name}"]
    words = ["live", "--model", "exp/mini", "--to", "rms", *devices, "--json"]
    assert shlex.split(job["command"]) == ["vc-live", *words[1:]]
    assert job["log"][0].endswith(" ".join(words[3:]))


@pytest.mark.parametrize("state", [WAITING, RUNNING])
def test_no_microphone_opens_when_the_server_starts(tmp_path, state):
    job = {"number": 1, "kind": "live", "request": LIVE, "state": state}
    Workspace(tmp_path)
    (tmp_path / "jobs/1.json").write_text(json.dumps(job))
    with serving(tmp_path) as client:
        assert client("GET", "/api/jobs/1").json["state"] == STOPPED and not (tmp_path / "jobs/1.log").exists()
        client.upload("/api/models", "mini", MODEL.read_bytes())
        number = client.job("live", **LIVE)
        client.wait(number, RUNNING)
    assert json.loads((tmp_path / f"jobs/{number}.json").read_text())["state"] == STOPPED


def test_a_live_session_ends_with_a_server_that_is_killed(tmp_path):
    with started(tmp_path) as (process, client):
        client("POST", "/api/consent")
        client.upload("/api/models", "mini", MODEL.read_bytes())
        number = client.job("live", **LIVE)
        until(lambda: client("GET", f"/api/jobs/{number}/status").json)
        pid = json.loads((tmp_path / f"jobs/{number}.json").read_text())["pid"]
        process.kill()
        process.wait(30)
    until(lambda: not lives(pid))


SLOW, QUICK = ({"kind": "train", "request": {"target": "bert", "output": name}} for name in ("slow", "quick"))


def test_how_long_a_training_takes_is_asked_of_its_command(client, folder):
    pile(client, "bert")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(client, "POST", "/api/estimate", SLOW)
        until((folder / "exp/slow.pid").exists)
        reply = client("POST", "/api/estimate", QUICK)
        assert reply.json["estimate"].startswith("2 min: as train") and "--estimate" in reply.json["estimate"]
        assert slow.result().json == {"error": "vc-train: replaced by a later request"}
    assert client("GET", "/api/jobs").json == {"jobs": []}
    assert client("POST", "/api/estimate", {"kind": "live", "request": LIVE}).status == 422


def test_a_server_that_ends_lets_nobody_go_on_estimating(tmp_path, monkeypatch):
    monkeypatch.setattr("vc.web.server.GRACE", 0)
    with ThreadPoolExecutor(1) as pool:
        with serving(tmp_path) as client:
            pile(client, "bert")
            slow = pool.submit(client, "POST", "/api/estimate", SLOW)
            pid, temporary = until(lambda: (path := tmp_path / "exp/slow.pid").exists() and path.read_text().split())
        assert slow.exception() is not None or slow.result().status >= 400
    assert not lives(int(pid)) and not Path(temporary).exists()


def test_an_answer_that_begins_while_the_server_ends_is_not_awaited(tmp_path, monkeypatch):
    everything, start, processes = Jobs(Workspace(tmp_path)), jobs.start_process, []

    async def start_late(*words: object, **streams: object) -> asyncio.subprocess.Process:
        processes.append(await start(*words, **streams))
        await everything.close()
        return processes[0]

    monkeypatch.setattr(jobs, "start_process", start_late)
    with pytest.raises(DataError, match="the server is shutting down"):
        asyncio.run(everything.query(["vc-train", "--output", str(tmp_path / "slow"), "--estimate"]))
    assert processes[0].returncode == -signal.SIGKILL


FAULTS = [
    ("sys.exit('a library: error: x\\n{0}: error: one\\n{0}: error: two\\n{0}: warning: three')", "one two"),
    ("sys.exit(3)", "{0} failed without giving a reason"),
    ("os.kill(os.getpid(), 9)", "{0} failed without giving a reason"),
]


@pytest.mark.parametrize(("script", "said"), FAULTS)
def test_a_failed_command_is_reported_by_its_own_errors(client, monkeypatch, script, said):
    pile(client, "bert")
    for command, path, body, status in (
        ("vc-live", "devices", None, 200),
        ("vc-train", "estimate", QUICK, 422),
    ):
        monkeypatch.setattr(jobs, "LAUNCHER", f"import os, sys; {script.format(command)}")
        reply = client("POST" if body else "GET", f"/api/{path}", body)
        assert reply.status == status and said.format(command) in reply.json.values()


def test_what_is_no_device_is_left_out(client, monkeypatch):
    lines = ["a library says", '{"name": "one"}', "", '{"name": "two"}']
    monkeypatch.setattr(jobs, "LAUNCHER", f"print(*{lines!r}, sep=chr(10))")
    assert client("GET", "/api/devices").json == {"devices": [{"name": "one"}, {"name": "two"}], "fault": ""}


@pytest.mark.parametrize("kind", ["convert", "live"])
def test_a_waiting_job_needs_its_voice_and_the_model_of_it(tmp_path, kind):
    more = {"names": ["a.wav"]} if kind == "convert" else {}
    Workspace(tmp_path)
    job = {"number": 1, "kind": kind, "request": {"voice": "a--b--rms", **more}}
    (tmp_path / "jobs/1.json").write_text(json.dumps(job))
    waiting = Jobs(Workspace(tmp_path))
    for name, needed in {"a--b--rms": True, "a--b": True, "b": False, "rms": False, "a-": False, "": False}.items():
        assert (waiting.user_of(name) is not None) == needed, name


def test_a_log_that_cannot_be_written_ends_no_session(tmp_path):
    class Full(io.BytesIO):
        def write(self, content: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    async def follow() -> dict[str, object]:
        output = asyncio.StreamReader()
        output.feed_data(b'no state\n{"muted": true}\n')
        output.feed_eof()
        session = Job(1, "live", LIVE)
        everything._jobs[1] = session
        await everything._follow(session, output, Full())
        return everything.status(1)

    everything = Jobs(Workspace(tmp_path))
    assert asyncio.run(follow()) == {"muted": True}


@pytest.mark.parametrize("moment", ["log", RUNNING])
def test_a_job_fails_in_one_line_where_the_disk_is_full_and_the_next_one_runs(client, folder, monkeypatch, moment):
    pile(client, "bert")
    no_space = errno.ENOSPC, os.strerror(errno.ENOSPC)

    def write(path: Path, text: str) -> None:
        if json.loads(text)["state"] == moment:
            raise OSError(*no_space, str(path))
        write_text(path, text)

    def open_log(path: Path) -> io.RawIOBase:
        raise OSError(*no_space, str(path))

    with monkeypatch.context() as full:
        full.setattr(jobs, "write_text", write)
        if moment == "log":
            full.setattr(jobs, "open_in_place", open_log)
        number = client.job("train", target="bert", output="long")
        failed = client.wait(number, FAILED)
    path = folder / f"jobs/{number}.{'log' if moment == 'log' else 'json'}"
    about = next(job for job in client("GET", "/api/jobs").json["jobs"] if job["number"] == number)
    assert about["lines"] == [f"vc-web: error: {path}: No space left on device"] == failed["log"][-1:]
    client.wait(client.job("train", target="bert", output="next"), DONE)
    (folder / "exp/long").mkdir(exist_ok=True)
    (folder / "exp/long/finish").touch()
    assert client("POST", f"/api/jobs/{number}/resume").status == 200
    done = client.wait(number, DONE)
    assert not any("error" in line for line in done["log"])


@pytest.mark.parametrize("space", ["none", "of the file before"])
@pytest.mark.parametrize(("output", "state"), [("quick", DONE), ("bad", FAILED), ("long", STOPPED)])
def test_a_job_whose_end_cannot_be_recorded_has_ended_and_runs_no_more(tmp_path, monkeypatch, output, state, space):
    written = tmp_path / "jobs/1.json"

    def write(path: Path, text: str) -> None:
        if json.loads(text)["state"] == state and (space == "none" or path.exists()):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_text(path, text)

    monkeypatch.setattr(jobs, "write_text", write)
    with serving(tmp_path) as client:
        pile(client, "bert")
        number = client.job("train", target="bert", output=output)
        if state == STOPPED:
            client.wait(number, RUNNING)
            until((tmp_path / "exp/long/starts").exists)
            client("POST", f"/api/jobs/{number}/stop")
        log = client.wait(number, state)["log"]
        said = f"vc-web: error: {written}: No space left on device"
        assert (said in log) == (space == "none") == (not written.exists())
        client.wait(client.job("check", speakers=["bert"]), DONE)  # no worker has ended
    monkeypatch.undo()
    assert [job.state for job in Jobs(Workspace(tmp_path)).listing() if job.number == 1] == [state] * written.exists()


@pytest.mark.parametrize("removed", [False, True])
def test_a_job_that_is_stopped_while_its_process_starts_stays_stopped(client, monkeypatch, removed):
    pile(client, "bert")
    asked, go_on, processes = threading.Event(), threading.Event(), []

    async def start(*words, **options):
        asked.set()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        processes.append(await start_process(*words, **options))
        return processes[-1]

    with monkeypatch.context() as slow:
        slow.setattr(jobs, "start_process", start)
        number = client.job("train", target="bert", output="long")
        assert asked.wait(10)
        assert client("POST", f"/api/jobs/{number}/stop").status == 200
        if removed:
            assert client("DELETE", f"/api/jobs/{number}").status == 200
        go_on.set()
        client.wait(client.job("train", target="bert", output="next"), DONE)
    assert processes[0].returncode not in (None, 0)
    states = {job["request"]["output"]: job["state"] for job in client("GET", "/api/jobs").json["jobs"]}
    assert states == {"next": DONE} | ({} if removed else {"long": STOPPED})


def test_what_cannot_be_recorded_is_refused_and_changes_nothing(client, folder, monkeypatch):
    pile(client, "bert")
    number = client.job("train", target="bert", output="bad")
    client.wait(number, FAILED)
    request = {"kind": "train", "request": {"target": "bert", "output": "other"}}
    with monkeypatch.context() as full:
        full.setattr(jobs, "write_text", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device", "x.json")))
        for path, content in (("/api/jobs", request), (f"/api/jobs/{number}/resume", None)):
            reply = client("POST", path, content)
            assert (reply.status, reply.json) == (422, {"error": "x.json: No space left on device"})
    assert [(job["number"], job["state"]) for job in client("GET", "/api/jobs").json["jobs"]] == [(number, FAILED)]


def test_commands_import_nothing_from_where_they_run(monkeypatch, tmp_path):
    monkeypatch.undo()
    (tmp_path / "vc.py").write_text("raise SystemExit('taken from the folder')")
    done = subprocess.run(
        jobs.command_line(["vc-train", "--version"]), cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.startswith("vc ") and done.returncode == 0


def test_a_blind_test_needs_two_models_measured_against_one_target(client, folder):
    for name, target in {"a": "bert", "b": "bert", "c": "carl"}.items():
        (folder / f"exp/{name}/converted").mkdir(parents=True)
        (folder / f"exp/{name}/evaluation").mkdir()
        for speaker in ("anna", target):
            (folder / f"exp/{name}/data/held_out/{speaker}").mkdir(parents=True)
        about = {"configuration": {"folders": {"reference": f"/elsewhere/{target}", "source": "/elsewhere/anna"}}}
        (folder / f"exp/{name}/evaluation/metrics.json").write_text(json.dumps(about))
    reply = client("POST", "/api/jobs", {"kind": "compare", "request": {"one": "a", "other": "c"}})
    assert reply.json["error"] == "a speaks as bert, c as carl: choose two models of one target"
    command = client.wait(client.job("compare", one="a", other="b"), DONE)["command"]
    assert "--converted a=exp/a/converted b=exp/b/converted --reference exp/a/data/held_out/bert" in command
    assert "--source exp/a/data/held_out/anna" in command


# What is told


def test_progress_follows_the_folder(tmp_path):
    assert progress(tmp_path / "none", 0.0)["stage"] == "training"
    assert progress(tmp_path / "none", 1.0)["stage"] == "preparing"
    began = time.time() - 10
    (tmp_path / "config.yaml").write_text("training:\n  steps: 400\n")
    (tmp_path / "train.log").touch()
    lines = [{"step": n, "losses": {"spectrum": 1 / n}, "steps_per_second": 2.0} for n in range(1, 1001)]
    lines = [line for line in lines if line["step"] <= 300] + [{"step": 300, "held_out": {"score": 0.5}}]
    (tmp_path / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    told = progress(tmp_path, began)
    assert (told["stage"], told["step"], told["steps"], told["seconds_left"]) == ("training", 300, 400, 50.0)
    assert told["curves"]["held_out_score"] == [(300, 0.5)]
    assert len(told["curves"]["spectrum"]) <= 200 and told["curves"]["spectrum"][-1] == (300, 1 / 300)
    (tmp_path / "converted").mkdir()
    (tmp_path / "converted/anna-1.wav").touch()
    assert progress(tmp_path, began)["stage"] == "measuring"
    (tmp_path / "config.yaml").write_text("training: [")
    assert progress(tmp_path, began)["steps"] == 0


def test_the_page_has_the_limits_of_the_command(client):
    page = client("GET", "/").body.decode()
    fields = {
        id: dict(re.findall(r'(min|max|value|data-linear|data-decoder|data-decoder_world)="(-?[\d.]+)"', attributes))
        for id, attributes in re.findall(r'id="live-([\w-]+)"([^>]*)', page)
    }
    delay, slack, level = (fields[name] for name in ("delay", "slack", "level-in"))
    usual = [float(delay[f"data-{kind}"]) for kind in ("linear", "decoder", "decoder_world")]
    assert usual == [settings.DELAY, settings.DECODER_DELAY, settings.WORLD_DECODER_DELAY]
    assert float(delay["max"]) == settings.LONGEST_DELAY
    assert (int(slack["data-linear"]), int(slack["max"])) == (settings.SLACK, settings.MOST_SLACK)
    assert float(level["min"]) == float(level["value"]) == settings.METER_FLOOR
    assert f"blocks of {settings.BLOCK:g} milliseconds" in page


def test_every_text_is_used_and_none_is_missing():
    text = json.loads((STATIC / "text/en.json").read_text())
    scripts = "".join(path.read_text() for path in (STATIC / "static").glob("*.js"))
    page, server = (STATIC / "templates/page.html").read_text(), (STATIC / "app.py").read_text()
    used = set(re.findall(r"\bt\.(\w+)", page)) | set(re.findall(r"(?:say|button)\('(\w+)'", scripts))
    quoted = set(re.findall(r"'(\w+)'", scripts)) | set(re.findall(r'"(\w+)"', server)) | {"language"}
    begun = tuple(re.findall(r"`(\w+_)\$\{", scripts))
    assert used <= set(text), used - set(text)
    assert set(text) <= used | quoted | {key for key in text if key.startswith(begun)}
    assert not re.search(r">[A-Za-z]{3}", re.sub(r"\{\{.*?\}\}|<title>.*", "", page))


@pytest.mark.slow
def test_prompts_cover_the_sounds_of_english_soon():
    pytest.importorskip("hama", reason="hama, of the extra eval, is not installed")
    from vc.metrics.phones import from_text

    rows = [line.split("\t") for line in (STATIC / "text/prompts.tsv").read_text().splitlines()]
    assert [row[0] for row in rows] == [f"{number:02d}" for number in range(1, len(rows) + 1)]
    known = {phone for *_, phones in rows for phone in phones.split()}
    assert len(known) == 40
    for _, sentence, phones in rows:
        assert [phone for phone in from_text(sentence) if phone in known] == phones.split(), sentence
    first = [phone for *_, phones in rows[:15] for phone in phones.split()]
    assert set(first) == known
    assert not {sentence for _, sentence, _ in rows} & set((ROOT / "egs/mini/sentences.tsv").read_text().split("\t"))


# The command


def test_a_port_in_use_and_a_folder_in_use_are_said(client, folder, tmp_path, capsys):
    assert main([str(tmp_path / "other"), "--port", str(client.port)]) == 2
    assert f"port {client.port}: Address already in use" in capsys.readouterr().err
    with started(tmp_path / "mine"):
        assert main([str(tmp_path / "mine")]) == 1
    assert "in use by process" in capsys.readouterr().err


def test_names_of_files_cannot_write_to_the_terminal_or_end_the_server(tmp_path):
    Workspace(tmp_path)
    for name in (b"\x1b[2J.json", b"\xff.json"):
        (tmp_path / "jobs" / os.fsdecode(name)).write_text("{}")
    script = "from unittest.mock import Mock; from vc.cli.web import main; from vc.web import server"
    script += "; server.server_of = Mock(); raise SystemExit(main())"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:strict"}
    run = subprocess.run([sys.executable, "-c", script, tmp_path], env=env, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert all(line.isprintable() for line in lines) and "?token=" in lines[-1]
    assert {line.split(": ")[1] for line in lines if line.startswith("left out: ")} == {
        f"{tmp_path}/jobs/{name}.json" for name in ("\\x1b[2J", "\\udcff")
    }


def test_the_extra_is_named_where_it_is_missing(monkeypatch, capsys):
    monkeypatch.setattr("vc.extras.missing", lambda *modules: [*modules])
    assert main([]) == 2
    assert "vc-web needs starlette, uvicorn, of the extra web; to install it: pip install" in capsys.readouterr().err


def test_a_real_recording_is_measured_when_it_comes(client):
    path = CORPUS / "eval/slt/101.flac"
    about = client.upload("/api/recordings/slt", path.name, path.read_bytes()).json
    assert about["seconds"] == pytest.approx(audio.info(path).seconds, abs=0.01)
    assert 0 < about["speech"] <= about["seconds"] and about["noise"] < about["level"] < 0
    assert client("GET", "/api/recordings/slt").json["101.flac"]["level"] == about["level"]


def test_a_job_says_what_is_wrong_with_it():
    with pytest.raises(ConfigError, match="state: unknown"):
        build(Job, {"number": 1, "kind": "check", "request": {"speakers": ["a"]}, "state": "x"}, "1.json")
