"""From waveforms to frames of acoustic features: F0 and mel-cepstra, log-mel spectra, or log-mel and content."""
