"""Live conversion: samples in, as many converted samples out, at a delay that is constant to the sample.

`stream.Stream` is the engine: no thread, no device, no clock, and no torch. The other modules are its parts, and what
stands around it: a sound card (`device`), files (`recording`), a virtual microphone (`virtual_microphone`).
"""
