"""How far converted speech is from the target's: arrays in, numbers out; no files."""

from vc.metrics.alignment import align
from vc.metrics.comparison import compare_paired, holm
from vc.metrics.distortion import (
    audible,
    global_variance,
    gv_ratio,
    mel_cepstral_distortion,
    modulation_spectra_distance,
    modulation_spectrum,
    speech_path,
)
from vc.metrics.distribution import approach, content_lost, frechet_distance, kernel_distance, moving
from vc.metrics.diversity import different_sentences, diversity
from vc.metrics.intervals import interval_around, jackknife_variance, mean_interval
from vc.metrics.pitch import log_f0_correlation, log_f0_rmse, voicing_error

__all__ = [
    "align",
    "approach",
    "audible",
    "compare_paired",
    "content_lost",
    "different_sentences",
    "diversity",
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
    "modulation_spectra_distance",
    "modulation_spectrum",
    "moving",
    "speech_path",
    "voicing_error",
]
