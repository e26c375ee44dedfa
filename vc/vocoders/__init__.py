"""Features -> waveform."""
