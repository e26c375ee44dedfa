"""Recordings in and out: every format and rate, whole or not at all, refusals in one line."""

import numpy as np
import pytest
import soundfile
from conftest import vowel

from vc.corpus import audio
from vc.corpus.limiter import CEILING
from vc.errors import DataError


@pytest.mark.parametrize(
    ("suffix", "subtype", "error"),
    [
        ("wav", "PCM_16", 1e-4),
        ("wav", "PCM_24", 1e-6),
        ("wav", "FLOAT", 1e-7),
        ("wav", "DOUBLE", 1e-7),
        ("wav", "PCM_U8", 1e-2),
        ("wav", "ULAW", 5e-2),
        ("flac", "PCM_16", 1e-4),
        ("aiff", "PCM_16", 1e-4),
        ("w64", "PCM_16", 1e-4),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_reads_what_libsndfile_decodes_mixed_down(suffix, subtype, error, channels, tmp_path, random):
    samples = 0.3 * random.standard_normal((4000, channels)).clip(-3, 3)
    soundfile.write(tmp_path / f"a.{suffix}", samples, 22050, subtype=subtype)
    read, rate = audio.read(tmp_path / f"a.{suffix}")
    assert rate == 22050 and read.dtype == np.float32
    np.testing.assert_allclose(read, samples.mean(axis=1), atol=error)


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_reads_lossy_formats(suffix, tmp_path):
    samples = vowel(1.0, 32000)
    soundfile.write(tmp_path / f"a.{suffix}", samples, 32000)
    read, rate = audio.read(tmp_path / f"a.{suffix}")
    assert rate == 32000 and abs(len(read) - len(samples)) < 3000 and np.abs(read).max() > 0.3


@pytest.mark.parametrize("rate", [44100, 48000])
def test_mp3_in_blocks_and_from_a_start_is_what_one_read_gives(rate, tmp_path, random, capfd):
    """libmpg123 decodes wrongly after a seek, and soundfile seeks after each block."""
    samples = vowel(3.0, rate) * (1 + 0.5 * random.standard_normal(3 * rate).clip(-1, 1))  # every frame needs its bits
    soundfile.write(tmp_path / "a.mp3", samples, rate)
    whole, _ = soundfile.read(tmp_path / "a.mp3", dtype="float32")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.mp3")[0], whole)
    for start, end in ((0.1, 0.3), (1.234, None), (2.0, 2.9)):
        part, _ = audio.read(tmp_path / "a.mp3", start=start, end=end)
        expected = whole[round(start * rate) : None if end is None else round(end * rate)]
        np.testing.assert_allclose(part, expected, atol=1e-6)
    assert not capfd.readouterr().err


@pytest.mark.parametrize(
    ("rate", "new"), [(8000, 16000), (44100, 16000), (48000, 22050), (16000, 16000), (11025, 24000)]
)
def test_resampling_keeps_a_tone_and_the_duration(rate, new):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    moved = audio.resample(tone, rate, new)
    assert len(moved) == new
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(new) / new)
    middle = slice(new // 10, -new // 10)
    np.testing.assert_allclose(moved[middle], expected[middle], atol=1e-3)


def test_reading_at_a_rate_equals_resampling_what_was_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", vowel(5.0, 44100), 44100)  # longer than one block
    samples, rate = audio.read(tmp_path / "a.wav")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav", 16000)[0], audio.resample(samples, rate, 16000))


def test_blocks_join_to_the_whole(tmp_path):
    soundfile.write(tmp_path / "a.wav", vowel(9.0, 44100), 44100)
    blocks = list(audio.blocks(tmp_path / "a.wav", 16000))
    assert len(blocks) > 3
    np.testing.assert_array_equal(np.concatenate(blocks), audio.read(tmp_path / "a.wav", 16000)[0])


def test_round_trip_through_a_file(tmp_path, random):
    samples = random.uniform(-1, 1, 5000).astype(np.float32)
    audio.write_blocks(tmp_path / "a.wav", [samples[:2000], samples[2000:]], 16000)
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.channels, info.subtype, info.samplerate) == (1, "PCM_16", 16000)
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav")[0], samples, atol=2**-14)
    info = audio.info(tmp_path / "a.wav")
    assert info == audio.AudioInfo(16000, 1, 5000) and info.format == "WAV"


@pytest.mark.parametrize("bad", [np.array([0.0, np.nan]), np.array([0.0, 1.5])])
def test_what_would_clip_or_is_not_finite_is_not_written(bad, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"old")
    with pytest.raises(DataError, match="finite and within"):
        audio.write_blocks(tmp_path / "a.wav", [np.zeros(9), bad], 16000)
    assert (tmp_path / "a.wav").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    (tmp_path / "a.wav").write_bytes(b"old")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    with pytest.raises(DataError, match=r"a\.wav: No space left on device"):
        audio.write(tmp_path / "a.wav", np.zeros(10), 16000)
    assert (tmp_path / "a.wav").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def wav(samples: np.ndarray, rate: int = 16000, path=None) -> None:
    soundfile.write(path, samples, rate, subtype="FLOAT")


def test_refusals_name_the_file(tmp_path):
    (tmp_path / "text.wav").write_text("not a recording")
    (tmp_path / "empty.wav").write_bytes(b"")
    wav(np.zeros(0), path=tmp_path / "none.wav")
    wav(np.array([0.1, np.nan, 0.2]), path=tmp_path / "nan.wav")
    wav(np.array([0.1, np.inf, 0.2]), path=tmp_path / "inf.wav")
    wav(np.zeros(100), rate=2_000_000, path=tmp_path / "rate.wav")
    for name, reason in {
        "text": "not a recording that can be read",
        "empty": "not a recording that can be read",
        "none": "no samples",
        "nan": "not finite",
        "inf": "not finite",
        "rate": r"rate 2000000 Hz is outside 50\.\.768000 Hz",
        "gone": "No such file",
    }.items():
        with pytest.raises(DataError, match=rf"{name}\.wav: .*{reason}|{name}\.wav: {reason}"):
            audio.read(tmp_path / f"{name}.wav")
    with pytest.raises(DataError, match="a folder without recordings"):
        audio.read(tmp_path)


def test_a_cut_file_gives_what_is_there_and_says_so(tmp_path, caplog):
    wav(0.1 * np.ones(8000), path=tmp_path / "a.wav")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) // 2])
    samples, _ = audio.read(tmp_path / "cut.wav")
    assert 3000 < len(samples) < 4100 and "cut.wav: truncated: " in caplog.text
    soundfile.write(tmp_path / "a.flac", vowel(3.0, 16000), 16000)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(content[: len(content) // 2])
    samples, _ = audio.read(tmp_path / "cut.flac")
    assert 0 < len(samples) < 48000 and "cut.flac: truncated: " in caplog.text


@pytest.mark.parametrize("claimed", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000, 16036])
def test_a_header_that_leaves_the_length_open_or_counts_itself_is_no_truncation(claimed, tmp_path, caplog):
    """As ffmpeg and sox write to a pipe."""
    audio.write(tmp_path / "a.wav", 0.1 * np.ones(8000), 16000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[:40] + claimed.to_bytes(4, "little") + content[44:])
    assert len(audio.read(tmp_path / "a.wav")[0]) == 8000 and not caplog.text


def test_a_part_that_its_recording_does_not_reach_is_refused(tmp_path):
    wav(0.1 * np.ones(8000), path=tmp_path / "a.wav", rate=16000)
    assert len(audio.read(tmp_path / "a.wav", start=0.2, end=0.9)[0]) == 4800
    with pytest.raises(DataError, match=r"a\.wav: ends at 0\.50 s, the part to be read only at 1\.10 s"):
        audio.read(tmp_path / "a.wav", start=0.2, end=1.1)
    with pytest.raises(DataError, match="nothing between 2 s and 3 s"):
        audio.read(tmp_path / "a.wav", start=2, end=3)


def test_names_that_are_not_utf8_and_very_long_paths(tmp_path):
    folder = tmp_path
    for _ in range(12):
        folder = folder / ("x" * 100)
    folder.mkdir(parents=True)
    for name in (b"caf\xe9.wav", b"a b'\"c.wav"):
        path = folder / name.decode("utf-8", "surrogateescape")
        audio.write(path, np.zeros(100), 16000)
        assert len(audio.read(path)[0]) == 100


def test_a_gain_is_asked_for_after_the_last_block_and_nothing_is_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "LARGEST_IN_MEMORY", 100)  # the rest waits on disk
    blocks = [np.full(40_000, level, np.float32) for level in (0.5, -2, 1)]
    taken = []
    count = audio.write_scaled(
        tmp_path / "a b/out.wav", (taken.append(block) or block for block in blocks), 8000, lambda: len(taken) / 12
    )
    samples, rate = audio.read(tmp_path / "a b/out.wav")
    assert count == len(samples) == 120_000 and rate == 8000
    np.testing.assert_allclose(samples, np.concatenate(blocks) / 4, atol=1e-4)


