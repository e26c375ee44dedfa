"""Callable packages, which run the function of the same name in vc/api.py."""

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType


class CallablePackage(ModuleType):
    """Makes `vc.train(...)` work although `vc.train` is a package; the function is imported when it is called."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self._function()(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function())

    def _function(self) -> Callable:
        package, _, name = self.__name__.rpartition(".")
        return getattr(import_module(f"{package}.api"), name)


def make_callable(name: str) -> None:
    """Make a package callable; to be called while the package is imported, with its `__name__`."""
    sys.modules[name].__class__ = CallablePackage
