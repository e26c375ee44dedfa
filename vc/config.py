"""Strict configuration: frozen dataclasses from YAML, errors for unknown keys and wrong types, and digests."""

import hashlib
import json
import math
import os
import re
import reprlib
import types
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, asdict, field, fields, is_dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vc.errors import ConfigError, shorten, suggestion
from vc.files import read_bytes

SECTIONS = ("method", "features", "network", "objective", "training", "compute")  # of a configuration file
VOCODER_SECTIONS = ("method", "mel", "network", "objective", "training", "compute")  # of a vocoder's configuration
CONFIGURATIONS = Path(__file__).with_name("conf")  # folder of the package's configuration files
DEFAULT_CONFIG = "recognition_synthesis"  # best scores of those that need only minutes of speech; docs/figures.md
LARGEST_YAML = 64 * 1024  # bytes of a configuration file
MOST_NODES = 100_000  # values of a configuration file with all aliases expanded
LARGEST_JSON = 16 << 20  # bytes
T = TypeVar("T")
AnyPath = str | os.PathLike
TYPE_NAMES = {os.PathLike: "path", Real: "number", Integral: "int", types.NoneType: "None"}  # for messages
EARLIER = "earlier"  # metadata of a field: the value that applies to runs from before the setting existed
_short = reprlib.Repr()  # for values in messages
_short.maxlevel = 2


def read_sections(
    path: str | Path | None, overrides: Iterable[str] = (), allowed: tuple[str, ...] = SECTIONS
) -> dict[str, Any]:
    """Read a configuration.

    Parameters
    ----------
    path : str, Path or None
        A YAML file, or the name of a configuration of the package; None for an empty configuration.
    overrides : iterable of str
        Settings of the form `key.sub=value`.
    allowed : tuple of str
        Names of the allowed sections.

    Returns
    -------
    dict
        The sections that are present.

    Raises
    ------
    ConfigError
        The file cannot be read, an override is malformed, or a section is unknown.
    """
    sections = {} if path is None else read_yaml(_find_file(path))
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
            section[last] = _parse(value)
        except ConfigError as error:
            raise ConfigError(f"--set {override}: {error}") from error
    unknown = sorted(set(sections) - set(allowed))
    if unknown:
        known = f"{', '.join(allowed)}{suggestion(allowed, *unknown)}"
        raise ConfigError(f"{path or '--set'}: unknown section {', '.join(unknown)}; known: {known}")
    return sections


def newer(default: T, *, earlier: T) -> T:
    """A dataclass field whose default differs from the behaviour before the setting existed."""
    return field(default=default, metadata={EARLIER: earlier})


def earlier_defaults(cls: type) -> dict[str, Any]:
    """Settings of a dataclass that reproduce the behaviour before they existed, as plain values."""
    known = {item.name: item.metadata[EARLIER] for item in fields(cls) if EARLIER in item.metadata}
    return plain(cls()) | known


def configuration_names() -> list[str]:
    """The names of the package's configurations."""
    return sorted(path.stem for path in CONFIGURATIONS.glob("*.yaml"))


def summary(name: str) -> str:
    """The first sentence of the opening comment in one of the package's configurations."""
    line = (CONFIGURATIONS / f"{name}.yaml").read_text().split("\n")[0].removeprefix("# ")
    return re.split("[:;.] ", line)[0]


def _find_file(name: str | Path) -> Path:
    """The file of a path, or of the name of one of the package's configurations."""
    path = Path(name)
    if len(path.parts) != 1 or path.is_file():
        return path
    if path.name.removesuffix(".yaml") in configuration_names():
        return CONFIGURATIONS / f"{path.name.removesuffix('.yaml')}.yaml"
    if not path.suffix and not path.exists():
        known = f"{', '.join(configuration_names())}{suggestion(configuration_names(), path.name)}"
        raise ConfigError(f"{path}: no such file, nor a configuration of the package: {known}")
    return path


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping of at most 64 KiB with the safe loader; ConfigError for any other file."""
    try:
        content = _parse(read_bytes(path, LARGEST_YAML))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ConfigError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigError(f"{path}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{path}: expected a mapping of names")
    return content


def read_json(path: Path, largest: int = LARGEST_JSON, *, pipes: bool = True) -> Any:
    """Read a file of strict JSON of at most `largest` bytes; ConfigError, with its name, for any other file."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not valid in JSON")

    try:
        return json.loads(read_bytes(path, largest, pipes=pipes), parse_constant=refuse)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {shorten(error)}") from error


def build(cls: type[T], values: Any, name: str) -> T:
    """Build a dataclass from a mapping.

    Parameters
    ----------
    cls : type
        A dataclass.
    values : mapping
        Values of the fields by name, checked against the fields' types; those with defaults may be missing.
    name : str
        Name of the section in error messages.

    Returns
    -------
    cls

    Raises
    ------
    ConfigError
        `values` is not a mapping, a key is unknown or missing, or a value has the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name}: expected a mapping, found {_short.repr(values)}")
    annotations = typing.get_type_hints(cls)
    keys = [field.name for field in fields(cls)]
    unknown = sorted(str(key) for key in values if key not in keys)
    if unknown:
        known = f"{', '.join(keys)}{suggestion(keys, *unknown)}"
        raise ConfigError(f"{name}: unknown key {', '.join(unknown)}; known: {known}")
    required = [field.name for field in fields(cls) if field.default is field.default_factory is MISSING]
    missing = ", ".join(key for key in required if key not in values)
    require(not missing, f"{name}: missing key {missing}")
    return cls(**{key: _check_type(value, annotations[key], f"{name}.{key}") for key, value in values.items()})


def plain(config: Any) -> dict[str, Any]:
    """Convert a dataclass to plain mappings and lists for YAML or JSON."""
    return json.loads(json.dumps(asdict(config)))


def digest(*parts: Any) -> str:
    """SHA-256 of the JSON of dataclasses and plain values; equal settings have equal digests."""
    content = [plain(part) if is_dataclass(part) else part for part in parts]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class _Loader(yaml.SafeLoader):
    """The safe loader, but refusing duplicate keys and aliases that expand to too many values."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        _refuse_growth(node, {})
        return node


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings; keys are joined by dots."""
    values = {}
    for key, value in content.items():
        values |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return values


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Describe each flattened setting that differs, by its key, as `key (before -> after)`."""
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return {key: f"{key} ({before.get(key)} -> {after.get(key)})" for key in keys}


