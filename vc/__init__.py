"""Non-parallel voice conversion: CycleGAN-VC2 on WORLD features."""

from vc.errors import ConfigError, DataError, TrainingError, VCError

__version__ = "0.1.0"
__all__ = ["ConfigError", "Converter", "DataError", "TrainingError", "VCError", "__version__"]


def __getattr__(name: str):
    """Import `Converter`, and torch with it, only when it is asked for."""
    if name == "Converter":
        from vc.convert import Converter

        return Converter
    raise AttributeError(f"module 'vc' has no attribute {name!r}")
