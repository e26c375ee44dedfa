"""Voice conversion that needs no parallel recordings: from recordings to a measured model, and its conversions."""

import logging

from vc.errors import ConfigError, DataError, TrainingError, VCError

__version__ = "0.1.0"
__all__ = ["ConfigError", "ConversionOptions", "Converter", "DataError", "TrainingError", "VCError", "__version__"]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless a command or the caller listens


def __getattr__(name: str):
    """Import `Converter` and `ConversionOptions`, and torch with them, when they are first used."""
    if name in ("ConversionOptions", "Converter"):
        from vc.convert import converter

        return getattr(converter, name)
    raise AttributeError(f"module 'vc' has no attribute {name!r}")
