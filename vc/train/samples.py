"""Conversions of a few validation recordings at intervals: sound and spectrograms, to hear a run learn."""

import logging
from pathlib import Path

import numpy as np

from vc import audio, corpus
from vc.convert import Converter
from vc.corpus import Utterance
from vc.errors import VCError
from vc.train.log import RunLog

log = logging.getLogger(__name__)


class Samples:
    """The first `count` utterances of a data directory, converted to the other speaker whenever it is called."""

    def __init__(self, data: Path | None, count: int, directory: Path):
        self.directory = directory
        self.utterances = [] if data is None else corpus.read(data)[:count]

    def write(self, converter: Converter, run_log: RunLog, step: int) -> None:
        """Each conversion as samples/<id>-to-<speaker>-<step>.wav and .png, and in TensorBoard.

        Whatever fails here is said in the log and never stops a training run.
        """
        if self.utterances:
            self.directory.mkdir(exist_ok=True)
        for utterance in self.utterances:
            try:
                self._write(utterance, converter, run_log, step)
            except (VCError, ImportError, OSError) as error:
                log.warning("no sample of %s: %s", utterance.id, error)

    def _write(self, utterance: Utterance, converter: Converter, run_log: RunLog, step: int) -> None:
        rate = converter.sample_rate
        source, target = converter.direction(source=utterance.speaker)
        original, _ = utterance.read(rate)
        converted = converter.convert(original, rate, target, source)
        stem = self.directory / f"{utterance.id}-to-{target}-{step:09d}"
        audio.write(f"{stem}.wav", converted, rate)
        run_log.sound(f"{utterance.id}/{target}", converted, rate, step)
        pixels = _pictures({f"{source}, source": original, f"{target}, step {step}": converted}, rate, f"{stem}.png")
        run_log.picture(f"{utterance.id}/{target}", pixels, step)


def _pictures(sounds: dict[str, np.ndarray], rate: int, path: str) -> np.ndarray:
    """Spectrograms of the sounds under each other, as a PNG and as `(height, width, 3)` pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.5 * len(sounds)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, (title, samples) in zip(figure.subplots(len(sounds), squeeze=False)[:, 0], sounds.items()):
        window = round(0.025 * rate)
        axes.specgram(samples + 1e-5, NFFT=window, Fs=rate, noverlap=window * 3 // 4, vmin=-120, vmax=-30)
        axes.set(title=title, ylabel="Hz")
    axes.set(xlabel="seconds")
    figure.savefig(path)
    return np.asarray(canvas.buffer_rgba())[..., :3]
