"""Windows of a long recording: their frames are the whole's, and memory does not follow the length."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from conftest import CORPUS, ROOT, command

from vc.corpus import audio, data_directory
from vc.corpus.data_directory import Utterance
from vc.features.extract import Window, track_window, window_features, windows_of
from vc.features.f0 import F0Range
from vc.features.mel import MelFeatures
from vc.features.store import read_features
from vc.features.world import WorldConfig

RANGE = F0Range(80, 300)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Half a minute and more of one voice, in stereo, at another rate than the features'."""
    parts = [audio.read(path)[0] for path in sorted((CORPUS / "eval/slt").iterdir())]
    samples = audio.resample(np.resize(np.concatenate(parts), 32 * 16000), 16000, 32000)
    path = tmp_path_factory.mktemp("long") / "long.flac"
    soundfile.write(path, np.stack([samples, samples], 1), 32000)
    return Utterance("slt-long", "slt", path)


@pytest.mark.parametrize(("rate", "frame_shift"), [(16000, 5.0), (22050, 8.0)])
def test_frames_of_windows_are_those_of_the_whole(rate, frame_shift, long):
    config = WorldConfig(rate, frame_shift, f0_method="dio")
    parts = [window_features(window, config, RANGE) for window in windows_of(long)]
    assert len(parts) == 2
    whole = config.extract(audio.read(long.path, rate)[0], RANGE)
    f0, frames = (np.concatenate([part[name] for part in parts]) for name in ("f0", "frames"))
    assert len(f0) == len(whole[0]) and frames.shape == whole[1].shape
    same = np.isclose(f0, whole[0], rtol=0.02)
    assert same.mean() > 0.98
    error = np.abs(frames - whole[1])[same].mean(axis=1)
    assert np.quantile(error, 0.98) < 0.03


def test_log_mel_of_windows_is_that_of_the_whole(long):
    config = MelFeatures(f0_method="dio")
    parts = [window_features(window, config, RANGE)["frames"] for window in windows_of(long)]
    whole = config.extract(audio.read(long.path, config.sample_rate)[0], RANGE)[1]
    assert sum(map(len, parts)) == len(whole)
    assert np.quantile(np.abs(np.concatenate(parts) - whole), 0.99) < 0.05  # a window begins between two samples


def test_the_first_pass_keeps_its_times(long):
    config = WorldConfig(16000)
    tracks = [track_window(window, config, RANGE) for window in windows_of(long)]
    times = np.concatenate([each["times"] for each in tracks])
    np.testing.assert_allclose(times, np.arange(len(times)) * 0.005, atol=1e-9)
    assert {name: len(values) for each in tracks for name, values in each.items()}.keys() >= {"f0", "power"}


def test_content_of_windows_has_as_many_frames_as_that_of_the_whole(long, encoder):
    from vc.encoders.features import complete, content_of, encoder_of
    from vc.features.content import ContentConfig, ContentFeatures

    config = complete(ContentFeatures(f0_method="dio", content=ContentConfig(str(encoder))))
    parts = [window_features(window, config, RANGE)["content"] for window in windows_of(long)]
    whole = content_of(audio.read(long.path, config.sample_rate)[0], config, encoder_of(config))
    assert sum(map(len, parts)) == len(whole)
    np.testing.assert_allclose(np.concatenate(parts)[600:740], whole[600:740], atol=0.05)


@pytest.mark.parametrize(("start", "end", "count"), [(None, None, 2), (5.0, 20.0, 1), (0.5, 31.0, 2), (0.0, 900.0, 2)])
def test_what_is_short_is_one_window_and_a_header_is_not_believed(start, end, count, long):
    found = windows_of(Utterance("slt-1", "slt", long.path, start, end))
    assert len(found) == count and [window.last for window in found] == [False] * (count - 1) + [True]
    gone = Utterance("slt-2", "slt", long.path.with_name("gone.wav"))
    assert windows_of(gone) == [Window(gone)]


def test_a_recording_that_claims_hours_is_as_long_as_it_is(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    place = content.index(b"data") + 4
    content[4:8] = content[place : place + 4] = (2**30).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(bytes(content))
    assert len(windows_of(Utterance("a", "a", tmp_path / "a.wav"))) == 1
    assert audio.count(tmp_path / "a.wav") == 16000


def extracted(folder, *settings):
    """What vc-extract says in a process of its own, and how many megabytes it took at most."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom vc.cli.extract import main\nmain(sys.argv[1:])\n"
        "print('torch:', 'torch' in sys.modules)\n"
        "print(*(line.split()[1] for line in Path('/proc/self/status').open() if line.startswith('VmHWM')))"
    )
    words = [folder / "data", folder / "dump", "--jobs", "1", "--set", "features.f0_method=dio", *settings]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout, int(done.stdout.split()[-1]) / 1000


def test_mel_cepstra_are_extracted_without_torch_in_memory_that_does_not_follow_the_length(long, tmp_path):
    data_directory.write(tmp_path / "data", [replace(long, id="slt-whole")])
    said, megabytes = extracted(tmp_path, "--set", "features.sample_rate=16000")
    assert "torch: False" in said and megabytes < 250
    features = read_features(tmp_path / "dump")
    [frames] = features.frames("slt")
    assert len(frames) == 32 * 200 + 1 and features.speakers["slt"].utterances == 1
    assert features.speakers["slt"].frames == len(frames) and list(features.recordings) == ["slt-whole"]


@pytest.mark.slow
def test_an_hour_in_one_file_takes_no_more_memory_than_a_minute(long, tmp_path):
    (tmp_path / "in/slt").mkdir(parents=True)
    samples = audio.read(long.path, 8000)[0]
    with soundfile.SoundFile(tmp_path / "in/slt/hour.wav", "w", 8000, 1) as file:
        for _ in range(3600 // 32):
            file.write(samples)
    command("prepare", tmp_path / "in", tmp_path / "data")
    assert extracted(tmp_path)[1] < 500
