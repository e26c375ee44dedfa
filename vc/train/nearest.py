"""`nearest`: slow movement by a regression on frames that nearest neighbours bring together, fast movement by a warp.

Frames of the two voices are aligned, and a linear map from a source frame's surroundings to its partner is fitted. It
averages over all that was aligned, and so over time: left to itself, formants move in blocks of 50 to 100 ms and
closures fill up. So it keeps what moves slowly, where most of what tells two voices apart lies. What is faster comes
from the source's own frames, warped to the target's length of vocal tract (vc/train/warp.py):

    converted = F(G(regression) + warp - G(warp))

G is a Gaussian over time, and F one filter for each band that gives the sum the target's modulation spectrum. All of it
is linear, so that two filters a band are left: F G behind the regression, F (1 - G) behind the warp.

The alignment is after INCA (vc/train/alignment.py), F after Takamichi et al. (cited at `missing`); the sum is ours.
What each part is worth, by predicted quality, phones and likeness together: docs/experiments.md, 2026-11-26.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vc.config import require
from vc.errors import DataError
from vc.models.linear import LinearConverter, LinearMap
from vc.train import warp
from vc.train.alignment import Aligner, SpeakerFrames
from vc.train.warp import WarpObjective

WINDOW = 512  # frames of a modulation spectrum
LOUDEST = 20.0  # gain of a modulation frequency: where the regression leaves nothing, nothing is to be had
BATCH = 64  # windows at a time
HELD = 3  # deviations of the Gaussian to each side that the filters have to hold


@dataclass(frozen=True)
class NearestObjective:
    """How frames are aligned and what is fitted to them; vc/train/alignment.py has the reasons."""

    passes: int = 2  # alignments, each with the map that the one before gave
    frames: int = Aligner.most  # of each speaker that are aligned
    reach: int = Aligner.reach  # frames to each side that are compared
    stride: int = Aligner.stride  # every so many of them
    loudness: float = Aligner.loudness  # weight of c0 in a comparison
    ridge: float = 3e-3  # added to the variances of the regression's inputs, which are 1
    slow: float = 3.0  # frames, deviation of the Gaussian that parts slow from fast; 0: all is the regression's

    def __post_init__(self) -> None:
        lowest = {"passes": 1, "frames": 100, "reach": 0, "stride": 1, "loudness": 0, "ridge": 0, "slow": 0}
        for name, least in lowest.items():
            require(getattr(self, name) >= least, f"objective.{name} must be {least} or more, got {vars(self)[name]}")


def fit(network: LinearConverter, objective: NearestObjective, voices: dict[str, SpeakerFrames]) -> None:
    """Set both directions' maps; `voices` by speaker. The first alignment is of the source warped to the target.

    Of log-mel, which an all-pass cannot warp, all movement is the regression's.
    """
    for name, voice in voices.items():
        if len(voice.frames) < WINDOW:
            raise DataError(f"{name}: {len(voice.frames)} frames are too few to learn from: give {WINDOW} or more")
    aligner = Aligner(objective.reach, objective.stride, objective.loudness, objective.frames)
    for (source, target), name in network.directions.items():
        linear, alike, slow = network.maps[name], voices[source], 0.0
        if alike.cepstral:
            slow, most = objective.slow, linear.movement.padding[0] / HELD
            require(slow <= most, f"objective.slow must be at most network.reach / {HELD}, {most:g}, got {slow:g}")
            matrix = warp.best(alike, voices[target], WarpObjective())
            alike = replace(alike, frames=alike.frames @ matrix)
            warp.set_matrix(linear.warp, matrix)
        for _ in range(objective.passes):
            one, other, _ = aligner.pairs(alike, voices[target])
            regress(linear.regression, voices[source], one, voices[target].frames[other], objective.ridge)
            alike = spread(converted(linear.regression, voices[source]), voices[target])
        set_filters(linear, slow)
        set_filters(linear, slow, missing(converted(linear, voices[source]), voices[target]))


@torch.no_grad()
def regress(regression: nn.Conv1d, source: SpeakerFrames, places: Tensor, wanted: Tensor, ridge: float) -> None:
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
def converted(network: nn.Module, voice: SpeakerFrames) -> SpeakerFrames:
    """The voice with each of its utterances mapped."""
    mapped = [network(frames.T[None])[0].T for frames in voice.frames.split(voice.lengths)]
    return replace(voice, frames=torch.cat(mapped))


def spread(voice: SpeakerFrames, target: SpeakerFrames) -> SpeakerFrames:
    """Means and deviations of the audible frames brought to the target's: what a regression makes is too even."""
    own, theirs = voice.frames[voice.audible], target.frames[target.audible]
    scale = theirs.std(0) / own.std(0).clamp(min=torch.finfo(own.dtype).tiny)
    return replace(voice, frames=(voice.frames - own.mean(0)) * scale + theirs.mean(0), deviation=target.deviation)


@torch.no_grad()
def set_filters(linear: LinearMap, slow: float, gains: Tensor | float = 1.0) -> None:
    """Part the regression's slow movement from the warp's fast one, both times `(modulation frequencies, bands)` gains.

    Cut to their taps, the filters also raise what stands still, where the target moves more: means are not kept.
    """
    taps = linear.movement.weight.shape[-1]
    angles = torch.linspace(0, torch.pi, WINDOW // 2 + 1, dtype=torch.float64, device=linear.movement.weight.device)
    gaussian = torch.exp(-(slow * angles).square() / 2)[:, None].expand(-1, len(linear.movement.weight))
    taper = torch.hann_window(taps + 2, periodic=False, dtype=torch.float64, device=angles.device)[1:-1]
    for part, share in ((linear.movement, gaussian), (linear.detail, 1 - gaussian)):
        response = torch.fft.irfft(share * gains, dim=0).roll(taps // 2, 0)[:taps]
        part.weight.copy_((response * taper[:, None]).T[:, None])


def missing(made: SpeakerFrames, target: SpeakerFrames) -> Tensor:
    """`(modulation frequencies, bands)`: gains that give what was made the target's modulation spectrum; 1 at rest.

    The idea of Takamichi, Toda, Black and Nakamura, "Modulation spectrum-based post-filter for GMM-based voice
    conversion", APSIPA 2014, as one filter of linear phase; theirs works on each utterance's own spectrum.
    """
    gains = (movement(target) / movement(made).clamp(min=torch.finfo(torch.float64).tiny)).sqrt().clamp(max=LOUDEST)
    gains[0] = 1
    return gains


def movement(voice: SpeakerFrames) -> Tensor:
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
