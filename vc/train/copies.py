"""What a vocoder makes of recordings that it does not learn from: a score that chooses the best model, and samples."""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from vc import files
from vc.corpus import audio, data_directory
from vc.corpus.data_directory import Utterance
from vc.corpus.limiter import limit
from vc.errors import ConfigError, VCError
from vc.features.mel import MelConfig, log_mel
from vc.plots import Panel, picture
from vc.train.log import RunLog
from vc.train.waveforms import read_all, read_list
from vc.vocoders.neural import NeuralVocoder

MOST = 20  # recordings of a held-out set that are scored, spread over all
UNVOICED = np.zeros(1)  # no F0 contour
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOutRecordings:
    """Recordings at the vocoder's rate."""

    recordings: list[np.ndarray]  # (samples,) each
    digest: str  # of the data directory's recordings

    @classmethod
    def read(cls, directory: Path, learnt: Iterable[Utterance], rate: int) -> "HeldOutRecordings":
        """From a data directory that has no utterance of those that are learnt, nor any part of one."""
        utterances, digest, _ = read_list(directory)
        seen, spans = set(), {}
        for utterance in learnt:
            seen.add(utterance.id)
            spans.setdefault(utterance.path.resolve(), []).append(_span(utterance))
        for utterance in utterances:
            start, end = _span(utterance)
            shared = any(start < last and first < end for first, last in spans.get(utterance.path.resolve(), ()))
            if utterance.id in seen or shared:
                raise ConfigError(f"{directory}: training learns from {utterance.id} too; hold out other utterances")
        places = np.unique(np.linspace(0, len(utterances) - 1, min(MOST, len(utterances))).round().astype(int))
        return cls(read_all([utterances[place] for place in places], rate), digest)

    def score(self, vocoder: NeuralVocoder) -> dict[str, float]:
        """`mel`: mean L1 distance of the log-mel of copies, over the full band, from that of whole recordings.

        `score` is the same: lower is better.
        """
        full_band = replace(vocoder.mel, highest=vocoder.mel.sample_rate / 2)
        mean = float(np.mean([_distance(vocoder, samples, full_band) for samples in self.recordings]))
        return {"score": mean, "mel": mean}


class Copies:
    """The first `count` utterances of a data directory, as the vocoder says them again whenever it is called."""

    def __init__(self, data: Path | None, count: int, directory: Path):
        self.directory = directory
        self.utterances = [] if data is None else data_directory.read(data)[:count]

    def write(self, vocoder: NeuralVocoder, run_log: RunLog, step: int) -> None:
        """Each copy as samples/<id>-<step>.wav and .png, and in TensorBoard.

        Whatever fails here is said in the log and never stops a training run.
        """
        if self.utterances:
            self.directory.mkdir(exist_ok=True)
        for utterance in self.utterances:
            try:
                self._write(utterance, vocoder, run_log, step)
            except (VCError, ImportError, OSError) as error:
                log.warning("no sample of %s: %s", utterance.id, error)

    def _write(self, utterance: Utterance, vocoder: NeuralVocoder, run_log: RunLog, step: int) -> None:
        rate = vocoder.mel.sample_rate
        original, _ = utterance.read(rate)
        copied = limit(vocoder.resynthesise(original), rate)
        stem = f"{utterance.id}-{step:09d}"
        audio.write(self.directory / f"{stem}.wav", copied, rate)
        run_log.sound(utterance.id, copied, rate, step)
        titles = {utterance.id: original, f"copy, step {step}": copied}
        image = picture([Panel(title, samples, UNVOICED) for title, samples in titles.items()], rate, 1.0)
        files.write_bytes(self.directory / f"{stem}.png", image)
        run_log.picture(utterance.id, image, step)


def _span(utterance: Utterance) -> tuple[float, float]:
    """Seconds of its recording."""
    return utterance.start or 0.0, math.inf if utterance.end is None else utterance.end


@torch.inference_mode()
def _distance(vocoder: NeuralVocoder, samples: np.ndarray, full_band: MelConfig) -> float:
    samples = audio.fit_length(samples, max(len(samples), full_band.fft_size))  # one window at least
    both = torch.from_numpy(np.stack([samples, vocoder.resynthesise(samples)])).to(vocoder.device)
    real, copy = log_mel(both, full_band)
    return float((real - copy).abs().mean())
