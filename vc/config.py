"""Frozen dataclasses from YAML: unknown keys are refused, a wrong type is named, a digest tells settings apart."""

import hashlib
import json
import math
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vc.errors import ConfigError, shortened
from vc.files import read_bytes

SECTIONS = ("method", "features", "network", "objective", "training", "compute")  # of a configuration file
VOCODER_SECTIONS = ("method", "mel", "network", "objective", "training", "compute")  # of one for a vocoder
CARRIED = Path(__file__).with_name("conf")
LARGEST = 64 * 1024  # bytes of a configuration file
MOST_NODES = 100_000  # values of one, with all that its aliases stand for
LARGEST_JSON = 16 << 20  # bytes
T = TypeVar("T")
_short = reprlib.Repr()  # of values in messages
_short.maxlevel = 2


def read_sections(
    path: str | Path | None, overrides: Iterable[str] = (), known: tuple[str, ...] = SECTIONS
) -> dict[str, Any]:
    """Read a YAML file, apply `key.sub=value` overrides, and return the sections that are given, of those `known`.

    A name that is no file is one of the configurations that come with the package.
    """
    sections = {} if path is None else read_yaml(_file(path))
    for override in overrides:
        _override(sections, override)
    unknown = sorted(set(sections) - set(known))
    if unknown:
        raise ConfigError(f"{path or '--set'}: unknown section {', '.join(unknown)}; known: {', '.join(known)}")
    return sections


def configuration_names() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in CARRIED.glob("*.yaml"))


def summary(name: str) -> str:
    """What a configuration of the package says of itself first."""
    line = (CARRIED / f"{name}.yaml").read_text().split("\n")[0].removeprefix("# ")
    return re.split("[:;.] ", line)[0]


def _file(name: str | Path) -> Path:
    """A file by its path, or one of the package's by its name."""
    path = Path(name)
    if len(path.parts) != 1 or path.is_file():
        return path
    if path.name.removesuffix(".yaml") in configuration_names():
        return CARRIED / f"{path.name.removesuffix('.yaml')}.yaml"
    named = "" if path.suffix else f", nor a configuration of the package: {', '.join(configuration_names())}"
    require(not named or path.exists(), f"{path}: no such file{named}")
    return path


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping of at most 64 KiB with the safe loader."""
    try:
        content = _parsed(read_bytes(path, LARGEST))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ConfigError, ValueError) as error:  # a NUL in the name is the latter
        raise ConfigError(f"{path}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path}: expected a mapping of names")
    return content


def read_json(path: Path, largest: int = LARGEST_JSON) -> Any:
    """The content of a file of strict JSON; a bad one is refused by name."""
    try:
        return json.loads(read_bytes(path, largest), parse_constant=_refuse_constant)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {shortened(error)}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def build(cls: type[T], given: Any, name: str) -> T:
    """Make dataclass `cls` from the mapping `given`; `name` is the section that errors speak of."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name}: expected a mapping, found {_short.repr(given)}")
    kinds = typing.get_type_hints(cls)
    known = [field.name for field in fields(cls)]
    unknown = sorted(str(key) for key in given if key not in known)
    if unknown:
        raise ConfigError(f"{name}: unknown key {', '.join(unknown)}; known: {', '.join(known)}")
    values = {key: _typed(value, kinds[key], f"{name}.{key}") for key, value in given.items()}
    try:
        return cls(**values)
    except TypeError as error:  # a key without a default is missing
        missing = [key for key in known if key not in given]
        raise ConfigError(f"{name}: missing key among {', '.join(missing)}") from error


def plain(config: Any) -> dict[str, Any]:
    """A dataclass as plain mappings and lists, ready for YAML or JSON."""
    return json.loads(json.dumps(asdict(config)))


def digest(*parts: Any) -> str:
    """SHA-256 over the JSON of dataclasses and plain values; equal settings give equal digests."""
    content = [plain(part) if is_dataclass(part) else part for part in parts]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class _Loader(yaml.SafeLoader):
    """The safe loader, which would let aliases grow without end and a key that stands twice replace the first."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        _refuse_growth(node, {})
        return node


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, by keys joined by dots."""
    values = {}
    for key, value in content.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


def difference(before: Any, after: Any) -> str:
    """What two dataclasses of settings do not have alike, in words."""
    one, other = flat(plain(before)), flat(plain(after))
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return ", ".join(f"{key} ({one.get(key)} -> {other.get(key)})" for key in keys)


def _parsed(text: str | bytes) -> Any:
    """YAML by the safe loader, which stumbles in many ways over what is none; no number too long to print."""
    try:
        loader = _Loader(text)
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
        _refuse_endless_numbers(content)
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise ConfigError(f"not YAML: {shortened(error)}") from error
    return content


def _refuse_growth(node: yaml.Node | None, sizes: dict[yaml.Node, int]) -> int:
    """How many values a node stands for, once all aliases are what they name; too many and equal keys are refused."""
    if node in sizes or not isinstance(node, yaml.CollectionNode):
        return sizes.get(node, 1)
    sizes[node] = MOST_NODES + 1  # of one that holds itself
    parts = node.value
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
        if twice is not None:
            raise ValueError(f"the key {twice} stands twice")
        parts = [part for pair in node.value for part in pair]
    sizes[node] = 1 + sum(_refuse_growth(part, sizes) for part in parts)
    if sizes[node] > MOST_NODES:
        raise ValueError(f"its aliases stand for more than {MOST_NODES} values")
    return sizes[node]


def _refuse_endless_numbers(content: Any) -> None:
    parts = content if isinstance(content, list) else [*content, *content.values()] if isinstance(content, dict) else ()
    for part in parts:
        _refuse_endless_numbers(part)
    if isinstance(content, int) and content.bit_length() > 1000:  # Python does not print one of 4,300 digits
        raise ValueError(f"a number of {content.bit_length()} bits")


def _override(sections: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: expected key.sub=value")
    *outer, last = key.split(".")
    for name in outer:
        sections = sections.setdefault(name, {})
        if not isinstance(sections, dict):
            raise ConfigError(f"--set {override}: {name} is not a section")
    try:
        sections[last] = _parsed(value)
    except ConfigError as error:
        raise ConfigError(f"--set {override}: {error}") from error


def _typed(value: Any, kind: Any, name: str) -> Any:
    """Check `value` against an annotation: Any, int, float, bool, str, a list or dict of one, one or None, a class."""
    if kind is Any:
        return value
    if is_dataclass(kind):
        return build(kind, value, name)
    if typing.get_origin(kind) is types.UnionType:
        options = typing.get_args(kind)
        if value is None and type(None) in options:
            return None
        return _typed(value, next(option for option in options if option is not type(None)), name)
    if typing.get_origin(kind) is list:
        return [_typed(item, typing.get_args(kind)[0], name) for item in _typed(value, list, name)]
    if typing.get_origin(kind) is dict:
        return {key: _typed(item, typing.get_args(kind)[1], name) for key, item in _typed(value, dict, name).items()}
    if kind is float and type(value) in (int, str):
        value = _number(value, name)
    if type(value) is not kind:
        raise ConfigError(f"{name}: expected {kind.__name__}, found {_short.repr(value)}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"{name}: expected a finite number, found {value}")
    return value


def _number(value: int | str, name: str) -> float:
    """YAML 1.1 reads 2e-4 as text."""
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise ConfigError(f"{name}: expected float, found {_short.repr(value)}") from None


def require(condition: bool, message: str) -> None:
    """Refuse a setting: the message names it, the value found and the values allowed."""
    if not condition:
        raise ConfigError(message)
