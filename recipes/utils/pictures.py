#!/usr/bin/env python3
"""Recordings above each other as one picture: spectrograms with F0.

pictures.py --output parts.png source=SF1/200001.wav gan=gan/200001.wav target=TM3/200001.wav
"""

import argparse
import io
import sys
from pathlib import Path

from vc.corpus import audio
from vc.errors import DataError, VCError
from vc.features.f0 import f0_statistics
from vc.features.world import WorldConfig
from vc.files import replacing
from vc.plots import Panel, picture, require_matplotlib

RATE = 16000  # Hz
COLOURS = 48


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", metavar="TITLE=FILE")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    try:
        require_matplotlib()
        settings = WorldConfig(RATE)
        panels = [panel(word, settings) for word in args.recordings]
        with replacing(args.output) as file:
            file.write_bytes(reduce_colours(picture(panels, RATE, settings.frame_shift / 1000)))
    except (VCError, OSError) as error:
        print(f"pictures.py: error: {error}", file=sys.stderr)
        return 1
    return 0


def reduce_colours(png: bytes) -> bytes:
    """The picture in few colours, so that documentation stays small."""
    from PIL import Image

    content = io.BytesIO()
    Image.open(io.BytesIO(png)).quantize(COLOURS, Image.Quantize.FASTOCTREE).save(content, "PNG", optimize=True)
    return content.getvalue()


def panel(word: str, settings: WorldConfig) -> Panel:
    """A recording by `TITLE=FILE`; its F0 is looked for where its own voice lies."""
    title, _, path = word.partition("=")
    if not path:
        raise DataError(f"{word}: expected TITLE=FILE")
    samples, _ = audio.read(Path(path), RATE)
    voice = f0_statistics([settings.track_f0(samples)], settings.frame_rate, title)
    return Panel(title, samples, settings.estimate_f0(samples, voice.f0_range)[0])


if __name__ == "__main__":
    sys.exit(main())
