"""Choice of the frames of unit selection: all of a target's recordings, or as much as a model may hold."""

import logging
from dataclasses import dataclass

import numpy as np
import torch

from vc.config import require_range
from vc.features.content import contours, normalise_content, standard_loudness
from vc.features.store import Features
from vc.models.unit_selection import UnitSelection

MAX_EXCERPT = 10.0  # seconds, into which recordings are cut if not all fit
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnitSelectionObjective:
    """Amount of recordings in a model, with which time and memory of a conversion grow."""

    minutes: float = 10.0  # of each target at most; 62 MB of a model file with content of 512 dims

    def __post_init__(self) -> None:
        require_range(self, "objective", "minutes", at_least=1, at_most=30)


@dataclass(frozen=True)
class TargetFrames:
    """A target's recordings, one by one, as the network's Units hold them."""

    log_mel: list[np.ndarray]  # (frames, bands), normalised
    content: list[np.ndarray]  # (frames, dims), as decoders take it
    manner: list[np.ndarray]  # (frames, 3), `contours`: melody, voicing, loudness
    louder: np.ndarray  # (bands,), change of normalised log-mel for a deviation of loudness
    frame_rate: float  # frames per second

    @classmethod
    def read(cls, features: Features, name: str, device: torch.device) -> "TargetFrames":
        """Read a speaker's features; they stay on the host, whatever the device."""
        speaker, config = features.speakers[name], features.config
        log_mels, contents, manners = [], [], []
        for log_mel, f0, content in zip(features.frames(name), features.f0(name), features.content(name), strict=True):
            log_mels.append(speaker.normaliser.transform(log_mel))
            content = config.content_at_frames(content, len(log_mel))
            contents.append(normalise_content(content, speaker.content, speaker.content))
            manners.append(contours(f0, standard_loudness(log_mel, speaker.content), speaker.log_f0))
        louder = speaker.content.loudness_deviation / speaker.normaliser.deviation_
        return cls(log_mels, contents, manners, louder, config.frame_rate)


def fit(network: UnitSelection, objective: UnitSelectionObjective, targets: dict[str, TargetFrames]) -> None:
    """Store the targets' recordings in the network: all of them, or excerpts evenly spread over them."""
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
            key: np.concatenate([getattr(target, key)[index][start:stop] for index, start, stop in excerpts])
            for key in ("log_mel", "content", "manner")
        }
        buffers["recording"] = np.repeat(np.arange(len(excerpts)), [stop - start for _, start, stop in excerpts])
        for key, values in {**buffers, "louder": target.louder}.items():
            setattr(units, key, torch.from_numpy(values).to(getattr(units, key)))


def choose_excerpts(lengths: list[int], largest: int, *, longest: int) -> list[tuple[int, int, int]]:
    """Choose excerpts of recordings up to a total length, evenly spread.

    Parameters
    ----------
    lengths : list of int
        Frames of each recording.
    largest : int
        Frames in total at most.
    longest : int
        Frames of an excerpt at most, if not all recordings fit.

    Returns
    -------
    list of tuple of int
        Index of the recording, start and stop of each excerpt: whole recordings if all fit; else they are cut into
        excerpts, of which evenly distributed ones are chosen.
    """
    total, visited, selected, excerpts = sum(lengths), 0, 0, []  # in frames
    if total <= largest:
        return [(index, 0, length) for index, length in enumerate(lengths)]
    for index, length in enumerate(lengths):
        for start in range(0, length, longest):
            stop = min(start + longest, length)
            visited += stop - start
            if selected + stop - start <= largest * visited / total:
                selected += stop - start
                excerpts.append((index, start, stop))
    return excerpts
