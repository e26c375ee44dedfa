"""The stages before the figures: one rate for all, F0 ranges, anchors; what fails in one is out of all."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vc.errors import DataError
from vc.evaluate.anchors import Direction, copied_by, copy_synthesis, mean_variance
from vc.evaluate.match import Recordings
from vc.evaluate.measure import (
    ANCHORS,
    REFERENCE,
    UNCONVERTED,
    Item,
    Maker,
    find_sample_rates,
    find_tracks,
    make_anchors,
)
from vc.features import mel_cepstrum
from vc.features.f0 import WIDEST_RANGE, F0Range, f0_statistics
from vc.features.world import WORLD_UNVOICED_F0, WorldConfig
from vc.files import path_inside
from vc.parallel import map_processes

log = logging.getLogger(__name__)


@dataclass
class Run:
    """What the stages share. A sentence that fails in one stage is out of all, so that systems stay comparable."""

    recordings: dict[str, Recordings]  # of each system and of `reference`; grows by the anchors
    jobs: int
    texts: dict[str, str] = field(default_factory=dict)  # sentence -> what it says, where that is known
    notes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # sentence -> line
    mixed_rates: bool = False  # whether recordings differ in sample rate

    @property
    def systems(self) -> list[str]:
        """The converted ones first, then the anchors there are, in their order."""
        converted = [system for system in self.recordings if system not in ANCHORS]
        return converted + [anchor for anchor in ANCHORS if anchor in self.recordings]

    def note(self, *texts: str) -> None:
        for text in texts:
            log.warning(text)
            self.notes.append(text)

    def left(self) -> dict[str, Recordings]:
        """Each system's recordings of the sentences that have not failed."""
        left = {
            system: {name: own for name, own in self.recordings[system].items() if name not in self.failed}
            for system in self.systems
        }
        if not all(left.values()):
            raise DataError(*self.failed.values())
        return left

    def each(self, work: Callable[[Item], Any], title: str, jobs: int | None = None) -> dict[str, Any]:
        """Sentence -> `work(item)`, without the sentences that fail."""
        items: dict[str, Recordings] = {}
        for system, own in self.left().items():
            for sentence, utterance in own.items():
                items.setdefault(sentence, {})[system] = utterance
        log.info("%s, %d sentences", title, len(items))
        results = {}
        for item, result in map_processes(
            work, [Item(*each, self.texts.get(each[0])) for each in items.items()], jobs or self.jobs, title
        ):
            if isinstance(result, DataError):
                self.failed[item.sentence] = f"{item.sentence}: {result}"
            results[item.sentence] = result
        self.left()
        return {sentence: result for sentence, result in results.items() if sentence not in self.failed}


def common_config(run: Run, systems: Sequence[str], direction: Direction | None) -> WorldConfig:
    """Analysis at the highest rate that we know and that no recording lies below.

    Its settings do not follow a model's, and where nothing is voiced its window is WORLD's own, so that distortions can
    be compared from one model to another.
    """
    rates = run.each(find_sample_rates, "reading sample rates", jobs=1)
    for system in systems:
        converted = {each[system]: sentence for sentence, each in rates.items() if system in each}
        if len(converted) > 1:
            found = ", ".join(f"{sentence} has {rate} Hz" for rate, sentence in sorted(converted.items()))
            raise DataError(f"the recordings of {system} differ in sample rate: {found}")
    everyone = {rate for each in rates.values() for rate in each.values()}
    run.mixed_rates = len(everyone) > 1
    lowest = min(everyone | ({direction.sample_rate} if direction else set()))
    usable = [rate for rate in mel_cepstrum.SETTINGS if rate <= lowest]
    if not usable:
        raise DataError(f"a recording at {lowest} Hz is below {min(mel_cepstrum.SETTINGS)} Hz, the lowest measured")
    higher = {rate for each in rates.values() for system in systems if (rate := each.get(system, 0)) > max(usable)}
    if higher:
        run.note(f"measured at {max(usable)} Hz; the converted recordings have {max(higher)} Hz")
    return WorldConfig(max(usable), unvoiced_f0=WORLD_UNVOICED_F0)


def add_anchors(run: Run, config: WorldConfig, direction: Direction | None, folder: Path) -> dict[str, F0Range | None]:
    """Make the anchors' recordings; return every system's F0 search range, None where it has no F0."""
    ranges = _find_ranges(run, run.systems, config)
    makers = _makers(folder, config, ranges[REFERENCE], direction)
    made = run.each(partial(make_anchors, makers=makers), "making anchors")
    for system in makers:
        run.recordings[system] = {name: each[system] for name, each in made.items() if system in each}
    return ranges | _find_ranges(run, list(makers), config)


def _find_ranges(run: Run, systems: Sequence[str], config: WorldConfig) -> dict[str, F0Range | None]:
    """Each system's F0 search range, from its own recordings; a system without a voice is searched widely."""
    tracks = run.each(partial(find_tracks, systems=systems, config=config), "finding F0 ranges")
    ranges = {}
    for system in systems:
        try:
            own = (each[system] for each in tracks.values() if system in each)
            ranges[system] = f0_statistics(own, config.frame_rate, system).f0_range
            if ranges[system] is None:
                run.note(f"{system}: its recordings have no F0, as whispered ones")
        except DataError as error:
            ranges[system] = WIDEST_RANGE
            run.note(f"{error}; searched {WIDEST_RANGE.floor:g} to {WIDEST_RANGE.ceiling:g} Hz")
    return ranges


def _makers(
    folder: Path, config: WorldConfig, f0_range: F0Range | None, direction: Direction | None
) -> dict[str, Maker]:
    copy = partial(copy_synthesis, config=copied_by(direction, config), f0_range=f0_range)
    makers = {"copy_synthesis": Maker(REFERENCE, copy, folder / "copy_synthesis")}
    if direction and direction.maps:
        move = partial(mean_variance, direction=direction)
        makers["mean_variance"] = Maker(UNCONVERTED, move, folder / "mean_variance")
    for maker in makers.values():
        path_inside(folder, maker.folder.name).mkdir(parents=True, exist_ok=True)
    return makers
