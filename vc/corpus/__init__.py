"""From recordings to a data directory: finding and decoding audio files, ids, Kaldi lists, checks."""
