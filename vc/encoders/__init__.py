"""Waveform -> content: vectors that carry the words and little of the speaker. Frozen networks, trained elsewhere."""
