"""Conversions of a few validation recordings at intervals: sound and spectrograms, to hear a run learn."""

import logging
from pathlib import Path

from vc import files
from vc.convert.converter import Converter
from vc.corpus import audio, data_directory
from vc.corpus.data_directory import Utterance
from vc.errors import VCError
from vc.features.f0 import F0Range
from vc.plots import Panel, picture
from vc.train.log import RunLog

log = logging.getLogger(__name__)


class Samples:
    """The first `count` utterances of a data directory, converted to the first other speaker whenever it is called."""

    def __init__(self, data: Path | None, count: int, directory: Path):
        self.directory = directory
        self.utterances = [] if data is None else data_directory.read(data)[:count]

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
        rate, settings = converter.sample_rate, converter.model.features
        source = utterance.speaker
        if converter.decodes and (source not in converter.speakers or len(converter.speakers) == 1):
            source = None  # whoever speaks, were it the one target
        target = next(name for name in converter.speakers if name != source)
        converter.direction(target, source)  # refuses an unknown one
        original, _ = utterance.read(rate)
        converted = converter.convert(original, rate, target, source)
        stem = f"{utterance.id}-to-{target}-{step:09d}"
        audio.write(self.directory / f"{stem}.wav", converted, rate)
        run_log.sound(f"{utterance.id}/{target}", converted, rate, step)
        titles = {f"{utterance.speaker}, source": (source, original), f"{target}, step {step}": (target, converted)}
        ranges = {name: speaker.f0_range for name, speaker in converter.model.speakers.items()} | {None: F0Range()}
        panels = [
            Panel(title, samples, settings.world.estimate_f0(samples, ranges[speaker])[0])
            for title, (speaker, samples) in titles.items()
        ]
        image = picture(panels, rate, settings.frame_shift / 1000)
        files.write_bytes(self.directory / f"{stem}.png", image)
        run_log.picture(f"{utterance.id}/{target}", image, step)
