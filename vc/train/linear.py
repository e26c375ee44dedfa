"""Fitting of the linear conversions of vc/models/linear.py, without steps; only `parallel` needs shared sentences.

`warp` is one all-pass constant for each direction. A different vocal-tract length stretches the frequency axis, which
an all-pass of the cepstrum approximates (Pitz and Ney, "Vocal tract normalization equals linear transformation in
cepstral space", IEEE Trans. SAP 13, 2005).

`nearest` takes slow movement from a regression on frames aligned by their nearest neighbours, fast movement from a
warp. The regression is a linear map from a source frame and its context to the paired target frame. It averages over
all pairs, and so over time: alone, it would move formants in blocks of 50 to 100 ms and fill up closures. So only its
slow movement is used, which carries most of the difference between two speakers. Faster movement comes from the
source's own frames, warped to the target's vocal-tract length:

    converted = F(G(regression) + warp - G(warp))

G is a Gaussian over time, and F a filter for each band that gives the sum the target's modulation spectrum. All of it
is linear and reduces to two filters a band: F G after the regression, F (1 - G) after the warp.

Of several speakers, every direction is fitted so. `factorised` fits two maps for each speaker instead, to a common
space and from it, so that the time to add a voice does not depend on how many there are.

`parallel` is `nearest` on frames aligned by time warping of shared sentences, the supervised anchor.

The alignment is after INCA (vc/train/alignment.py), F after Takamichi et al. (cited at `spectrum_gains`); the sum is
ours. The contribution of each part to predicted quality, phones and likeness: docs/experiments.md, 2026-11-26.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import torch
from torch import Tensor, nn

from vc.config import require, require_range
from vc.errors import DataError
from vc.features.mel_cepstrum import warping_matrix
from vc.models.linear import FactorisedConverter, LinearConverter, LinearMap, NearestConfig, SpeakerMaps
from vc.parallel import progress
from vc.train.alignment import Aligner, SentenceAligner, SpeakerFrames

WINDOW = 512  # frames of a modulation spectrum
MAX_GAIN = 20.0  # of a modulation frequency: the regression leaves almost nothing of some
MAX_WINDOWS = 64  # whose spectra are computed together, which bounds memory
DEVIATIONS = 3  # of the Gaussian to each side that the filters' taps must cover


@dataclass(frozen=True)
class WarpObjective:
    """Grid of all-pass constants, of which the one that brings two speakers nearest to each other is chosen."""

    largest: float = 0.15  # all-pass constant
    tried: int = 31  # from -largest to largest, 0 among them
    frames: int = 2_000  # of each speaker, to compare

    def __post_init__(self) -> None:
        require_range(self, "objective", "largest", at_least=0, at_most=0.5)
        odd = 3 <= self.tried <= 999 and self.tried % 2 == 1
        require(odd, f"objective.tried must be odd and in 3..999, got {self.tried}")
        require_range(self, "objective", "frames", at_least=100)


@dataclass(frozen=True)
class ParallelObjective:
    """How frames aligned by shared sentences are fitted."""

    passes: int = 2  # alignments, each with the map fitted in the previous one
    loudness: float = Aligner.loudness  # weight of c0 in a comparison
    ridge: float = 3e-3  # added to the variances of the regression's inputs, which are 1
    slow: float = 3.0  # frames, deviation of the Gaussian that separates slow from fast; 0: all is the regression's

    def __post_init__(self) -> None:
        require_range(self, "objective", "passes", at_least=1)
        require_range(self, "objective", "loudness", "ridge", "slow", at_least=0)

    @property
    def aligner(self) -> SentenceAligner:
        return SentenceAligner(self.loudness)


@dataclass(frozen=True)
class NearestObjective(ParallelObjective):
    """How frames aligned by nearest neighbours are compared and fitted; see vc/train/alignment.py."""

    frames: int = Aligner.max_frames  # of each speaker, to align
    reach: int = Aligner.reach  # frames to each side that are compared
    stride: int = Aligner.stride  # between frames that are compared

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, "objective", "frames", at_least=100)
        require_range(self, "objective", "reach", at_least=0, at_most=1000, unit="frames")
        require_range(self, "objective", "stride", at_least=1)

    @property
    def aligner(self) -> Aligner:
        return Aligner(self.reach, self.stride, self.loudness, self.frames)


def fit_warp(network: LinearConverter, objective: WarpObjective, speakers: dict[str, SpeakerFrames]) -> None:
    """Fit the maps of all directions that are not yet fitted to the speakers' frames, by name."""
    directions = unfitted_directions(network)
    with progress(len(directions), "fitting") as bar:
        for (source, target), name in directions.items():
            matrix = best_warp(speakers[source], speakers[target], objective, advance=bar.update)
            set_matrix(network.maps[name].regression, matrix)


