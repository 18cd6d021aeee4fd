"""Where the log is, as the configuration says it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..urls import absolute
from .checking import Context, check_section
from .configurable import ConfigurableClass, ConfigurableClassData
from .fields import Field, text
from .legacy import old_storage
from .place import Place, meant
from .values import masked, plain_text, resolve, secrets_in, shown

if TYPE_CHECKING:
    from ..log.port import Backend

KEYS: Mapping[str, Field] = {"url": text(required=True), "views": text()}
CLASS_KEYS = (*ConfigurableClassData.KEYS, "views")


class LogStorage(ConfigurableClass, ABC):
    """A backend by class instead of by URL: for settings that no URL can hold."""

    @abstractmethod
    def open_backend(self, *, read_only: bool) -> Backend:
        """The backend, its storage created on first use unless `read_only`. It passes `foldlog.testing`."""


class Storage(NamedTuple):
    """Where the log and its views are: by URL, or by a class."""

    url: str | None
    data: ConfigurableClassData | None = None
    views: str | None = None
    place: Place = Place()  #: hides what came from the environment

    @property
    def shown(self) -> str:
        """For people, without passwords."""
        if self.data is not None:
            return self.data.shown
        return str(masked(self.url))

    @property
    def is_memory(self) -> bool:
        """Whether it is gone with this process."""
        return self.url is not None and self.url.partition(":")[0].lower() == "memory"


def check_form(value: Any, place: Place) -> None:
    """Raise UsageError for a `storage:` of none of the forms; variables are not looked up."""
    if value is None or isinstance(value, str):
        return
    if not isinstance(value, Mapping):
        raise place.fault(f"{shown(value)} was given; wanted a URL, as sqlite:///history")
    if (old := old_storage(value, place)) is not None:
        raise old
    if set(value) == {"env"}:  # {env: NAME} in place of the URL
        return
    allowed = CLASS_KEYS if "class" in value or "module" in value else tuple(KEYS)
    for key in value:
        if key not in allowed:
            remedy = "Write a URL; or {url: URL, views: URL}; or {module: ..., class: ..., config: {...}}."
            raise place.at(key).fault(f"there is no key {key!r} here{meant(key, allowed)}", remedy)


def read_storage(value: Any, place: Place, context: Context) -> Storage:
    """What `storage:` says, `{env: NAME}` replaced; the log beside the file if it says nothing."""
    check_form(value, place)
    root = context.root or Path()
    value = {} if value is None else value
    if isinstance(value, str) or set(value) == {"env"}:
        value = {"url": value}
    if "module" in value or "class" in value:
        views = resolve(value.get("views"), place.at("views"), context.lookup)
        named = {key: value[key] for key in value if key != "views"}
        data = ConfigurableClassData.from_dict(named, place=place)
        place = place.hiding(*secrets_in(views))
        return Storage(None, data, views and absolute(plain_text(views), root, quoted=False), place)
    value = resolve(value, place, context.lookup)
    place = place.hiding(*_hidden(value.get("url")), *secrets_in(value.get("views")))
    found = check_section(KEYS, {"url": "sqlite:///history", **value}, place, context)
    views = found["views"]
    return Storage(absolute(found["url"], root), None, views and absolute(views, root, quoted=False), place)


def _hidden(url: Any) -> list[str]:
    """What an error about a URL of the environment may not show: all of it, nor what stands where its scheme would."""
    secrets = secrets_in(url)
    return [*secrets, *(one.partition(":")[0] for one in secrets if "://" not in one)]
