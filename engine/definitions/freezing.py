"""Definitions that cannot be changed once they are made, nor what lies in their mappings; and copies that can."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType
from typing import Any


class FrozenList(tuple[Any, ...]):
    """A list that cannot be changed."""


def freeze(definition: Any) -> None:
    """Make the mappings of a frozen dataclass ones that cannot be changed either; in its `__post_init__`."""
    for field in dataclasses.fields(definition):
        if isinstance(value := getattr(definition, field.name), dict):
            object.__setattr__(definition, field.name, MappingProxyType(value))


def frozen(value: Any) -> Any:
    """Plain data as it can be kept: dicts and lists, also further in, as copies that cannot be changed. Other objects
    as they are."""
    if isinstance(value, dict | MappingProxyType):
        return MappingProxyType({key: frozen(one) for key, one in value.items()})
    if isinstance(value, list):
        return FrozenList(map(frozen, value))
    return value


def copied(value: Any) -> Any:
    """Plain data as a copy of its own, which may be changed: the reverse of `frozen`. Other objects as they are."""
    if type(value) is dict or isinstance(value, MappingProxyType):
        return {key: copied(one) for key, one in value.items()}
    if type(value) in (list, FrozenList):
        return list(map(copied, value))
    return tuple(map(copied, value)) if type(value) is tuple else value