def test_peaks_of_what_is_scaled_are_limited_and_the_rest_is_not(tmp_path, caplog):
    samples = 0.25 * np.sin(np.arange(40_000) / 10).astype(np.float32)
    samples[20_000] = 1.0
    assert audio.write_scaled(tmp_path / "out.wav", np.split(samples, 8), 8000, lambda: 2.0, "its name") == 40_000
    written, _ = audio.read(tmp_path / "out.wav")
    assert written[20_000] == pytest.approx(CEILING, abs=1e-4) and np.abs(written).max() < 1
    far = np.r_[0:19_900, 21_000:40_000]
    np.testing.assert_allclose(written[far], 2 * samples[far], atol=1e-4)
    assert caplog.messages == ["its name: peaks lowered by up to 7.0 dB to prevent clipping"]


# Channels


def stereo(path, left, right, rate=16000):
    soundfile.write(path, np.stack([left, right], 1), rate, subtype="FLOAT")
    return path


def test_opposite_phase_is_heard_and_said(tmp_path, random, caplog):
    samples = vowel(2.0, 16000)
    for name, right in (("exact", -samples), ("near", -0.99 * samples + 1e-4 * random.standard_normal(len(samples)))):
        heard, _ = audio.read(stereo(tmp_path / f"{name}.wav", samples, right))
        np.testing.assert_array_equal(heard, samples)
        [message] = [message for message in caplog.messages if name in message]
        assert "channels cancel each other (opposite phase); only channel 1 is used" in message
        both = np.stack([samples, right], 1).astype(np.float32)
        np.testing.assert_array_equal(audio.mix_down(both), heard)


