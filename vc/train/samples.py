"""Conversions or copies of a few validation recordings at intervals, as sound and pictures, to follow a run."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vc import files
from vc.convert.converter import Converter
from vc.corpus import audio, data_directory
from vc.corpus.data_directory import Utterance
from vc.corpus.limiter import limit
from vc.errors import VCError
from vc.features.f0 import F0Range
from vc.plots import Panel, picture
from vc.train.log import RunLog
from vc.train.log_mel_decoder import LogMelDecoder
from vc.vocoders.neural import NeuralVocoder

UNVOICED = np.zeros(1)  # no F0 contour
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """A recording converted or copied by the current model."""

    file_name: str  # without the step and the suffix
    board_name: str  # in TensorBoard
    samples: np.ndarray  # (samples,) in -1..1
    sample_rate: int  # Hz
    panels: Callable[[], list[Panel]]  # of the picture: original and conversion or copy
    frame_shift: float  # seconds, of the panels' F0


class Samples(ABC):
    """Converts or copies the first utterances of a data directory by the models of several steps.

    Parameters
    ----------
    data : Path or None
        Data directory; None for no samples.
    count : int
        Number of utterances.
    directory : Path
        Output folder.
    """

    def __init__(self, data: Path | None, count: int, directory: Path):
        self.directory = directory
        self.utterances = [] if data is None else data_directory.read(data)[:count]

    @abstractmethod
    def make(self, utterance: Utterance, model: Any, step: int) -> Sample:
        """Convert or copy an utterance by the model of `step`."""

    def write(self, model: Any, run_log: RunLog, step: int) -> None:
        """Write each sample as NAME-STEP.wav and .png, and to TensorBoard.

        Failures are logged and never stop a training run.
        """
        for utterance in self.utterances:
            try:
                self.directory.mkdir(exist_ok=True)
                sample = self.make(utterance, model, step)
                path = self.directory / f"{sample.file_name}-{step:09d}"  # of the files, without their suffixes
                audio.write(Path(f"{path}.wav"), sample.samples, sample.sample_rate)
                run_log.sound(sample.board_name, sample.samples, sample.sample_rate, step)
                image = picture(sample.panels(), sample.sample_rate, sample.frame_shift)
                files.write_bytes(Path(f"{path}.png"), image)
                run_log.picture(sample.board_name, image, step)
            except (VCError, ImportError, OSError, RuntimeError) as error:  # the last of too little memory
                log.warning("no sample of %s: %s", utterance.id, error)


class ConversionSamples(Samples):
    """Utterances converted to the first other speaker, as <id>-to-<speaker>."""

    def make(self, utterance: Utterance, converter: Converter, step: int) -> Sample:
        rate, features, source = converter.sample_rate, converter.model.features, utterance.speaker
        if converter.decodes and (source not in converter.speakers or len(converter.speakers) == 1):
            source = None  # any speaker, even if the source is the only target
        target = next(name for name in converter.speakers if name != source)
        converter.direction(target, source)  # raises an error for an unknown speaker
        original, _ = utterance.read(rate)
        converted = converter.convert(original, rate, target, source)
        ranges = {name: speaker.f0_range for name, speaker in converter.model.speakers.items()} | {None: F0Range()}

        def panel(title: str, samples: np.ndarray, speaker: str | None) -> Panel:
            return Panel(title, samples, features.world.estimate_f0(samples, ranges[speaker])[0])

        def panels() -> list[Panel]:
            before = panel(f"{utterance.speaker}, source", original, source)
            return [before, panel(f"{target}, step {step}", converted, target)]

        names = f"{utterance.id}-to-{target}", f"{utterance.id}/{target}"
        return Sample(*names, converted, rate, panels, features.frame_shift / 1000)


class CopySamples(Samples):
    """Utterances copied through a vocoder, as <id>: from their own log-mel, or from that of `decoder`."""

    def __init__(self, data: Path | None, count: int, directory: Path, decoder: LogMelDecoder | None = None):
        super().__init__(data, count, directory)
        self.decoder = decoder

    def make(self, utterance: Utterance, vocoder: NeuralVocoder, step: int) -> Sample:
        rate = vocoder.mel.sample_rate
        original, _ = utterance.read(rate)
        log_mel = self.decoder and self.decoder.decode(original, utterance.speaker)
        copied = limit(vocoder.resynthesise(original, log_mel), rate)
        panels = [Panel(utterance.id, original, UNVOICED), Panel(f"copy, step {step}", copied, UNVOICED)]
        return Sample(utterance.id, utterance.id, copied, rate, lambda: panels, 1.0)
