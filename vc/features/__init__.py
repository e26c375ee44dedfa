"""Waveform -> frames: F0, mel-cepstrum and aperiodicity of WORLD."""
