"""A training run's whole configuration: what the YAML gives over the defaults of each part."""

from dataclasses import asdict, dataclass
from typing import Any

from vc import model_file
from vc.config import build, flatten, plain, require
from vc.errors import ConfigError
from vc.features.base import FeatureConfig
from vc.features.kinds import build_features
from vc.features.store import Features
from vc.models import network_config
from vc.train.engine import ComputeConfig
from vc.train.methods import METHODS, TARGETS
from vc.train.run import TrainingConfig


@dataclass(frozen=True)
class Experiment:
    """One run: a method, its parts' settings, the speakers and the features that it learns from."""

    method: str
    features: FeatureConfig
    network: Any
    objective: Any
    training: TrainingConfig
    compute: ComputeConfig
    speakers: tuple[str, ...]  # of a pair the source first
    data_digest: str
    start: str = ""  # digest of the weights that the run begins from; empty: none
    encoder: str = ""  # digest of the fixed encoder that the objective names; empty: none

    def as_dict(self) -> dict[str, Any]:
        return plain(self)

    def model(self, features: Features, step: int, metrics: dict[str, float]) -> model_file.Model:
        """What a model file says of a network of this run after `step` steps."""
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


def resolve(
    sections: dict[str, Any], features: FeatureConfig, speakers: tuple[str, ...], data_digest: str
) -> Experiment:
    """Fill in every default.

    Parameters
    ----------
    sections : dict
        Of the configuration file. What a `features` section gives must agree with `features`.
    features : FeatureConfig
        With which the features were extracted.
    speakers : tuple of str
        Of a pair the source first.
    data_digest : str
        Of the features.

    Raises
    ------
    ConfigError
        Names what is unknown, out of range, or does not fit.
    """
    method = sections.get("method", "cyclegan_vc2")
    twice = next((name for name in speakers if speakers.count(name) > 1), None)
    pair = "source and target are both" if len(speakers) == 2 else "two speakers are"
    require(twice is None, f"{pair} {twice!r}")
    require(
        isinstance(method, str) and method in METHODS,
        f"method: {method!r} cannot be trained; methods to train: {', '.join(METHODS)}",
    )
    alone, options = METHODS[method].serves == TARGETS, "--source and --target, or --speakers"
    require(alone or len(speakers) > 1, f"method {method} needs two speakers or more: {options}")
    kinds, kind = METHODS[method].kinds, features.kind
    require(kind in kinds, f"method {method} learns from features of kind {', '.join(kinds)}, not {kind}")
    network = network_config(method, sections.get("network", {}))
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
    objective = build(METHODS[method].objective, sections.get("objective", {}), "objective")
    training = build(TrainingConfig, sections.get("training", {}), "training")
    compute = build(ComputeConfig, sections.get("compute", {}), "compute")
    return Experiment(method, features, network, objective, training, compute, speakers, data_digest)
