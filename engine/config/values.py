"""Values as they may be shown, and values that come from the environment.

Promises: what `{env: NAME}` stands for, and the password of a URL, is in nothing that `masked` or `shown` gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ...backends import without_password
from .place import MASK, Place

Lookup = Callable[[str], str | None]
SECRET_KEY = re.compile(r"passw|secret|token|credential|api_?key|access_?key", re.IGNORECASE)


class FromEnv(str):
    """Text that an environment variable, or the secrets, gave. Shows its variable and never itself."""

    __slots__ = ("variable",)
    variable: str

    @classmethod
    def of(cls, variable: str, value: str) -> FromEnv:
        text = cls(value)
        text.variable = variable
        return text

    def __repr__(self) -> str:
        return f"the value of ${self.variable}"


def env_name(value: object) -> str | None:
    """NAME, if the value is written as `{env: NAME}`."""
    if isinstance(value, Mapping) and len(value) == 1:
        name = value.get("env")
        return name if isinstance(name, str) and not isinstance(name, FromEnv) else None
    return None


def resolve(value: Any, place: Place, lookup: Lookup) -> Any:
    """The value with each `{env: NAME}` in it replaced. Raises UsageError for a variable that is not set."""
    if (name := env_name(value)) is not None:
        found = lookup(name)
        if found is None:
            raise place.fault(
                f"the environment variable {name} is not set",
                f"Set {name} in the environment of each process that opens the instance, or in the secrets file.",
            )
        return FromEnv.of(name, found)
    if isinstance(value, Mapping):
        return {key: resolve(item, place.at(key), lookup) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, place.at(number), lookup) for number, item in enumerate(value)]
    return value


def plain_text(value: Any) -> Any:
    """The value without the mark that parts of it came from the environment."""
    if isinstance(value, FromEnv):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {key: plain_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_text(item) for item in value]
    return value


def secrets_in(value: Any) -> list[str]:
    """The texts in a resolved value that no message may hold."""
    if isinstance(value, FromEnv):
        return [str.__str__(value)] if value else []
    if isinstance(value, Mapping):
        named = [str(item) for key, item in value.items() if _is_secret(key, item)]
        return named + [secret for item in value.values() for secret in secrets_in(item)]
    if isinstance(value, list | tuple):
        return [secret for item in value for secret in secrets_in(item)]
    return []


def masked(value: Any) -> Any:
    """The value as it may be shown: without what came from the environment, passwords of URLs, and what its key says
    is a secret. `{env: NAME}` stays as it is."""
    if isinstance(value, FromEnv):
        return {"env": value.variable}
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, Mapping):
        return {key: MASK if _is_secret(key, item) else masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item) for item in value]
    return value


def _is_secret(key: object, item: object) -> bool:
    return isinstance(item, str | int) and not isinstance(item, FromEnv | bool) and bool(SECRET_KEY.search(str(key)))


def shown(value: Any, *, secret: bool = False) -> str:
    """A value inside a message, cut to a length that people read."""
    if secret:
        return MASK
    if isinstance(value, FromEnv):
        return repr(value)
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"a mapping with {', '.join(map(str, value)) or 'no keys'}"[:80]
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"{masked(value)!r:.80}"
