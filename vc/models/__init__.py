"""Every method by name: its configuration and its network."""

from vc.config import build, require, require_known
from vc.features.base import FeatureConfig
from vc.models.base import AbstractConverter, AbstractDecoder
from vc.models.common_space import (
    CoGANConfig,
    ComboGANConfig,
    CommonSpace,
    CommonSpaceConfig,
    UNITConfig,
    VQVAEConfig,
)
from vc.models.cyclegan_vc import CycleGANVC, CycleGANVCConfig
from vc.models.cyclegan_vc2 import CycleGANVC2, CycleGANVC2Config
from vc.models.cyclegan_vc3 import CycleGANVC3, CycleGANVC3Config
from vc.models.dr_gan import DRGAN, DRGANConfig, ReversedGradientConfig
from vc.models.linear import (
    FactorisedConfig,
    FactorisedConverter,
    LinearConverter,
    MeanVarianceConfig,
    MeanVarianceConverter,
    NearestConfig,
    WarpConfig,
)
from vc.models.mask_cyclegan_vc import MaskCycleGANVC, MaskCycleGANVCConfig
from vc.models.recognition_synthesis import RecognitionSynthesis, RecognitionSynthesisConfig
from vc.models.stargan_vc import ACGANConfig, StarGANVC, StarGANVCConfig
from vc.models.stargan_vc2 import ConditionalGANConfig, StarGANVC2, StarGANVC2Config
from vc.models.unit_selection import UnitSelection, UnitSelectionConfig
from vc.plugins import Registry

MODELS = Registry(
    {
        "cyclegan_vc": (CycleGANVCConfig, CycleGANVC),
        "cyclegan_vc2": (CycleGANVC2Config, CycleGANVC2),
        "cyclegan_vc3": (CycleGANVC3Config, CycleGANVC3),
        "mask_cyclegan_vc": (MaskCycleGANVCConfig, MaskCycleGANVC),
        "conditional_gan": (ConditionalGANConfig, StarGANVC2),
        "ac_gan": (ACGANConfig, StarGANVC),
        "stargan_vc": (StarGANVCConfig, StarGANVC),
        "stargan_vc2": (StarGANVC2Config, StarGANVC2),
        "dr_gan": (DRGANConfig, DRGAN),
        "reversed_gradient": (ReversedGradientConfig, DRGAN),
        "cogan": (CoGANConfig, CommonSpace),
        "unit": (UNITConfig, CommonSpace),
        "combogan": (ComboGANConfig, CommonSpace),
        "xgan": (CommonSpaceConfig, CommonSpace),
        "vqvae": (VQVAEConfig, CommonSpace),
        "mean_variance": (MeanVarianceConfig, MeanVarianceConverter),
        "warp": (WarpConfig, LinearConverter),
        "nearest": (NearestConfig, LinearConverter),
        "parallel": (NearestConfig, LinearConverter),
        "factorised": (FactorisedConfig, FactorisedConverter),
        "recognition_synthesis": (RecognitionSynthesisConfig, RecognitionSynthesis),
        "unit_selection": (UnitSelectionConfig, UnitSelection),
    },
    "vc.models",
    tuple,
)


def network_config(method: str, section: dict) -> object:
    """Read the section `network` of a configuration as the method's dataclass, which holds the defaults.

    Parameters
    ----------
    method : str
        One of MODELS.
    section : dict
        Settings by name.

    Raises
    ------
    ConfigError
        If the method, a key or a value is unknown.
    """
    require_known("method", method, MODELS)
    return build(MODELS[method][0], section, "network")


def build_converter(method: str, config: object, bands: int, speakers: tuple[str, ...]) -> AbstractConverter:
    """Build the untrained network of a method that converts frames of `bands` from speaker to speaker."""
    return MODELS[method][1](config, bands, speakers)


def build_network(
    method: str, config: object, features: FeatureConfig, speakers: tuple[str, ...]
) -> AbstractConverter | AbstractDecoder:
    """Build the untrained network of a method.

    Parameters
    ----------
    method : str
        One of MODELS.
    config : dataclass
        Its settings, from `network_config`.
    features : FeatureConfig
        Settings of the features that it takes.
    speakers : tuple of str
        For a pair, the source first.

    Raises
    ------
    ConfigError
        If the method does not take such features or so many speakers.
    """
    cls = MODELS[method][1]
    decodes, has_content = issubclass(cls, AbstractDecoder), features.content is not None
    require(decodes == has_content, f"method {method} does not take features of kind {features.kind}")
    if decodes:
        require(features.content.dims > 0, "features.content.dims must be 1 or more, got 0")
        return cls(config, features.bands, features.content.dims, speakers)
    return build_converter(method, config, features.bands, speakers)
