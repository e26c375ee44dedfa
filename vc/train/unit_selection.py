"""How the frames of unit selection are chosen: all of a target's recordings, or as many as a model may hold."""

import logging
from dataclasses import dataclass

import numpy as np
import torch

from vc.config import require
from vc.features.content import PROSODY, prosody, standard_loudness
from vc.features.store import Features
from vc.models.unit_selection import UnitSelection

MAX_EXCERPT = 10.0  # seconds, longest stretch into which recordings are cut where only some can be held
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnitSelectionObjective:
    """How much of the recordings a model holds; time and memory of a conversion grow with it."""

    minutes: float = 10.0  # of each target at most, 62 MB of a model file with content of 512 dims

    def __post_init__(self) -> None:
        require(1 <= self.minutes <= 30, f"objective.minutes must be in 1..30, got {self.minutes}")


@dataclass(frozen=True)
class TargetFrames:
    """A target's recordings as the network's Units hold them, one by one."""

    log_mel: list[np.ndarray]  # (frames, bands), normalised
    content: list[np.ndarray]  # (frames, dims), as decoders take it
    manner: list[np.ndarray]  # (frames, 3): melody, voicing, loudness
    louder: np.ndarray  # (bands,), what a deviation of loudness adds to normalised log-mel
    frame_rate: float  # frames a second

    @classmethod
    def read(cls, features: Features, name: str, device: torch.device) -> "TargetFrames":
        """From a speaker's features; on the host, whatever the device."""
        speaker, config = features.speakers[name], features.config
        mean, deviation = np.asarray(speaker.content.mean), speaker.content.deviation
        log_mels, contents, manners = [], [], []
        for log_mel, f0, content in zip(features.frames(name), features.f0(name), features.content(name), strict=True):
            log_mels.append(speaker.normaliser.transform(log_mel))
            contents.append((config.content_at_frames(content, len(log_mel)) - mean) / deviation)
            loudness = standard_loudness(log_mel, speaker.content)
            manners.append(prosody(f0, loudness, speaker.log_f0, config)[:, -PROSODY:])
        louder = speaker.content.loudness_deviation / speaker.normaliser.deviation_
        return cls(log_mels, contents, manners, louder, config.frame_rate)


def fit(network: UnitSelection, objective: UnitSelectionObjective, targets: dict[str, TargetFrames]) -> None:
    """Put the targets' recordings into the network: all of them, or as much as it may hold, evenly spread."""
    for name, target in targets.items():
        largest = round(objective.minutes * 60 * target.frame_rate)
        lengths = [len(frames) for frames in target.log_mel]
        excerpts = choose_excerpts(lengths, largest, longest=round(MAX_EXCERPT * target.frame_rate))
        count, total = sum(stop - start for _, start, stop in excerpts), sum(lengths)
        if count < total:
            minutes = [frames / target.frame_rate / 60 for frames in (count, total)]
            log.warning("%s: objective.minutes: %.1f of %.1f minutes are held, spread over all", name, *minutes)
        units = network.units[network.speaker_indices[name]]
        buffers = {
            key: np.concatenate([getattr(target, key)[number][start:stop] for number, start, stop in excerpts])
            for key in ("log_mel", "content", "manner")
        }
        buffers["recording"] = np.repeat(np.arange(len(excerpts)), [stop - start for _, start, stop in excerpts])
        for key, values in {**buffers, "louder": target.louder}.items():
            setattr(units, key, torch.from_numpy(values).to(getattr(units, key)))


def choose_excerpts(lengths: list[int], largest: int, *, longest: int) -> list[tuple[int, int, int]]:
    """Choose as much of some recordings as fits, spread over all.

    Parameters
    ----------
    lengths : list of int
        Frames of each recording.
    largest : int
        Frames that fit.
    longest : int
        Frames of a stretch at most, where not all fit.

    Returns
    -------
    list of tuple of int
        Number of the recording, start and stop of each stretch: whole recordings where all fit; else they are cut into
        excerpts, of which evenly distributed ones are taken.
    """
    total, passed, chosen, excerpts = sum(lengths), 0, 0, []
    if total <= largest:
        return [(number, 0, length) for number, length in enumerate(lengths)]
    for number, length in enumerate(lengths):
        for start in range(0, length, longest):
            stop = min(start + longest, length)
            passed += stop - start
            if chosen + stop - start <= largest * passed / total:
                chosen += stop - start
                excerpts.append((number, start, stop))
    return excerpts
