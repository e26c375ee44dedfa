"""Whatever is around a command, a home, a locale, a disk: it works, or says what is in its way."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import soundfile
from conftest import ROOT

from vc import extras
from vc.cli import common
from vc.corpus import audio
from vc.errors import DataError


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_temporary_folder_is_not_blamed_on_the_output(tmp_path, monkeypatch):
    class Full(tempfile.SpooledTemporaryFile):
        write = full

    monkeypatch.setenv("TMPDIR", "/a/small/folder")
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    with pytest.raises(
        DataError, match=r"^/a/small/folder: No space left on device: .*set TMPDIR to a folder with more"
    ):
        audio.write_scaled(tmp_path / "out.wav", [np.zeros(10, np.float32)], 8000, lambda: 1.0)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_of_the_output_is(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    with pytest.raises(DataError, match=r"out\.wav: No space left on device$"):
        audio.write_scaled(tmp_path / "out.wav", [np.zeros(10, np.float32)], 8000, lambda: 1.0)


def test_numba_has_a_folder_where_the_users_cache_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    extras.ensure_numba_cache()
    assert "NUMBA_CACHE_DIR" not in os.environ  # it can be made
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file/cache"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    extras.ensure_numba_cache()
    folder = os.environ["NUMBA_CACHE_DIR"]
    assert os.access(folder, os.W_OK)
    extras.ensure_numba_cache()
    assert os.environ["NUMBA_CACHE_DIR"] == folder


@pytest.mark.skipif(shutil.which("localedef") is None, reason="no localedef on PATH")
@pytest.mark.parametrize(("locale", "charmap"), [("de_DE", "ISO-8859-1"), ("ru_RU", "KOI8-R")])
def test_ids_and_lists_do_not_depend_on_the_locale(locale, charmap, tmp_path):
    places = tmp_path / "locales"
    places.mkdir()
    made = subprocess.run(
        ["localedef", "-f", charmap, "-i", locale, places / f"{locale}.{charmap}"], capture_output=True
    )
    if not (places / f"{locale}.{charmap}").is_dir():
        pytest.skip(f"localedef makes no {locale}.{charmap}: {made.stderr.decode()[-200:]}")
    for number, name in enumerate(("José/你好", "артём/é")):
        path = tmp_path / "in" / f"{name}.wav"
        path.parent.mkdir(parents=True)
        soundfile.write(path, 0.1 * np.random.default_rng(number).standard_normal(8000), 16000)
    code = "import sys; from vc.cli.prepare import main; sys.exit(main())"
    lists = []
    for variables in ({"LC_ALL": f"{locale}.{charmap}", "LOCPATH": str(places)}, {"LC_ALL": "C.UTF-8"}):
        surroundings = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}
        line = [sys.executable, "-c", code, tmp_path / "in", tmp_path / "data"]
        done = subprocess.run(line, env={**surroundings, **variables}, cwd=ROOT, capture_output=True)
        assert done.returncode == 0, done.stderr
        lists.append({path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()})
        shown = done.stdout.decode(charmap if "LOCPATH" in variables else "utf-8")
        assert ("José" if charmap != "KOI8-R" else "артём") in shown
    assert lists[0] == lists[1] and "Jose" in lists[0]["spk2utt"].decode()


def test_too_little_memory_is_one_line(capsys):
    def work(_: object) -> int:
        return len(np.empty(1 << 60, np.uint8))

    assert common.run("vc-x", work, common.parser("vc-x", ""), []) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("vc-x: error: not enough memory: Unable to allocate")