def difference(before: Any, after: Any, prefix: str = "") -> str:
    """Describe the settings in which two dataclasses differ, with `prefix` before their keys; empty if in none."""
    return ", ".join(changes(flatten(plain(before), prefix), flatten(plain(after), prefix)).values())


def _parse(text: str | bytes) -> Any:
    """Parse YAML; ConfigError for any of the errors that the loader raises, and for numbers too long to print."""
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
    """Number of values of a node with all aliases expanded; ValueError if there are too many, or duplicate keys."""
    if node in sizes or not isinstance(node, yaml.CollectionNode):
        return sizes.get(node, 1)
    sizes[node] = MOST_NODES + 1  # until known, so that a node that contains itself is refused
    parts = node.value
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        repeated = [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
        if repeated:
            raise ValueError(f"the key {repeated[0]} occurs twice")
        parts = [part for pair in node.value for part in pair]
    sizes[node] = 1 + sum(_refuse_growth(part, sizes) for part in parts)
    if sizes[node] > MOST_NODES:
        raise ValueError(f"its aliases expand to more than {MOST_NODES} values")
    return sizes[node]


def _refuse_endless_numbers(content: Any) -> None:
    """Raise ValueError if YAML content has an integer of more than 1,000 bits."""
    if isinstance(content, list | tuple | set | dict):  # !!omap and !!pairs give tuples
        for part in [*content, *content.values()] if isinstance(content, dict) else content:
            _refuse_endless_numbers(part)
    if isinstance(content, int) and content.bit_length() > 1000:  # Python refuses to print more than 4,300 digits
        raise ValueError(f"a number of {content.bit_length()} bits")


def _check_type(value: Any, kind: Any, name: str) -> Any:
    """Check `value` against an annotation and return it: int and text of a number as float, a mapping as dataclass.

    Annotations are Any, int, float, bool, str or a dataclass, and list, dict or optional of these.
    """
    if kind is Any:
        return value
    if is_dataclass(kind):
        return build(kind, value, name)
    if typing.get_origin(kind) is types.UnionType:
        options = typing.get_args(kind)
        if value is None and type(None) in options:
            return None
        return _check_type(value, next(option for option in options if option is not type(None)), name)
    if typing.get_origin(kind) is list:
        return [_check_type(item, typing.get_args(kind)[0], name) for item in _check_type(value, list, name)]
    if typing.get_origin(kind) is dict:
        return {
            key: _check_type(item, typing.get_args(kind)[1], name)
            for key, item in _check_type(value, dict, name).items()
        }
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
    """Raise ConfigError unless `condition`; `message` names the setting, its value and the allowed values."""
    if not condition:
        raise ConfigError(message)


def require_known(what: str, name: object, known: Collection[str]) -> None:
    """Raise ConfigError unless `name` is one of `known`; the message lists them, and suggests the one most like it."""
    if not (isinstance(name, str) and name in known):
        raise ConfigError(f"{what}: unknown {name!r}; known: {', '.join(known) or 'none'}{suggestion(known, name)}")


def require_type(kind: Any, **arguments: object) -> None:
    """Raise ConfigError unless each argument of a public function is of the type, or of one of the union, `kind`."""
    for name, value in arguments.items():
        number = value.item() if getattr(value, "ndim", None) == 0 else value  # an array or a tensor of one number
        if not isinstance(number, kind):
            expected = " or ".join(TYPE_NAMES.get(one, one.__name__) for one in typing.get_args(kind) or (kind,))
            raise ConfigError(f"{name}: expected {expected}, got {_short.repr(value)}")


def require_range(
    settings: Any,
    section: str,
    *names: str,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
    unit: str = "",
) -> None:
    """Raise ConfigError unless the numbers `names` of the dataclass `settings` are within bounds.

    Parameters
    ----------
    settings : dataclass
    section : str
        Name of the section in the error message.
    names : str
        Names of the fields.
    at_least, above, at_most, below : float, optional
        Bounds; `above` and `below` are not allowed themselves.
    unit : str, optional
        Unit of the bounds in the error message.
    """
    unit = unit and f" {unit}"
    if math.isfinite(at_least) and math.isfinite(at_most):
        allowed = f"in {at_least:g}..{at_most:g}{unit}"
    elif math.isfinite(at_least) and math.isfinite(below):
        allowed = f"from {at_least:g} to below {below:g}{unit}"
    else:
        bounds = {"{:g}{} or more": at_least, "above {:g}{}": above, "at most {:g}{}": at_most, "below {:g}{}": below}
        allowed = " and ".join(text.format(bound, unit) for text, bound in bounds.items() if math.isfinite(bound))
    for name in names:
        value = getattr(settings, name)
        require(
            at_least <= value <= at_most and above < value < below, f"{section}.{name} must be {allowed}, got {value}"
        )
