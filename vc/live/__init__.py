"""Live conversion: samples in, as many converted samples out, at a delay that is constant to the sample.

The engines are `stream.Stream`, for linear models, and `decoder.DecoderStream`, for any speaker: no thread, no device,
no clock, and the first without torch. `choice.load` makes whichever suits a model. The other modules are their parts,
and what stands around them: a sound card (`device`), files (`recording`), a virtual microphone (`virtual_microphone`).
"""
