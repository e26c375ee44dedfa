"""`nearest`: a regression on frames that nearest neighbours bring together, and the target's movement restored."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vc.config import require
from vc.errors import DataError
from vc.models.linear import LinearConverter, LinearMap
from vc.train import warp
from vc.train.alignment import Aligner, Voice
from vc.train.warp import WarpObjective

WINDOW = 512  # frames of a modulation spectrum
LOUDEST = 20.0  # gain of a modulation frequency: where the regression leaves nothing, nothing is to be had
BATCH = 64  # windows at a time


@dataclass(frozen=True)
class NearestObjective:
    """How frames are aligned and what is fitted to them; vc/train/alignment.py has the reasons."""

    passes: int = 2  # alignments, each with the map that the one before gave
    frames: int = Aligner.most  # of each speaker that are aligned
    reach: int = Aligner.reach  # frames to each side that are compared
    stride: int = Aligner.stride  # every so many of them
    loudness: float = Aligner.loudness  # weight of c0 in a comparison
    ridge: float = 3e-3  # added to the variances of the regression's inputs, which are 1

    def __post_init__(self) -> None:
        lowest = {"passes": 1, "frames": 100, "reach": 0, "stride": 1, "loudness": 0, "ridge": 0}
        for name, least in lowest.items():
            require(getattr(self, name) >= least, f"objective.{name} must be {least} or more, got {vars(self)[name]}")


def fit(network: LinearConverter, objective: NearestObjective, voices: dict[str, Voice]) -> None:
    """Set both directions' maps; `voices` by speaker. The first alignment is of the source warped to the target."""
    for name, voice in voices.items():
        if len(voice.frames) < WINDOW:
            raise DataError(f"{name}: {len(voice.frames)} frames are too few to learn from: give {WINDOW} or more")
    aligner = Aligner(objective.reach, objective.stride, objective.loudness, objective.frames)
    for (source, target), name in network.directions.items():
        linear, alike = network.maps[name], voices[source]
        if alike.cepstral:
            matrix = warp.best(alike, voices[target], WarpObjective())
            alike = replace(alike, frames=alike.frames @ matrix)
        for _ in range(objective.passes):
            one, other, _ = aligner.pairs(alike, voices[target])
            regress(linear.regression, voices[source], one, voices[target].frames[other], objective.ridge)
            made = converted(linear.regression, voices[source])
            alike = spread(made, voices[target])
        set_movement(linear, made, voices[target])


@torch.no_grad()
def regress(regression: nn.Conv1d, source: Voice, places: Tensor, wanted: Tensor, ridge: float) -> None:
    """Set the least-squares map from the surroundings of `places` to the frames `(places, bands)` that are wanted."""
    context = regression.padding[0]
    seen = source.contexts(places, range(-context, context + 1)).double()
    centre, middle = seen.mean(0), wanted.double().mean(0)
    seen = seen - centre
    squares = seen.T @ seen / len(seen) + ridge * torch.eye(seen.shape[1]).to(seen)
    try:
        weights = torch.linalg.solve(squares, seen.T @ (wanted - middle) / len(seen))
    except torch.linalg.LinAlgError as error:
        raise DataError(f"the regression has no single solution: give objective.ridge above {ridge:g}") from error
    regression.weight.copy_(weights.unflatten(0, (-1, wanted.shape[1])).permute(2, 1, 0))
    regression.bias.copy_(middle - centre @ weights)


@torch.no_grad()
def converted(regression: nn.Conv1d, voice: Voice) -> Voice:
    """The voice with each of its utterances mapped."""
    mapped = [regression(frames.T[None])[0].T for frames in voice.frames.split(voice.lengths)]
    return replace(voice, frames=torch.cat(mapped))


def spread(voice: Voice, target: Voice) -> Voice:
    """Means and deviations of the audible frames brought to the target's: what a regression makes is too even."""
    own, theirs = voice.frames[voice.audible], target.frames[target.audible]
    scale = theirs.std(0) / own.std(0).clamp(min=torch.finfo(own.dtype).tiny)
    return replace(voice, frames=(voice.frames - own.mean(0)) * scale + theirs.mean(0), deviation=target.deviation)


@torch.no_grad()
def set_movement(linear: LinearMap, made: Voice, target: Voice) -> None:
    """A filter over time for each band that gives what was made the target's modulation spectrum.

    Cut to its taps, it also raises what stands still, where the target moves more: a band's mean is not kept.

    The idea of Takamichi, Toda, Black and Nakamura, "Modulation spectrum-based post-filter for GMM-based voice
    conversion", APSIPA 2014, as one filter of linear phase; theirs works on each utterance's own spectrum.
    """
    taps = linear.movement.weight.shape[-1]
    gains = (movement(target) / movement(made).clamp(min=torch.finfo(torch.float64).tiny)).sqrt().clamp(max=LOUDEST)
    gains[0] = 1
    response = torch.fft.irfft(gains, dim=0).roll(taps // 2, 0)[:taps]
    taper = torch.hann_window(taps + 2, periodic=False, dtype=response.dtype, device=response.device)[1:-1]
    linear.movement.weight.copy_((response * taper[:, None]).T[:, None])


def movement(voice: Voice) -> Tensor:
    """`(modulation frequencies, bands)`: power over windows of the frames end to end, for each spoken one, float64.

    What lies before and after speech does not move: its length is the recording's, not the speaker's.
    """
    spoken = voice.spoken
    moving = (voice.frames - voice.frames[spoken].mean(0)) * spoken[:, None]
    windows = moving.unfold(0, WINDOW, WINDOW // 2)  # (windows, bands, WINDOW)
    taper = torch.hann_window(WINDOW, device=windows.device)
    power = 0
    for some in windows.split(BATCH):
        power = power + torch.fft.rfft(some * taper).abs().square().double().sum(0).T
    return power / spoken.sum()