def fit_parallel(network: LinearConverter, objective: ParallelObjective, speakers: dict[str, SpeakerFrames]) -> None:
    """Fit the maps as `fit_nearest` does, to frames aligned by the names of the speakers' sentences.

    Raises
    ------
    DataError
        If two speakers share no sentences, or as from `fit_nearest`.
    ConfigError
        As from `fit_nearest`.
    """
    for pair in combinations(speakers.values(), 2):
        objective.aligner.check(*pair)
    fit_nearest(network, objective, speakers)


def fit_nearest(network: LinearConverter, objective: ParallelObjective, speakers: dict[str, SpeakerFrames]) -> None:
    """Fit the maps of all directions that are not yet fitted to the speakers' frames, by name.

    The first alignment is of the source warped to the target. For log-mel, which an all-pass cannot warp, all movement
    is the regression's.

    Raises
    ------
    DataError
        If there are too few frames, or the regression has no single solution.
    ConfigError
        If the network's filters are too short for `objective.slow`.
    """
    require_frames(speakers)
    directions = unfitted_directions(network)
    with progress(len(directions), "fitting") as bar:
        for (source, target), name in directions.items():
            linear, pair = network.maps[name], (speakers[source], speakers[target])
            slow = slow_deviation(objective, linear.movement, pair[0])
            fit_regression_map(linear, objective, *pair, advance=bar.update)
            set_filters(linear, slow)
            set_filters(linear, slow, spectrum_gains(map_frames(linear, pair[0]), pair[1]))


def unfitted_directions(network: LinearConverter) -> dict[tuple[str, str], str]:
    """Names in `maps` of the directions whose maps did not come fitted from the run's initial model."""
    return {
        pair: name
        for pair, name in network.directions.items()
        if all(parameter.requires_grad for parameter in network.maps[name].parameters())
    }


def require_frames(speakers: dict[str, SpeakerFrames]) -> None:
    """Raise DataError if a speaker has too few frames for a modulation spectrum."""
    for name, frames in speakers.items():
        if len(frames.frames) < WINDOW:
            raise DataError(f"{name}: {len(frames.frames)} frames are too few to learn from: give {WINDOW} or more")


def slow_deviation(objective: ParallelObjective, movement: nn.Conv1d, speaker: SpeakerFrames) -> float:
    """`objective.slow`, or 0 for log-mel; ConfigError if the filters have too few taps for it."""
    slow, largest = (objective.slow if speaker.cepstral else 0.0), movement.padding[0] / DEVIATIONS
    fits = slow <= largest
    require(fits, f"objective.slow must be at most network.reach / {DEVIATIONS}, {largest:g}, got {slow:g}")
    return slow


