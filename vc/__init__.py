"""Non-parallel voice conversion: CycleGAN-VC2 on WORLD features."""

import logging

from vc.errors import ConfigError, DataError, TrainingError, VCError

__version__ = "0.1.0"
__all__ = ["ConfigError", "Converter", "DataError", "TrainingError", "VCError", "__version__"]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless a command or the caller listens


def __getattr__(name: str):
    """Import `Converter`, and torch with it, only when it is asked for."""
    if name == "Converter":
        from vc.convert.converter import Converter

        return Converter
    raise AttributeError(f"module 'vc' has no attribute {name!r}")
