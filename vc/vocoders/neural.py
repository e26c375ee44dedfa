"""Neural vocoder: log-mel spectrogram -> samples, in chunks whose result equals that of the whole."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby, islice
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
from vc.vocoders.vocoder_file import VocoderModel, load_generator, network_config
from vc.vocoders.world import WORLD

CHUNK = 256  # frames at a time, without context
BATCHES = {"cuda": 16}  # chunks at a time, by type of device; else 1, since batches do not save a CPU time


class NeuralVocoder(Vocoder):
    """A generator with the front end that it was trained on.

    The ends of a recording are padded with its first and last frame, not with the zeros of the layers, so that every
    sample depends on the same frames however a recording is divided into chunks and batches.

    Parameters
    ----------
    network : nn.Module
        A generator of vocoder_file.GENERATORS.
    config : MelConfig
        The front end.
    device : torch.device or str
        Device of the network.
    precision : str
        Its precision, one of devices.PRECISIONS.
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
        """Load a vocoder file, or the vocoder in the directory of a training run.

        Raises
        ------
        ConfigError
            The file is not a vocoder; the message names the path.
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
        """Build from the content of a vocoder file; raises ConfigError if the weights do not fit."""
        network = load_generator(model.method, network_config(model.method, model.network), model.mel, weights)
        return cls(network, model.mel, device, precision)

    @property
    def native_rate(self) -> int:
        return self.mel.sample_rate

    def vocode(self, log_mels: Sequence[np.ndarray], chunk: int = CHUNK, batch: int | None = None) -> list[np.ndarray]:
        """Synthesise log-mels in chunks.

        Parameters
        ----------
        log_mels : sequence of np.ndarray
            Each of shape `(frames, bands)`, with at least one frame.
        chunk : int
            Frames in a chunk.
        batch : int, optional
            Chunks in a batch. Default: 16 on a GPU, 1 on a CPU.

        Returns
        -------
        list of np.ndarray
            Each of shape `(frames * hop,)`, float32. Chunk, batch and the other log-mels change no sample by more than
            1e-4.

        Raises
        ------
        DataError
            A log-mel has another shape.
        """
        for frames in log_mels:
            if frames.ndim != 2 or frames.shape[1] != self.mel.bands or len(frames) == 0:
                raise DataError(f"expected (frames, {self.mel.bands}), got shape {frames.shape}")
        context, counts = self.network.context, []
        chunks = []  # (bands, context + chunk + context) each
        for log_mel in log_mels:
            length = -(-len(log_mel) // -(-len(log_mel) // chunk))  # as many chunks as needed, of equal length
            starts = range(0, len(log_mel), length)
            padded = np.pad(log_mel, ((context, context + -len(log_mel) % length), (0, 0)), mode="edge")
            windows = (padded[start : start + length + 2 * context].T for start in starts)
            chunks += [torch.from_numpy(window.astype(np.float32)) for window in windows]
            counts.append(len(starts))
        batch = batch or BATCHES.get(self.device.type, 1)
        batches = (chunks[first : first + batch] for first in range(0, len(chunks), batch))
        outputs = chain.from_iterable(map(self._run, batches))
        joined = [np.concatenate([*islice(outputs, count)]) for count in counts]
        return [samples[: len(frames) * self.mel.hop] for samples, frames in zip(joined, log_mels)]

    @torch.inference_mode()
    def _run(self, chunks: list[Tensor]) -> Iterator[np.ndarray]:
        """Samples of each chunk without its context; consecutive chunks of one shape form a batch."""
        edge = self.network.context * self.mel.hop
        for _, alike in groupby(chunks, key=lambda chunk: chunk.shape):
            with devices.autocast(self.precision, self.device):
                samples = self.network(torch.stack([*alike]).to(self.device)).float().cpu().numpy()
            yield from samples[:, edge : samples.shape[1] - edge]

    def copy(self, samples: np.ndarray, config: FeatureConfig, f0_range: F0Range | None) -> np.ndarray:
        """Copy-synthesis with the vocoder's own front end; `config` and `f0_range` are ignored."""
        return self.resynthesise(samples).astype(np.float64)

    def resynthesise(self, samples: np.ndarray, log_mel: np.ndarray | None = None) -> np.ndarray:
        """Synthesise as many samples as `(samples,)` at `native_rate`, from `log_mel` or else their own; float32."""
        if log_mel is None:
            log_mel = mel.analyse(samples, self.mel, self.device)
        return self.vocode([log_mel])[0][: len(samples)]

    def check_features(self, config: FeatureConfig) -> None:
        if config.mel is None:
            return
        accepted, offered = vars(self.mel), vars(config.mel)
        differing = [f"{key} ({offered[key]} -> {accepted[key]})" for key in accepted if accepted[key] != offered[key]]
        if differing:
            raise ConfigError(f"the vocoder needs other features than the model's: {', '.join(differing)}")

    def needs_excitation(self, config: FeatureConfig) -> bool:
        return config.mel is None

    def synthesise(self, frames: Frames, config: FeatureConfig) -> np.ndarray:
        """Synthesise log-mel; WORLD's features by WORLD, then from the log-mel of that, which sounds less buzzy."""
        if config.mel is not None:
            return self.vocode([frames.spectrum])[0]
        rough = WORLD.synthesise(frames, config)
        refined = self.resynthesise(audio.resample(rough.astype(np.float32), config.sample_rate, self.native_rate))
        return audio.fit_length(audio.resample(refined, self.native_rate, config.sample_rate), len(rough))
