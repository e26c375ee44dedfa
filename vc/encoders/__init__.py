"""Waveform -> content: vectors that say what is spoken and little of who speaks. Frozen networks, trained elsewhere."""
