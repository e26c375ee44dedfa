"""Plug-ins: methods, metrics and vocoders that other installed packages register by entry points."""

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from vc.errors import ConfigError

log = logging.getLogger(__name__)


class Registry(MutableMapping[str, Any]):
    """Built-in objects by name, followed by those of a group of entry points.

    Entry points are searched when a name is not built in, or all names are listed; they are trusted like any installed
    package. A plug-in that cannot be loaded is left out with a warning, or raises ConfigError if it is requested by
    name. Built-in names cannot be overridden.

    Parameters
    ----------
    built_in : mapping of str to Any
        The built-in objects.
    group : str
        Name of the group of entry points.
    kind : type
        What the objects are instances of; a plug-in of another kind cannot be loaded.
    """

    def __init__(self, built_in: Mapping[str, Any], group: str, kind: type):
        self._objects, self.group, self.kind = dict(built_in), group, kind
        self._entry_points: dict[str, EntryPoint] | None = None

    def __getitem__(self, name: str) -> Any:
        if name not in self._objects and name in self._unloaded():
            self._load(name)
        return self._objects[name]

    def __iter__(self) -> Iterator[str]:
        for name in self._unloaded():
            try:
                self._load(name)
            except ConfigError as error:
                log.warning("%s; it is left out", error)
        return iter(tuple(self._objects))

    def __len__(self) -> int:
        return len(tuple(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._objects or name in self._unloaded()

    def __setitem__(self, name: str, value: Any) -> None:
        self._objects[name] = value

    def __delitem__(self, name: str) -> None:
        del self._objects[name]

    def _unloaded(self) -> dict[str, EntryPoint]:
        """Entry points that are not loaded yet, by name."""
        if self._entry_points is None:
            self._entry_points = {}
            for point in entry_points(group=self.group):
                if point.name in self._objects:
                    log.warning("%s is left out: the name is vc's own", _describe(point))
                elif point.name in self._entry_points:
                    other = self._entry_points[point.name]
                    log.warning("%s is left out: %s has the same name", _describe(point), _describe(other))
                else:
                    self._entry_points[point.name] = point
        return {name: point for name, point in self._entry_points.items() if name not in self._objects}

    def _load(self, name: str) -> None:
        point = self._entry_points[name]
        try:
            loaded = point.load()
            if not isinstance(loaded, self.kind):
                raise TypeError(f"{loaded!r} is not of type {self.kind.__name__}")
            self._objects[name] = loaded
        except (Exception, SystemExit) as error:  # importing another package's module may raise anything
            del self._entry_points[name]
            raise ConfigError(f"{_describe(point)} cannot be loaded: {type(error).__name__}: {error}") from error


def _describe(point: EntryPoint) -> str:
    return f"plug-in {point.name!r} of {point.dist.name if point.dist else 'an unknown package'} ({point.group})"
