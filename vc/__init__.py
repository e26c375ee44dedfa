"""Voice conversion from non-parallel recordings: training, conversion and evaluation.

`vc.train(...)` trains a model on folders of recordings, `vc.Converter` converts with it, `vc.evaluate(...)` measures
conversions, and `vc.metrics` has the individual measures. The commands do the same with the same defaults.
"""

import logging
from importlib import import_module

from vc.errors import ConfigError, DataError, TrainingError, VCError

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "ConversionOptions",
    "Converter",
    "DataError",
    "TrainingError",
    "VCError",
    "__version__",
    "api",
    "evaluate",
    "metrics",
    "train",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent unless a command or the caller listens


def __getattr__(name: str):
    """Import submodules (and torch, if they need it) on first use."""
    if name in ("ConversionOptions", "Converter"):
        return getattr(import_module("vc.convert.converter"), name)
    if name in ("api", "evaluate", "metrics", "train"):
        return import_module(f"vc.{name}")
    raise AttributeError(f"module 'vc' has no attribute {name!r}")
