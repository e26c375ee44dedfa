"""Metrics of converted speech: arrays in, numbers out. Files are read only for the weights of users' own models."""

from vc.metrics import content, mos, phones, quality, speaker, timbre, utmos, words
from vc.metrics.alignment import align
from vc.metrics.conventions import (
    CONVENTIONS,
    compared_frames,
    fast_align,
    frames_distortion,
    mel_cepstral_distortion_by,
)
from vc.metrics.distortion import (
    audible,
    global_variance,
    gv_ratio,
    mel_cepstral_distortion,
    modulation_spectra_distance,
    modulation_spectrum,
    speech_path,
)
from vc.metrics.f0 import log_f0_correlation, log_f0_rmse, voicing_error
from vc.metrics.sets import (
    approach,
    content_lost,
    different_sentences,
    diversity,
    frechet_distance,
    kernel_distance,
    moving,
)
from vc.metrics.statistics import (
    compare_paired,
    crossed_interval,
    holm,
    interval_around,
    jackknife_variance,
    mean_interval,
)

__all__ = [
    "CONVENTIONS",
    "align",
    "approach",
    "audible",
    "compare_paired",
    "compared_frames",
    "content",
    "content_lost",
    "crossed_interval",
    "different_sentences",
    "diversity",
    "fast_align",
    "frames_distortion",
    "frechet_distance",
    "global_variance",
    "gv_ratio",
    "holm",
    "interval_around",
    "jackknife_variance",
    "kernel_distance",
    "log_f0_correlation",
    "log_f0_rmse",
    "mean_interval",
    "mel_cepstral_distortion",
    "mel_cepstral_distortion_by",
    "modulation_spectra_distance",
    "modulation_spectrum",
    "mos",
    "moving",
    "phones",
    "quality",
    "speaker",
    "speech_path",
    "timbre",
    "utmos",
    "voicing_error",
    "words",
]
