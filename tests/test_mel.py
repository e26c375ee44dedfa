"""Log-mel spectrograms: equal to librosa's filters and to a plain computation of HiFi-GAN's front end."""

import librosa
import numpy as np
import pytest
import torch
from conftest import CORPUS

from vc.corpus import audio
from vc.errors import ConfigError
from vc.features import mel_cepstrum
from vc.features.mel import FLOOR, MelConfig, MelFeatures, log_mel, log_mel_matrices, mel_filters
from vc.features.world import WorldConfig

CONFIG = MelConfig()


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return audio.read(sorted((CORPUS / "eval/slt").iterdir())[0], CONFIG.sample_rate)[0]


@pytest.mark.parametrize("config", [CONFIG, MelConfig(16000, 512, 128, 40, 60, 7600)])
def test_filters_equal_librosa(config):
    expected = librosa.filters.mel(
        sr=config.sample_rate, n_fft=config.fft_size, n_mels=config.bands, fmin=config.lowest, fmax=config.highest
    )
    np.testing.assert_allclose(mel_filters(config), expected, atol=1e-8)


def test_equals_the_published_front_end(speech):
    """Its steps by librosa and NumPy: reflect, short-time spectrum without centring, magnitude, filters, logarithm."""
    padded = np.pad(speech, (1024 - 256) // 2, mode="reflect")
    spectrum = librosa.stft(padded.astype(np.float64), n_fft=1024, hop_length=256, window="hann", center=False)
    filters = librosa.filters.mel(sr=22050, n_fft=1024, n_mels=80, fmin=0, fmax=8000)
    expected = np.log(np.maximum(filters @ np.sqrt(np.abs(spectrum) ** 2 + 1e-9), 1e-5))
    got = log_mel(torch.from_numpy(speech)[None].double(), CONFIG)[0].numpy()
    assert got.shape == (80, len(speech) // 256)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    single = log_mel(torch.from_numpy(speech)[None], CONFIG)[0].numpy()
    heard = expected > -7  # what is fainter is float32's own rounding, in theirs as in ours
    np.testing.assert_allclose(single[heard], expected[heard], atol=1e-4)


def test_a_tone_stands_in_its_own_band():
    time = torch.arange(22050) / 22050
    frames = log_mel(0.5 * torch.sin(2 * torch.pi * 1000 * time)[None], CONFIG)[0]
    peak = mel_filters(CONFIG)[:, round(1000 * 1024 / 22050)].argmax()
    assert (frames[:, 4:-4].argmax(0) == peak).all()


def test_the_envelope_to_synthesise_resolves_formants_that_the_mel_cepstrum_blurs():
    """Log-mel of a known envelope without harmonics, four formants of 60 to 200 Hz, back to that envelope."""
    config, world = MelFeatures(), WorldConfig(22050, order=100)
    hertz = np.linspace(0, 11025, world.bins)
    formants = zip((500, 1500, 2500, 3700), (60, 90, 130, 200), strict=True)
    envelope = sum(1 / (1 + np.square((hertz - centre) / width)) for centre, width in formants)[None] + 1e-4
    magnitudes, filters = log_mel_matrices(world, config.mel)
    cepstrum = mel_cepstrum.from_envelope(envelope, world.order, world.warping)
    frames = np.log(filters @ np.exp(magnitudes @ cepstrum.T)).T
    blurred = mel_cepstrum.to_envelope(config.to_mel_cepstrum(frames), world.warping, world.bins)
    heard = (hertz > 200) & (hertz < 7500)
    errors = [np.abs(10 * np.log10(found / envelope))[:, heard].mean() for found in (config.envelope(frames), blurred)]
    assert errors[0] < 1.0  # dB
    assert errors[0] < 0.7 * errors[1]


def test_silence_is_the_floor_and_gradients_stay_finite():
    samples = torch.zeros(1, 4096, requires_grad=True)
    frames = log_mel(samples, CONFIG)
    assert torch.allclose(frames, torch.tensor(np.log(FLOOR), dtype=torch.float32))
    (log_mel(samples + 0.1, CONFIG).sum() + frames.sum()).backward()
    assert torch.isfinite(samples.grad).all()


@pytest.mark.parametrize(
    "given", [{"hop": 8}, {"bands": 2}, {"highest": 20000.0}, {"sample_rate": 100}, {"hop": 255}, {"fft_size": 1025}]
)
def test_refuses_what_is_none(given):
    with pytest.raises(ConfigError, match=rf"mel\.{next(iter(given))}" if "highest" not in given else "highest"):
        MelConfig(**given)