@pytest.mark.parametrize("dead", [0.0, 1e-5])
def test_a_dead_channel_costs_nothing(dead, tmp_path, random, caplog):
    samples = vowel(2.0, 16000)
    heard, _ = audio.read(stereo(tmp_path / "a.wav", dead * random.standard_normal(len(samples)), samples))
    np.testing.assert_array_equal(heard, samples)
    assert "left out: silent channels, 1 of 2" in caplog.text


@pytest.mark.parametrize("other", ["same", "uncorrelated", "quieter", "both silent"])
def test_other_channels_are_mixed_as_ever(other, tmp_path, random, caplog):
    samples = 0.1 * random.standard_normal(30_000).astype(np.float32)
    right = {"same": samples, "uncorrelated": samples[::-1], "quieter": 0.1 * samples, "both silent": 0 * samples}[
        other
    ]
    left = 0 * samples if other == "both silent" else samples
    heard, _ = audio.read(stereo(tmp_path / "a.wav", left, right))
    np.testing.assert_array_equal(heard, np.stack([left, right], 1).mean(axis=1, dtype=np.float32))
    assert not caplog.text


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_part_equals_that_part_of_the_whole(suffix, channels, tmp_path):
    samples = vowel(5.0, 16000)
    soundfile.write(tmp_path / f"a.{suffix}", np.stack([samples] * channels, 1), 16000)
    whole, rate = audio.read(tmp_path / f"a.{suffix}")
    part, _ = audio.read(tmp_path / f"a.{suffix}", start=1.3, end=3.7)
    np.testing.assert_allclose(part, whole[round(1.3 * rate) : round(3.7 * rate)], atol=1e-3)
    with pytest.raises(DataError, match="nothing between 90 s and 91 s"):
        audio.read(tmp_path / f"a.{suffix}", start=90, end=91)
