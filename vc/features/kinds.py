"""Registry of the kinds of features."""

from typing import Any

from vc.config import build, require_known
from vc.errors import ConfigError
from vc.features.base import FeatureConfig
from vc.features.content import ContentFeatures, ContentWorldFeatures
from vc.features.mel import MelFeatures
from vc.features.world import WorldConfig

KINDS: dict[str, type[FeatureConfig]] = {
    "world": WorldConfig,
    "mel": MelFeatures,
    "content": ContentFeatures,
    "content_world": ContentWorldFeatures,
}
CONTENT_KINDS = tuple(name for name, kind in KINDS.items() if issubclass(kind, ContentFeatures))


def build_features(section: Any, name: str = "features") -> FeatureConfig:
    """Build the settings of a `features` section.

    Parameters
    ----------
    section : mapping
        `kind` (default `world`), and fields of that kind's dataclass.
    name : str
        Name of the section in error messages.

    Returns
    -------
    FeatureConfig

    Raises
    ------
    ConfigError
        The section is not a mapping, or has an unknown kind, key or value.
    """
    if not isinstance(section, dict):
        raise ConfigError(f"{name}: expected a mapping")
    kind = section.get("kind", "world")
    require_known(f"{name}.kind", kind, KINDS)
    return build(KINDS[kind], {key: section[key] for key in section if key != "kind" or kind != "world"}, name)
