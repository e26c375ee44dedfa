"""Default settings of live conversion and their limits, for engine, command and page; importing it is light."""

METHODS = ("diff", "world")  # of linear models
LINEAR_METHODS = ("nearest", "parallel", "warp", "mean_variance")  # of training
DECODER_METHODS = ("recognition_synthesis",)
DELAY = 50.0  # milliseconds, of a linear model
DECODER_DELAY = 300.0  # milliseconds, of a decoder through HiFi-GAN
WORLD_DECODER_DELAY = 160.0  # milliseconds, of a decoder through WORLD: about the same look-ahead
LONGEST_DELAY = 1000.0  # milliseconds; the shortest depends on the voice (vc/live/delay.py)
GATE = -60.0  # dB of full scale
BLOCK = 10.0  # milliseconds, block size of the sound card
BLOCKS = (1.0, 200.0)  # milliseconds, smallest and largest block
SLACK = 2  # blocks of silence that the output starts with
MOST_SLACK = 100  # blocks
LONGEST_SLACK = 2.0  # seconds, half of what the buffers hold
METER_FLOOR = -60.0  # dB of full scale, level of an empty meter