def fit_regression_map(
    linear: LinearMap,
    objective: ParallelObjective,
    source: SpeakerFrames,
    target: SpeakerFrames,
    *,
    advance: Callable[[float], object] = lambda _: None,
) -> tuple[Tensor, Tensor]:
    """Fit the warp and the regression of one direction.

    Parameters
    ----------
    linear : LinearMap
        Receives both.
    objective : ParallelObjective
    source, target : SpeakerFrames
    advance : callable, optional
        Called after each part of the work with its share of the whole.

    Returns
    -------
    source_indices, target_indices : Tensor
        The last alignment, `(pairs,)` each, as the objective's aligner gives it.
    """
    estimate = source  # of the target, refined in each pass
    parts = objective.passes + source.cepstral  # of about equal duration
    if source.cepstral:
        matrix = best_warp(source, target, WarpObjective(), advance=lambda share: advance(share / parts))
        estimate = replace(source, frames=source.frames @ matrix)
        set_matrix(linear.warp, matrix)
    for _ in range(objective.passes):
        indices, partners, _ = objective.aligner.pairs(estimate, target)
        fit_regression(linear.regression, source, indices, target.frames[partners], ridge=objective.ridge)
        estimate = match_moments(map_frames(linear.regression, source), target)
        advance(1 / parts)
    return indices, partners


def fit_factorised(
    network: FactorisedConverter, objective: NearestObjective, speakers: dict[str, SpeakerFrames]
) -> None:
    """Fit each speaker's maps to the speakers' frames, by name.

    All are aligned with the first speaker, the pivot. A frame of the pivot and the frames paired with it are a row of a
    matrix, whose first singular vectors span the common space; each speaker's maps are regressions to and from it. If
    the first speakers' maps are fitted already, the pivot's map defines the common space.

    Raises
    ------
    DataError, ConfigError
        As from `fit_nearest`.
    """
    require_frames(speakers)
    (pivot_name, pivot), *_ = speakers.items()
    parts = dict(zip(speakers, network.parts, strict=True))
    new_names = [name for name in speakers if parts[name].inward.weight.requires_grad]
    first, rank, bands = network.parts[0], network.parts[0].inward.out_channels, pivot.frames.shape[1]
    slow = slow_deviation(objective, first.movement, pivot)
    indices = pivot.sample(objective.frames)
    other_names = [name for name in new_names if name != pivot_name]
    pairs = {}  # of indices of the pivot's and the speaker's frames, by the speaker's name
    with progress(len(other_names), "fitting") as bar:
        for name in other_names:
            temporary = LinearMap(NearestConfig(first.inward.padding[0]), bands).to(pivot.frames.device)
            pairs[name] = fit_regression_map(temporary, objective, pivot, speakers[name], advance=bar.update)
            set_matrix(parts[name].warp_out, temporary.warp.weight.detach()[..., 0].T)
    if len(new_names) == len(speakers):
        # the first pairs of an alignment are the pivot's sampled frames, in order, with their neighbours
        frames = [pivot.frames[indices], *(speakers[name].frames[pairs[name][1][: len(indices)]] for name in pairs)]
        matrix = torch.cat([part - part.mean(0) for part in frames], dim=1)
        require(rank <= min(matrix.shape), f"network.rank must be at most {min(matrix.shape)}, the bands of all")
        vectors = torch.linalg.svd(matrix, full_matrices=False)[0][:, :rank]
        common = pivot.frames.new_zeros(len(pivot.frames), rank)
        common[indices] = vectors * len(indices) ** 0.5
        fit_regression(first.inward, pivot, indices, common[indices], ridge=objective.ridge)
        fit_least_squares(first.outward, common[indices], pivot.frames[indices], ridge=objective.ridge)
    else:
        common = map_frames(first.inward, pivot).frames
    for name, (indices, partners) in pairs.items():
        speaker = speakers[name]
        fit_regression(parts[name].inward, speaker, partners, common[indices], ridge=objective.ridge)
        fit_least_squares(parts[name].outward, common[indices], speaker.frames[partners], ridge=objective.ridge)
    for name in new_names:
        if name == pivot_name or not pivot.cepstral:
            for warp in (parts[name].warp_in, parts[name].warp_out):
                set_matrix(warp, torch.eye(bands, device=pivot.frames.device))
        else:
            set_matrix(parts[name].warp_in, best_warp(speakers[name], pivot, WarpObjective()))
    for name in new_names:  # the conversion of one source stands for those of all
        source = pivot_name if name != pivot_name else [*speakers][1]
        set_filters(parts[name], slow)
        estimate = map_frames(partial(network.convert, source=source, target=name), speakers[source])
        set_filters(parts[name], slow, spectrum_gains(estimate, speakers[name]))


