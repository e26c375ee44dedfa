"""Mel-cepstral distortion by the conventions of other toolkits, for comparison with their published values."""

from vc.metrics.conventions.fastdtw import fast_align
from vc.metrics.conventions.toolkits import (
    CONVENTIONS,
    compared_frames,
    find_convention,
    frames_distortion,
    mel_cepstral_distortion_by,
    rate_of,
)

__all__ = [
    "CONVENTIONS",
    "compared_frames",
    "fast_align",
    "find_convention",
    "frames_distortion",
    "mel_cepstral_distortion_by",
    "rate_of",
]
