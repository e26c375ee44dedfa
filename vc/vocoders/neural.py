"""A vocoder that is a neural network: log-mel spectrogram -> samples, in chunks that give what the whole would."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vc import devices
from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.features import mel
from vc.features.base import FeatureConfig, Frames
from vc.features.f0 import F0Range
from vc.features.mel import MelConfig
from vc.vocoders import vocoder_file
from vc.vocoders.base import Vocoder
from vc.vocoders.vocoder_file import VocoderModel, loaded, network_config
from vc.vocoders.world import WORLD

CHUNK = 128  # frames at a time, without what they see of their neighbours


class NeuralVocoder(Vocoder):
    """A generator and the front end that it was trained for.

    Beyond either end of a recording it sees its first and last frame repeated, not the zeros that its layers would pad
    with: so every sample depends on the same frames however a recording is cut, and in whatever batch it comes.
    """

    def __init__(
        self,
        network: nn.Module,
        config: MelConfig,
        device: torch.device | str = "cpu",
        precision: str = "float32",
    ):
        self.network, self.mel = network.to(device).eval(), config
        self.device, self.precision = torch.device(device), precision

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu", precision: str = "float32") -> "NeuralVocoder":
        """From a vocoder's file or the directory of its training; a bad one is refused by name.

        `precision` is that of the network, one of devices.PRECISIONS.
        """
        model, weights = vocoder_file.read(path)
        try:
            return cls.of(model, weights, device, precision)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def of(
        cls,
        model: VocoderModel,
        weights: Mapping[str, Tensor],
        device: torch.device | str = "cpu",
        precision: str = "float32",
    ) -> "NeuralVocoder":
        """From what a vocoder's file holds."""
        network = loaded(model.method, network_config(model.method, model.network), model.mel, weights)
        return cls(network, model.mel, device, precision)

    @property
    def native_rate(self) -> int:
        return self.mel.sample_rate

    def vocode(self, log_mels: Sequence[np.ndarray], chunk: int = CHUNK, batch: int = 1) -> list[np.ndarray]:
        """Log-mels `(frames, bands)` to samples `(frames * hop,)` float32, `batch` chunks of all of them at a time.

        Neither `chunk` nor `batch` nor what else is vocoded changes a sample by more than 1e-4 (float32).
        """
        for frames in log_mels:
            if frames.ndim != 2 or frames.shape[1] != self.mel.bands or len(frames) == 0:
                raise DataError(f"expected (frames, {self.mel.bands}), got shape {frames.shape}")
        cut = [list(self._chunks(frames, chunk)) for frames in log_mels]
        waiting = [piece for pieces in cut for piece in pieces]
        made = iter([sound for first in range(0, len(waiting), batch) for sound in self._run(waiting[first:][:batch])])
        joined = (np.concatenate([next(made) for _ in pieces]) for pieces in cut)
        return [samples[: len(frames) * self.mel.hop] for samples, frames in zip(joined, log_mels)]

    def _chunks(self, log_mel: np.ndarray, chunk: int) -> Iterator[Tensor]:
        """`(bands, context + chunk + context)` each; the last is filled up with the last frame."""
        context = self.network.context
        chunk = min(chunk, len(log_mel))
        padded = np.pad(log_mel, ((context, context + -len(log_mel) % chunk), (0, 0)), mode="edge")
        for first in range(0, len(log_mel), chunk):
            yield torch.from_numpy(padded[first : first + chunk + 2 * context].T.astype(np.float32))

    @torch.inference_mode()
    def _run(self, chunks: list[Tensor]) -> Iterator[np.ndarray]:
        """Samples of each chunk without its context; chunks of one length go through the network together."""
        edge = self.network.context * self.mel.hop
        for together in _of_one_shape(chunks):
            with devices.autocast(self.precision, self.device):
                samples = self.network(torch.stack(together).to(self.device)).float().cpu().numpy()
            yield from samples[:, edge : samples.shape[1] - edge]

    def copy(self, samples: np.ndarray, config: FeatureConfig, f0_range: F0Range | None) -> np.ndarray:
        """Through the front end and back; F0 is nothing to it."""
        return self.again(samples).astype(np.float64)

    def again(self, samples: np.ndarray) -> np.ndarray:
        """`(samples,)` at `native_rate` to as many, float32, from their log-mel alone."""
        return self.vocode([mel.analyse(samples, self.mel, self.device)])[0][: len(samples)]

    def refuse_other(self, config: FeatureConfig) -> None:
        if config.mel is None:  # WORLD makes log-mel of them
            return
        own, given = vars(self.mel), vars(config.mel)
        others = [f"{key} ({given[key]} -> {own[key]})" for key in own if own[key] != given[key]]
        if others:
            raise ConfigError(f"the vocoder takes other features than the model makes: {', '.join(others)}")

    def needs_excitation(self, config: FeatureConfig) -> bool:
        return config.mel is None

    def synthesise(self, frames: Frames, config: FeatureConfig) -> np.ndarray:
        """From log-mel; WORLD's frames by WORLD first, said again from its log-mel: it sounds less like a vocoder."""
        if config.mel is not None:
            return self.vocode([frames.spectrum])[0]
        rough = WORLD.synthesise(frames, config)
        again = self.again(audio.resample(rough.astype(np.float32), config.sample_rate, self.native_rate))
        return audio.fit_length(audio.resample(again, self.native_rate, config.sample_rate), len(rough))


def _of_one_shape(chunks: list[Tensor]) -> Iterator[list[Tensor]]:
    """Chunks in their order, those of one shape that follow each other together."""
    start = 0
    for place in range(1, len(chunks) + 1):
        if place == len(chunks) or chunks[place].shape != chunks[start].shape:
            yield chunks[start:place]
            start = place
