"""Damage is told with the URL of its log: a program may have two open, and names of objects are alike in all."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from ...engine.errors import CorruptLogError

T = TypeVar("T")


def naming_the_log(cls: type[T]) -> type[T]:
    """Have every method of a backend say so."""
    for name, method in list(vars(cls).items()):
        if name == "__init__" or (not name.startswith("_") and callable(method)):
            setattr(cls, name, _naming(method))
    return cls


def _naming(method: Callable[..., T]) -> Callable[..., T]:
    @wraps(method)
    def named(self: Any, *args: Any, **given: Any) -> T:
        try:
            return method(self, *args, **given)
        except CorruptLogError as error:
            if self.url not in str(error):
                error.args = (f"{self.url}: {error}",)
            raise

    return named
