"""Definitions that cannot be changed once they are made, nor what lies in their mappings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from copy import deepcopy
from types import MappingProxyType
from typing import Any


def freeze(definition: Any) -> None:
    """Make the mappings of a frozen dataclass ones that cannot be changed either; in its `__post_init__`."""
    for field in dataclasses.fields(definition):
        if isinstance(value := getattr(definition, field.name), dict):
            object.__setattr__(definition, field.name, MappingProxyType(value))


def frozen(value: Any) -> Any:
    """Plain data as it can be kept: mappings and lists, also further in, as ones that cannot be changed; of other
    objects, copies."""
    if isinstance(value, Mapping):
        return MappingProxyType({key: frozen(one) for key, one in value.items()})
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    return deepcopy(value)
