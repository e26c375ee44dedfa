"""A training run's whole configuration: what the YAML gives over the defaults of each part."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from vc import model_file
from vc.config import build, flatten, plain, read_yaml, require
from vc.devices import PRECISIONS
from vc.errors import ConfigError
from vc.features.base import FeatureConfig
from vc.features.kinds import build_features
from vc.features.store import Features, read_digests, write_digests
from vc.files import write_text
from vc.models import network_config
from vc.train.methods import METHODS, TARGETS


@dataclass(frozen=True)
class TrainingConfig:
    """The loop, whatever the method."""

    steps: int = 400_000
    batch: int = 1  # segments of each speaker a step, over all processes
    segment: int = 128  # frames
    seed: int = 0
    average: float = 0.0  # decay a step of the weights' moving average, which becomes the model; 0: none
    log_every: int = 100  # steps
    checkpoint_every: int = 5_000  # steps; the held-out set is scored then too
    save_minutes: float = 10.0  # a checkpoint at least as often as this; 0: after every step
    checkpoints: int = 2  # kept
    patience: int = 0  # scorings without a better model after which the run ends; 0: never
    refused_steps: int = 20  # in a row, for losses that are not finite, after which the run goes back
    retreats: int = 3  # times that it goes back to its last checkpoint, each time at half the rates, before it stops
    sample_every: int = 10_000  # steps between conversions of the validation recordings
    samples: int = 2  # validation recordings that are converted

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            lowest = 0 if name in ("seed", "samples", "average", "patience", "retreats", "save_minutes") else 1
            require(value >= lowest, f"training.{name} must be {lowest} or more, got {value}")
        require(self.seed < 2**63, f"training.seed must be below 2**63, got {self.seed}")
        require(self.segment >= 32, f"training.segment must be 32 frames or more, got {self.segment}")
        require(self.average < 1, f"training.average must be below 1, got {self.average}")


@dataclass(frozen=True)
class ComputeConfig:
    """How the steps are computed, not what they are: it may change when a run goes on."""

    # float32; tf32: so where a GPU can, float32 elsewhere; bf16: networks, not losses; auto: bf16 where fast, else tf32
    precision: str = "tf32"
    channels_last: bool = False  # memory layout of the two-dimensional convolutions' weights
    compile: bool = False  # the networks by torch.compile
    record: bool = False  # on a GPU, in one process: the whole step as one CUDA graph

    def __post_init__(self) -> None:
        known = ", ".join(PRECISIONS)
        require(self.precision in PRECISIONS, f"compute.precision must be one of {known}, got {self.precision!r}")


DATA = "data_digest"  # of the settings of a run: what it learns from
NAMED = 3  # recordings of a kind that are named
NONE: Mapping[str, str] = {}
CHANGEABLE = {"steps", "log_every", "checkpoint_every", "save_minutes", "checkpoints"} | {  # in a run that goes on
    "patience",
    "refused_steps",
    "retreats",
    "sample_every",
    "samples",
}


@dataclass(frozen=True)
class Experiment:
    """One run: a method, its parts' settings, the pair and the features it learns from."""

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
    """Fill in every default; a `features` section must agree with the features at hand."""
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
    kinds, found = METHODS[method].kinds, features.kind
    require(found in kinds, f"method {method} learns from features of kind {', '.join(kinds)}, not {found}")
    network = network_config(method, sections.get("network", {}))
    _refuse_other_features(sections.get("features", {}), features)
    objective = build(METHODS[method].objective, sections.get("objective", {}), "objective")
    training = build(TrainingConfig, sections.get("training", {}), "training")
    compute = build(ComputeConfig, sections.get("compute", {}), "compute")
    return Experiment(method, features, network, objective, training, compute, speakers, data_digest)


def _refuse_other_features(given: dict[str, Any], features: FeatureConfig) -> None:
    wanted, made = build_features(given), features
    if wanted.kind != made.kind and given:
        raise ConfigError(f"features.kind is {wanted.kind}, but the features were extracted with {made.kind}")
    asked, found = flatten(plain(wanted)), flatten(plain(made))
    for key in flatten(given):
        if key in found and asked[key] != found[key]:
            raise ConfigError(f"features.{key} is {asked[key]}, but the features were extracted with {found[key]}")


def defaults(experiment: Any) -> dict[str, Any]:
    """What the settings of an experiment's parts are where nothing is said; without features or mel, which say all."""
    parts = ("network", "objective", "training", "compute")
    digests = {name: "" for name in ("start", "encoder") if hasattr(experiment, name)}
    return digests | {name: plain(type(getattr(experiment, name))()) for name in parts}


def remember(
    settings: dict[str, Any], directory: Path, usual: dict[str, Any] | None = None, recordings: Mapping[str, str] = NONE
) -> None:
    """Write config.yaml of all settings; if there is one, refuse by name what a resumed run may not change.

    A setting that the run began without, because it is newer than the run, was its default. `recordings` are those that
    it learns from, digests by id: where others were learnt from before, they are named.
    """
    path = directory / "config.yaml"
    if path.is_file():
        before, now = flatten(usual or {}) | flatten(read_yaml(path)), flatten(settings)
        fixed = sorted(key for key in {**before, **now} if not _changeable(key))
        changed = [f"{key} ({before.get(key)} -> {now.get(key)})" for key in fixed if before.get(key) != now.get(key)]
        if before.get(DATA) != now.get(DATA):
            said = _changes(read_digests(directory), recordings)
            also = [each for each in changed if not each.startswith(f"{DATA} ")]
            also = f"; and other settings: {', '.join(also)}" if also else ""
            raise ConfigError(
                f"{directory}: what it learns from has changed since this run began: {said}{also}; take another"
                " --output, or bring back what was there"
            )
        if changed:
            raise ConfigError(f"{directory}: begun with other settings: {', '.join(changed)}; take another --output")
    write_text(path, yaml.safe_dump(settings, sort_keys=False))
    write_digests(directory, recordings)


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What is other about recordings, in words."""
    if not before or not now:
        return "the run kept no list of its recordings"
    kinds = {
        "more": sorted(set(now) - set(before)),
        "fewer": sorted(set(before) - set(now)),
        "changed": sorted(id for id in set(now) & set(before) if now[id] != before[id]),
    }
    said = [
        f"{len(ids)} recordings {kind} ({', '.join(ids[:NAMED])}{', ...' if len(ids) > NAMED else ''})"
        for kind, ids in kinds.items()
        if ids
    ]
    return ", ".join(said) or "the same recordings were extracted otherwise: other F0 ranges, or another version of vc"


def _changeable(key: str) -> bool:
    elsewhere = key in ("objective.encoder", "objective.start")  # where it lies; its digest says what it is
    return elsewhere or key.startswith("compute.") or key.removeprefix("training.") in CHANGEABLE
