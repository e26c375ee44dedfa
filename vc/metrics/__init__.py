"""How far converted speech is from the target's: arrays in, numbers out; no files."""

from vc.metrics.alignment import align
from vc.metrics.distortion import (
    audible,
    global_variance,
    gv_ratio,
    mel_cepstral_distortion,
    modulation_spectra_distance,
    modulation_spectrum,
    speech_path,
)
from vc.metrics.distribution import content_lost, frechet_distance
from vc.metrics.intervals import distance_interval, mean_interval
from vc.metrics.pitch import log_f0_correlation, log_f0_rmse, voicing_error

__all__ = [
    "align",
    "audible",
    "content_lost",
    "distance_interval",
    "frechet_distance",
    "global_variance",
    "gv_ratio",
    "log_f0_correlation",
    "log_f0_rmse",
    "mean_interval",
    "mel_cepstral_distortion",
    "modulation_spectra_distance",
    "modulation_spectrum",
    "speech_path",
    "voicing_error",
]
