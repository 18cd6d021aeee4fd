"""The configuration of one deployment: its form checked at once, its parts made when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..errors import UsageError
from ..secrecy import without
from .checking import Context, check_section
from .configurable import ConfigurableClassData
from .fields import Field, flag, number, plain, text
from .legacy import THREE, old_key
from .place import Place, Source, meant
from .ref import InstanceRef
from .secrets import EnvFileSecretsLoader, SecretsLoader
from .storage import Storage, check_form, read_storage
from .values import FromEnv, plain_text, resolve, secrets_in, shown

P = TypeVar("P")

MAX_BYTES = 1024 * 1024  #: of a configuration file

ARTIFACTS = "foldlog.engine.artifacts"
KEPT_FILES = "foldlog.engine.artifacts.files"
COORDINATION = "foldlog.engine.coordination"
SECRETS = "foldlog.engine.config.secrets"


class Part(NamedTuple):
    """A part that a class of anybody's may be: what it must derive from, and the classes that foldlog has for it."""

    base: tuple[str, str]  #: module and class
    own: dict[str, str]  #: class -> module; these are written without `module`
    default: str | None  #: the class of a deployment that names none


#: key of the file -> the part
PARTS: dict[str, Part] = {
    "local_artifacts": Part(
        (ARTIFACTS, "LocalArtifactStorage"), {"LocalArtifactStorage": ARTIFACTS}, "LocalArtifactStorage"
    ),
    "compute_logs": Part(
        (ARTIFACTS, "ComputeLogManager"),
        {"LocalComputeLogManager": ARTIFACTS, "NoOpComputeLogManager": ARTIFACTS},
        "LocalComputeLogManager",
    ),
    "file_manager": Part(
        (KEPT_FILES, "FileManager"),
        {"LocalFileManager": KEPT_FILES, "FsspecFileManager": KEPT_FILES},
        "LocalFileManager",  # of a log of objects: the other one
    ),
    "run_coordinator": Part(
        (COORDINATION, "RunCoordinator"),
        {"DefaultRunCoordinator": COORDINATION, "QueuedRunCoordinator": COORDINATION},
        "DefaultRunCoordinator",
    ),
    "run_launcher": Part((COORDINATION, "RunLauncher"), {"ProcessRunLauncher": COORDINATION}, None),
    "scheduler": Part((COORDINATION, "Scheduler"), {"DaemonScheduler": COORDINATION}, "DaemonScheduler"),
    "secrets": Part((SECRETS, "SecretsLoader"), {"EnvFileSecretsLoader": SECRETS}, "EnvFileSecretsLoader"),
}


def _check_retention(value: Any, place: Place, context: Context) -> dict[str, Any]:
    from ..retention.policy import RetentionPolicy

    resolved = resolve(value, place, context.lookup)
    found = plain_text(_from_env(resolved, place))
    if not isinstance(found, Mapping):
        raise place.fault(f"{shown(value)} was given; wanted a mapping, as {{log_messages: {{after_days: 30}}}}")
    try:
        RetentionPolicy.from_mapping(found)
    except UsageError as error:
        # It names the key itself, from `retention` on; the line is that of the key.
        text = without(str(error), secrets_in(resolved))
        inner = Place(tuple(text.partition(":")[0].split(".")), place.source)
        raise Place((), Source(inner.where, {}) if inner.where else None).fault(text, error.remedy) from None
    return dict(found)


def _from_env(value: Any, place: Place) -> Any:
    """The text of a variable read as the number or flag that is wanted; the policy checks what the file itself says."""
    from ..retention.policy import MAX_DAYS

    fields: dict[str, Field] = {"after_days": number(minimum=0, maximum=MAX_DAYS), "keep_assets": flag()}
    if not isinstance(value, Mapping):
        return value
    return {
        key: check_section({key: fields[key]}, {key: item}, place, Context())[key]
        if isinstance(item, FromEnv) and key in fields
        else _from_env(item, place.at(key))
        for key, item in value.items()
    }


#: key of the file -> what checks its value, and gives it as `get_settings` answers it
SETTINGS: dict[str, Callable[[Any, Place, Context], dict[str, Any]]] = {"retention": _check_retention}
KEYS = ("storage", *PARTS, "run_queue", *SETTINGS)
PART_KEYS = {"module": text(), "class": text(required=True), "config": plain()}


