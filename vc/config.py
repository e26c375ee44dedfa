"""Frozen dataclasses from YAML: unknown keys are refused, a wrong type is named, a digest identifies settings."""

import hashlib
import json
import math
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vc.errors import ConfigError, shorten
from vc.files import read_bytes

SECTIONS = ("method", "features", "network", "objective", "training", "compute")  # of a configuration file
VOCODER_SECTIONS = ("method", "mel", "network", "objective", "training", "compute")  # of one for a vocoder
CARRIED = Path(__file__).with_name("conf")
USUAL = "recognition_synthesis"  # of CARRIED: what measures best of what a minute can learn; docs/figures.md
LARGEST = 64 * 1024  # bytes of a configuration file
MOST_NODES = 100_000  # values of one, with all that its aliases stand for
LARGEST_JSON = 16 << 20  # bytes
T = TypeVar("T")
EARLIER = "earlier"  # of a field: the value with which everything ran before there was the setting
_short = reprlib.Repr()  # of values in messages
_short.maxlevel = 2


def read_sections(
    path: str | Path | None, overrides: Iterable[str] = (), allowed: tuple[str, ...] = SECTIONS
) -> dict[str, Any]:
    """Read a configuration.

    Parameters
    ----------
    path : str, Path or None
        A YAML file; a name that is no file is one of the configurations that come with the package; None is none.
    overrides : iterable of str
        Each `key.sub=value`.
    allowed : tuple of str
        Names of sections.

    Returns
    -------
    dict
        The sections that are there.

    Raises
    ------
    ConfigError
        The file cannot be read, an override has another form, or a section has another name.
    """
    sections = {} if path is None else read_yaml(_file(path))
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {override}: expected key.sub=value")
        *outer, last = key.split(".")
        section = sections
        for name in outer:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise ConfigError(f"--set {override}: {name} is not a section")
        try:
            section[last] = _parsed(value)
        except ConfigError as error:
            raise ConfigError(f"--set {override}: {error}") from error
    unknown = sorted(set(sections) - set(allowed))
    if unknown:
        raise ConfigError(f"{path or '--set'}: unknown section {', '.join(unknown)}; known: {', '.join(allowed)}")
    return sections


def newer(default: T, *, earlier: T) -> T:
    """A dataclass's field whose default differs from what was done before there was the setting."""
    return field(default=default, metadata={EARLIER: earlier})


def earlier_defaults(cls: type) -> dict[str, Any]:
    """The settings of a dataclass as they were for whoever did not know them, as plain values."""
    known = {item.name: item.metadata[EARLIER] for item in fields(cls) if EARLIER in item.metadata}
    return plain(cls()) | known


def configuration_names() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in CARRIED.glob("*.yaml"))


def summary(name: str) -> str:
    """The first sentence of a configuration of the package."""
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

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no number of JSON")

    try:
        return json.loads(read_bytes(path, largest), parse_constant=refuse)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {shorten(error)}") from error


def build(cls: type[T], values: Any, name: str) -> T:
    """A dataclass from a mapping.

    Parameters
    ----------
    cls : type
        A dataclass.
    values : mapping
        Its fields by name, those without a default at least; each is checked against the field's type.
    name : str
        Of the section, for errors.

    Raises
    ------
    ConfigError
        It is no mapping, has an unknown key or a value of another type, or misses a key.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name}: expected a mapping, found {_short.repr(values)}")
    annotations = typing.get_type_hints(cls)
    keys = [field.name for field in fields(cls)]
    unknown = sorted(str(key) for key in values if key not in keys)
    if unknown:
        raise ConfigError(f"{name}: unknown key {', '.join(unknown)}; known: {', '.join(keys)}")
    typed = {key: _typed(value, annotations[key], f"{name}.{key}") for key, value in values.items()}
    try:
        return cls(**typed)
    except TypeError as error:  # a key without a default is missing
        missing = [key for key in keys if key not in values]
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


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, by keys joined by dots."""
    values = {}
    for key, value in content.items():
        values |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


def difference(before: Any, after: Any) -> str:
    """The settings in which two dataclasses differ, in words."""
    one, other = flatten(plain(before)), flatten(plain(after))
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return ", ".join(f"{key} ({one.get(key)} -> {other.get(key)})" for key in keys)


def _parsed(text: str | bytes) -> Any:
    """YAML by the safe loader, which raises many kinds of errors; numbers too long to print are refused."""
    try:
        loader = _Loader(text)
        try:
            content = loader.get_single_data()
        finally:
            loader.dispose()
        _refuse_endless_numbers(content)
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise ConfigError(f"not YAML: {shorten(error)}") from error
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
    if kind is float and type(value) in (int, str):  # YAML 1.1 reads 2e-4 as text
        try:
            value = float(value)
        except (ValueError, OverflowError):
            raise ConfigError(f"{name}: expected float, found {_short.repr(value)}") from None
    if type(value) is not kind:
        raise ConfigError(f"{name}: expected {kind.__name__}, found {_short.repr(value)}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"{name}: expected a finite number, found {value}")
    return value


def require(condition: bool, message: str) -> None:
    """Raise ConfigError unless a condition holds; the message names the setting, its value and the values allowed."""
    if not condition:
        raise ConfigError(message)
