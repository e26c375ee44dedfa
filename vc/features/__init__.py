"""Waveform -> frames: F0 with the mel-cepstrum and aperiodicity of WORLD, with log-mel, or with content beside it."""
