"""A training run's whole configuration: the settings of the YAML over the defaults of each part."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vc import model_file
from vc.config import build, flatten, plain, require, require_known
from vc.errors import ConfigError
from vc.features.base import FeatureConfig
from vc.features.kinds import build_features
from vc.features.store import Features
from vc.models import network_config
from vc.train.engine import ComputeConfig
from vc.train.methods import METHODS
from vc.train.run import TrainingConfig


@dataclass(frozen=True)
class Experiment:
    """The configuration of one run: method, settings, speakers and features."""

    method: str
    features: FeatureConfig
    network: Any
    objective: Any
    training: TrainingConfig
    compute: ComputeConfig
    speakers: tuple[str, ...]  # for a pair, the source first
    data_digest: str
    start: str = ""  # digest of the initial weights; empty: none
    encoder: str = ""  # digest of the objective's frozen encoder; empty: none

    def as_dict(self) -> dict[str, Any]:
        return plain(self)

    def model(self, features: Features, step: int, metrics: dict[str, float]) -> model_file.Model:
        """Describe a network of this run after `step` steps, for its model file."""
        return model_file.Model(
            method=self.method,
            features=self.features,
            network=asdict(self.network),
            speakers={name: features.speakers[name] for name in self.speakers},
            step=step,
            data_digest=self.data_digest,
            configuration=self.as_dict(),
            metrics=metrics,
        )


def build_settings(method: str, sections: Mapping[str, Any]) -> tuple[Any, Any, TrainingConfig, ComputeConfig]:
    """Build the sections `network`, `objective`, `training` and `compute` for a method of METHODS.

    Raises
    ------
    ConfigError
        Names the setting that is unknown or out of range.
    """
    return (
        network_config(method, sections.get("network", {})),
        build(METHODS[method].objective, sections.get("objective", {}), "objective"),
        build(TrainingConfig, sections.get("training", {}), "training"),
        build(ComputeConfig, sections.get("compute", {}), "compute"),
    )


def resolve(
    sections: dict[str, Any], features: FeatureConfig, speakers: tuple[str, ...], data_digest: str
) -> Experiment:
    """Build an experiment from the sections of a configuration file, with all defaults.

    Parameters
    ----------
    sections : dict
        The file's sections by name. Settings in `features` must agree with `features`.
    features : FeatureConfig
        Settings of the extracted features.
    speakers : tuple of str
        For a pair, the source first.
    data_digest : str
        Digest of the features.

    Returns
    -------
    Experiment

    Raises
    ------
    ConfigError
        Names the setting that is unknown, out of range or does not fit.
    """
    method = sections.get("method", "cyclegan_vc2")
    duplicate = next((name for name in speakers if speakers.count(name) > 1), None)
    pair = "source and target are both" if len(speakers) == 2 else "two speakers are"
    require(duplicate is None, f"{pair} {duplicate!r}")
    require_known("method", method, METHODS)
    enough = len(speakers) > 1 or METHODS[method].any_source
    require(enough, f"method {method} needs two speakers or more: --source and --target, or --speakers")
    kinds, kind = METHODS[method].kinds, features.kind
    require(kind in kinds, f"method {method} learns from features of kind {', '.join(kinds)}, not {kind}")
    network, objective, training, compute = build_settings(method, sections)
    section = sections.get("features", {})
    requested = build_features(section)
    if section and requested.kind != kind:
        raise ConfigError(f"features.kind is {requested.kind}, but the features were extracted with {kind}")
    requested, extracted = flatten(plain(requested)), flatten(plain(features))
    for key in flatten(section):
        if key in extracted and requested[key] != extracted[key]:
            raise ConfigError(
                f"features.{key} is {requested[key]}, but the features were extracted with {extracted[key]}"
            )
    return Experiment(method, features, network, objective, training, compute, speakers, data_digest)
