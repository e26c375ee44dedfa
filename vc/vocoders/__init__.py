"""Vocoders: features -> waveform."""
