"""Plots of recordings: stacked spectrograms with F0 contours."""

import io
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vc import extras

WINDOW, SHIFT = 0.025, 0.005  # seconds
MIN_FFT = 2048  # samples
LOWEST = 60.0  # Hz, lower end of the logarithmic axis
ROWS = 192  # frequency bins
RANGE = 70.0  # dB below the maximum
MIN_POWER = 1e-12  # of a frequency bin; silence has this
WIDTH = 8.0  # inches of a figure
LEFT, ABOVE, BELOW = 0.85, 0.28, 0.5  # inches for frequency labels, a panel's title and time labels
TICKS = (100, 200, 500, 1000, 2000, 5000, 10000, 20000)  # Hz
GREY = "#808080"  # for text, legible on light and dark backgrounds


class Panel(NamedTuple):
    """One recording in the figure."""

    title: str
    samples: np.ndarray  # (samples,)
    f0: np.ndarray  # (frames,) Hz, 0 where unvoiced


def require_matplotlib() -> None:
    """Raise ConfigError if matplotlib is missing; call it before work that ends in plots."""
    extras.require("a picture", "eval", "matplotlib")


def picture(panels: Sequence[Panel], rate: int, frame_shift: float, format: str = "png") -> bytes:
    """Plot panels below one another on a common time axis.

    Parameters
    ----------
    panels : sequence of Panel
        Recordings, at least one.
    rate : int
        Sample rate of the recordings in Hz.
    frame_shift : float
        Frame shift of the F0 tracks in seconds.
    format : str
        One of matplotlib's image formats.

    Returns
    -------
    bytes
        Content of an image file.
    """
    from matplotlib.figure import Figure

    count, height = len(panels), 1.75 * len(panels)  # inches; fixed margins take half the time of a layout engine
    axis_height = (height - BELOW - count * ABOVE) / count
    figure = Figure(figsize=(WIDTH, height))
    figure.subplots_adjust(
        LEFT / WIDTH, BELOW / height, 1 - 0.1 / WIDTH, 1 - ABOVE / height, hspace=ABOVE / axis_height
    )
    axes = figure.subplots(count, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels):
        levels = spectrogram(panel.samples, rate)
        extent = (0, levels.shape[1] * round(SHIFT * rate) / rate, 0, 1)
        axis.imshow(levels, origin="lower", aspect="auto", extent=extent, cmap="magma", interpolation="bilinear")
        heights = _height(np.where(panel.f0 > 0, panel.f0, np.nan), rate)
        axis.plot(np.arange(len(heights)) * frame_shift, heights, color="white", linewidth=3)
        axis.plot(np.arange(len(heights)) * frame_shift, heights, color="#00a0c8", linewidth=1.5)
        ticks = [tick for tick in TICKS if tick <= rate / 2]
        axis.set_yticks(_height(np.array(ticks), rate), [f"{tick} Hz" for tick in ticks])
        axis.set_ylim(0, 1)
        axis.tick_params(colors=GREY)
        axis.spines[:].set_visible(False)
        axis.set_title(panel.title, color=GREY, loc="left", fontsize=10, parse_math=False)
    for axis in axes[:-1]:
        axis.tick_params(bottom=False)
    axes[-1].set_xlim(0, max(len(panel.samples) for panel in panels) / rate)
    axes[-1].set_xlabel("seconds", color=GREY)
    return as_image(figure, format)


def as_image(figure: "matplotlib.figure.Figure", format: str = "png") -> bytes:  # noqa: F821 - not light
    """Render a figure as an image file with transparent background; glyphs that the font lacks are drawn as boxes."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(content, format=format, dpi=80, transparent=True)
    return content.getvalue()


def spectrogram(samples: np.ndarray, rate: int) -> np.ndarray:
    """Spectrogram on a logarithmic frequency axis from LOWEST to the Nyquist frequency.

    Parameters
    ----------
    samples : np.ndarray
        Shape `(samples,)`.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    np.ndarray
        Shape `(ROWS, frames)`, dB relative to the maximum, -RANGE..0; -RANGE for silence.
    """
    window, shift = round(WINDOW * rate), round(SHIFT * rate)
    padded = np.pad(samples, window // 2)
    padded = np.pad(padded, (0, max(0, window - len(padded))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::shift] * np.hanning(window)
    size = max(MIN_FFT, 2 ** int(np.ceil(np.log2(window))))
    power = np.square(np.abs(np.fft.rfft(frames, size)))
    nearest = np.rint(np.geomspace(LOWEST, rate / 2, ROWS) * size / rate).astype(int)
    decibels = 10 * np.log10(np.maximum(power[:, nearest].T, MIN_POWER))
    return np.maximum(decibels - max(decibels.max(), 10 * np.log10(MIN_POWER) + RANGE), -RANGE)


def _height(frequencies: np.ndarray, rate: int) -> np.ndarray:
    """Position of frequencies in Hz on an axis from 0 to 1."""
    return np.log(frequencies / LOWEST) / np.log(rate / 2 / LOWEST)
