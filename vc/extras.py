"""Packages that a plain installation leaves out: asked for before work begins, not at its end."""

import importlib.util

from vc.errors import ConfigError

# No part of the extra: it requires the source release webrtcvad, for whose wheels the extra has webrtcvad-wheels.
APART = {"resemblyzer": "pip install --no-deps resemblyzer"}


def missing(*modules: str) -> list[str]:
    """Those of these top-level modules that are not installed; none is imported."""
    return [module for module in modules if importlib.util.find_spec(module) is None]


def require(what: str, extra: str, *modules: str) -> None:
    """Refuse `what` where modules of an extra of setup.cfg are missing, with the command that installs them."""
    absent = missing(*modules)
    if absent:
        commands = [f"pip install 'vc[{extra}]'", *(APART[module] for module in absent if module in APART)]
        raise ConfigError(f"{what} needs {', '.join(absent)}, of the extra {extra}: {' && '.join(commands)}")