def best_warp(
    source: SpeakerFrames,
    target: SpeakerFrames,
    objective: WarpObjective,
    *,
    advance: Callable[[float], object] = lambda _: None,
) -> Tensor:
    """The warp `(bands, bands)` that brings normalised frames of `source` nearest to those of `target`.

    `advance` is called after each constant with its share of all.
    """
    constants = torch.linspace(-objective.largest, objective.largest, objective.tried).tolist()
    matrices = [warp_matrix(source, constant) for constant in constants]
    aligner = Aligner(max_frames=objective.frames)
    distances = []
    for matrix in matrices:
        distances.append(aligner.pairs(replace(source, frames=source.frames @ matrix), target)[2])
        advance(1 / len(matrices))
    return matrices[distances.index(min(distances))]


def warp_matrix(speaker: SpeakerFrames, constant: float) -> Tensor:
    """Matrix `(bands, bands)` whose product with normalised frames of `speaker` is warped and normalised again."""
    order = speaker.frames.shape[1] - 1
    matrix = torch.from_numpy(warping_matrix(order, order, constant)).to(speaker.frames)
    matrix = speaker.deviation[:, None] * matrix
    return matrix / (speaker.frames @ matrix).std(0, correction=0)


@torch.no_grad()
def set_matrix(convolution: nn.Conv1d, matrix: Tensor) -> None:
    """Set a convolution of one frame to multiply each frame by `matrix`, `(bands, bands)`."""
    convolution.weight.copy_(matrix.T[..., None])


@torch.no_grad()
def fit_regression(
    regression: nn.Conv1d, source: SpeakerFrames, indices: Tensor, partners: Tensor, *, ridge: float
) -> None:
    """Fit the least-squares map from source frames in context to their partners.

    Parameters
    ----------
    regression : nn.Conv1d
        Receives the map.
    source : SpeakerFrames
    indices : Tensor
        Of frames of the source, `(pairs,)`.
    partners : Tensor
        Frames of the target, `(pairs, bands)`.
    ridge : float
        Added to the variances of the inputs.
    """
    context = regression.padding[0]
    fit_least_squares(regression, source.contexts(indices, range(-context, context + 1)), partners, ridge=ridge)


@torch.no_grad()
def fit_least_squares(regression: nn.Conv1d, inputs: Tensor, partners: Tensor, *, ridge: float) -> None:
    """Fit the map from `(pairs, frames * channels)` to `(pairs, bands)` with the least squared error.

    Parameters
    ----------
    regression : nn.Conv1d
        Receives the map and its bias.
    inputs : Tensor
        Shape `(pairs, frames * channels)`; frames are those that the kernel covers.
    partners : Tensor
        Shape `(pairs, bands)`.
    ridge : float
        Added to the variances of the inputs.

    Raises
    ------
    DataError
        If the map is not unique.
    """
    inputs = inputs.double()
    input_mean, partner_mean = inputs.mean(0), partners.double().mean(0)
    inputs = inputs - input_mean
    squares = inputs.T @ inputs / len(inputs) + ridge * torch.eye(inputs.shape[1]).to(inputs)
    try:
        weights = torch.linalg.solve(squares, inputs.T @ (partners - partner_mean) / len(inputs))
    except torch.linalg.LinAlgError as error:
        raise DataError(f"the regression has no single solution: give objective.ridge above {ridge:g}") from error
    regression.weight.copy_(weights.unflatten(0, (-1, regression.in_channels)).permute(2, 1, 0))
    regression.bias.copy_(partner_mean - input_mean @ weights)