class Configuration:
    """What the file says. Making one checks the form of every key and looks nothing up; a fault names its line."""

    def __init__(self, ref: InstanceRef) -> None:
        self.ref = ref
        self.place = Place((), ref.source)
        self._data: dict[str, ConfigurableClassData] = {}
        self._secrets: Mapping[str, str] | None = None
        self._check_form()

    @classmethod
    def read(cls, path: Path) -> Configuration:
        """That of a file; its folder is the root. Raises UsageError for a file that is missing, or wrong."""
        from .document import read

        try:
            if (size := path.stat().st_size) > MAX_BYTES:
                raise UsageError(f"the configuration file {path} is {size:,} bytes long; {MAX_BYTES:,} are allowed")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
            raise UsageError(f"the configuration file {path} cannot be read: {reason}") from error
        config, source = read(text, str(path))
        if config is None:
            config = {}
        if not isinstance(config, Mapping):
            raise Place((), source).fault(f"{shown(config)} was given; wanted a mapping, as `storage: URL`")
        return cls(InstanceRef(root=str(path.absolute().parent), config=config, source=source))

    @property
    def root(self) -> Path | None:
        """The folder of the deployment's local files."""
        return None if self.ref.root is None else Path(self.ref.root)

    # -- the form -----------------------------------------------------------------------------------------------

    def _check_form(self) -> None:
        for key, value in self.ref.config.items():
            place = self.place.at(key)
            if key in THREE:
                raise old_key(key, value, place)
            if key not in KEYS:
                raise place.fault(f"there is no key {key!r}{meant(key, KEYS)}", _allowed(KEYS))
            if value is None:
                continue
            if key == "storage":
                check_form(value, place)
            elif key in PARTS:
                self._data[key] = _part_data(key, value, place)
        self._take_queue()

    def _take_queue(self) -> None:
        """`run_queue: {...}` is short for the queued coordinator with that configuration."""
        queue = self.ref.config.get("run_queue")
        if queue is None:
            return
        place = self.place.at("run_queue")
        if "run_coordinator" in self._data:
            raise place.fault("run_queue and run_coordinator exclude each other", "Keep one of the two.")
        if not isinstance(queue, Mapping):
            raise place.fault(f"{shown(queue)} was given; wanted a mapping, as {{max_concurrent_runs: 10}}")
        name = "QueuedRunCoordinator"
        self._data["run_coordinator"] = ConfigurableClassData(
            COORDINATION, name, queue, _Flat(place.path, place.source)
        )

    # -- what it says -------------------------------------------------------------------------------------------

    @property
    def context(self) -> Context:
        """What values refer to: the root, the environment, then the secrets."""
        return Context(self.root, self._look_up)

    def _look_up(self, name: str) -> str | None:
        value = os.environ.get(name)
        if value is not None:
            return value
        if self._secrets is None:
            self._secrets = self.secrets_loader().load()
        return self._secrets.get(name)

    def secrets_loader(self) -> SecretsLoader:
        """The loader of secrets; by default the file `.env` beside foldlog.yaml."""
        context = Context(self.root)  # the environment alone: a loader cannot be asked for what it needs itself
        loader = self.make("secrets", SecretsLoader, context=context)
        return loader or EnvFileSecretsLoader((self.root or Path()) / ".env")

    def storage(self) -> Storage:
        """Where the log is. Raises UsageError for a variable that is not set."""
        return read_storage(self.ref.config.get("storage"), self.place.at("storage"), self.context)

    def part(self, key: str) -> ConfigurableClassData | None:
        """What the file says of a part, if it does."""
        return self._data.get(key)

    def make(self, key: str, kind: type[P], *, context: Context | None = None) -> P | None:
        """The part, new; None if the file does not name one. Raises UsageError for what is wrong with it."""
        data = self._data.get(key)
        return None if data is None else data.rehydrate(kind, context=context or self.context, role=key)

    def settings(self, key: str) -> dict[str, Any]:
        """A setting of the file that is no part; empty if it is not there. Raises UsageError for an unknown key."""
        if key not in SETTINGS:
            error = UsageError(f"there are no settings {key!r}{meant(key, SETTINGS)}")
            error.remedy = _allowed(tuple(SETTINGS))
            raise error
        value = self.ref.config.get(key)
        return {} if value is None else SETTINGS[key](value, self.place.at(key), self.context)


class _Flat(Place):
    """The place of `run_queue`, whose keys stand one level higher than those of a `config`."""

    def at(self, *keys: str | int) -> Place:
        return super().at(*keys[1:] if keys[:1] in (("config",), ("class",), ("module",)) else keys)


def _part_data(key: str, value: Any, place: Place) -> ConfigurableClassData:
    own = PARTS[key].own
    if not isinstance(value, Mapping):
        raise place.fault(f"{shown(value)} was given; wanted a class", f"Write {key}: {{class: {next(iter(own))}}}.")
    config = value.get("config")
    named = resolve({k: v for k, v in value.items() if k != "config"}, place, Context().lookup)
    secrets = secrets_in([named.get("module"), named.get("class")])
    place = place.hiding(*secrets, *(one.partition(".")[0] for one in secrets))
    named = check_section(PART_KEYS, named, place, Context())
    if config is not None and not isinstance(config, Mapping):
        raise place.at("config").fault(f"{shown(config)} was given; wanted a mapping")
    module, name = named["module"] or own.get(named["class"]), named["class"]
    if module is None:
        problem = f"foldlog has no {name!r} for this{meant(name, own)}"
        raise place.at("class").fault(problem, f"foldlog's own: {', '.join(own)}. Others need `module` as well.")
    return ConfigurableClassData(module, name, dict(config or {}), place)


def _allowed(keys: tuple[str, ...]) -> str:
    return f"Allowed here: {', '.join(keys)}."
