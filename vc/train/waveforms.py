"""Recordings and random segments of them for a vocoder to learn from; log-mel frames are computed as they are drawn."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vc import files
from vc.config import digest
from vc.corpus import audio, data_directory
from vc.corpus.data_directory import Utterance
from vc.features.mel import MelConfig, log_mel
from vc.parallel import progress
from vc.train.sampling import Segments

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WaveBatch:
    """Segments of waveforms and the frames that a vocoder makes them from."""

    mel: Tensor  # (batch, bands, frames)
    samples: Tensor  # (batch, frames * hop), aligned with them


class WaveSampler:
    """Batches of random segments, `frames` long each; its random state is part of a checkpoint.

    Frames are those of the whole recording: a segment is drawn with so many samples beyond either end that no window
    reaches what `log_mel` reflects there. Several processes draw the same and each takes its `share`.
    """

    def __init__(
        self,
        recordings: Sequence[np.ndarray],
        mel: MelConfig,
        frames: int,
        batch: int,
        seed: int,
        device: torch.device,
        share: slice = slice(None),
    ):
        self.mel, self.batch, self.share = mel, batch, share
        self.beyond = math.ceil(mel.margin / mel.hop)  # frames
        length = (frames + 2 * self.beyond) * mel.hop
        alone = [samples[:, None] for samples in recordings]
        self.segments = Segments(alone, length, device, "the data", f"samples at {mel.sample_rate} Hz")
        self.generator = torch.Generator(device).manual_seed(seed)

    def draw(self) -> WaveBatch:
        samples = self.segments.draw(self.batch, self.generator)[self.share, 0]
        inner, hop = slice(self.beyond, -self.beyond or None), self.mel.hop
        frames = log_mel(samples, self.mel)[:, :, inner]
        return WaveBatch(frames, samples.unflatten(1, (-1, hop))[:, inner].flatten(1))


def read_all(utterances: Sequence[Utterance], rate: int) -> list[np.ndarray]:
    """Each utterance's `(samples,)` at `rate` Hz."""
    below = [utterance for utterance in utterances if audio.info(utterance.path).sample_rate < rate]
    if below:
        log.warning(
            "%d of %d recordings are below mel.sample_rate, such as %s: nothing above their bands can be learnt there",
            len(below),
            len(utterances),
            below[0].path,
        )
    recordings = []
    with progress(len(utterances), "reading") as bar:
        for utterance in utterances:
            recordings.append(utterance.read(rate)[0])
            bar.update()
    return recordings


def read_list(directory: Path) -> tuple[list[Utterance], str, dict[str, str]]:
    """A data directory's utterances, a digest of all of their recordings, and one of each by id."""
    utterances = data_directory.read(directory)
    contents: dict[Path, str] = {}
    for utterance in utterances:
        if utterance.path not in contents:  # of which there may be many segments
            contents[utterance.path] = files.sha256(utterance.path)
    rows = [[u.id, u.speaker, contents[u.path], u.start, u.end] for u in utterances]
    return utterances, digest(rows), {u.id: digest(row[2:]) for u, row in zip(utterances, rows)}