@torch.no_grad()
def map_frames(network: Callable[[Tensor], Tensor], speaker: SpeakerFrames) -> SpeakerFrames:
    """Apply `network`, of `(1, bands, frames)`, to the speaker's frames, utterance by utterance."""
    utterances = [network(frames.T[None])[0].T for frames in speaker.frames.split(speaker.lengths)]
    return replace(speaker, frames=torch.cat(utterances))


def match_moments(estimate: SpeakerFrames, target: SpeakerFrames) -> SpeakerFrames:
    """Give the audible frames the target's means and deviations: a regression's output varies too little."""
    current, reference = estimate.frames[estimate.audible], target.frames[target.audible]
    scale = reference.std(0) / current.std(0).clamp(min=torch.finfo(current.dtype).tiny)
    frames = (estimate.frames - current.mean(0)) * scale + reference.mean(0)
    return replace(estimate, frames=frames, deviation=target.deviation)


@torch.no_grad()
def set_filters(linear: LinearMap | SpeakerMaps, slow: float, gains: Tensor | float = 1.0) -> None:
    """Set the filters over time that combine the regression's slow movement with the warp's fast movement.

    Truncated to their taps, the filters do not preserve means exactly: where the target moves more, they grow.

    Parameters
    ----------
    linear : LinearMap or SpeakerMaps
        Receives the filters.
    slow : float
        Deviation of the Gaussian in frames.
    gains : Tensor or float, optional
        Gains of both filters, `(modulation frequencies, bands)`.
    """
    taps = linear.movement.weight.shape[-1]
    angles = torch.linspace(0, torch.pi, WINDOW // 2 + 1, dtype=torch.float64, device=linear.movement.weight.device)
    gaussian = torch.exp(-(slow * angles).square() / 2)[:, None].expand(-1, len(linear.movement.weight))
    taper = torch.hann_window(taps + 2, periodic=False, dtype=torch.float64, device=angles.device)[1:-1]
    for part, share in ((linear.movement, gaussian), (linear.detail, 1 - gaussian)):
        response = torch.fft.irfft(share * gains, dim=0).roll(taps // 2, 0)[:taps]
        part.weight.copy_((response * taper[:, None]).T[:, None])


def spectrum_gains(estimate: SpeakerFrames, target: SpeakerFrames) -> Tensor:
    """Gains `(modulation frequencies, bands)` that give `estimate` the target's modulation spectrum; 1 at 0 Hz.

    The idea of Takamichi, Toda, Black and Nakamura, "Modulation spectrum-based post-filter for GMM-based voice
    conversion", APSIPA 2014, as a fixed linear-phase filter; theirs adapts to each utterance's spectrum.
    """
    floor = torch.finfo(torch.float64).tiny
    gains = (modulation_power(target) / modulation_power(estimate).clamp(min=floor)).sqrt().clamp(max=MAX_GAIN)
    gains[0] = 1
    return gains


def modulation_power(speaker: SpeakerFrames) -> Tensor:
    """Power `(modulation frequencies, bands)`, float64, summed over windows of all frames, for each spoken frame.

    Frames before and after speech count as constant: their number is the recording's, not the speaker's.
    """
    spoken = speaker.spoken
    movement = (speaker.frames - speaker.frames[spoken].mean(0)) * spoken[:, None]
    windows = movement.unfold(0, WINDOW, WINDOW // 2)  # (windows, bands, WINDOW)
    taper = torch.hann_window(WINDOW, device=windows.device)
    power = 0
    for part in windows.split(MAX_WINDOWS):
        power = power + torch.fft.rfft(part * taper).abs().square().double().sum(0).T
    return power / spoken.sum()
