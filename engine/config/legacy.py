"""What users of other orchestrators write by habit: answered with the same thing as foldlog writes it.

Run and schedule storage are views of one log here, so one `storage:` takes the place of three. Built from what stands
in the file, without passwords: the answer is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UsageError
from .place import Place
from .values import env_name, masked

THREE = ("run_storage", "event_log_storage", "schedule_storage")
NESTED = {"postgres": "postgresql", "mysql": "mysql", "sqlite": "sqlite"}
EXAMPLE = "storage: postgresql://USER@HOST:5432/DATABASE"


def old_key(name: str, value: Any, place: Place) -> UsageError:
    """The answer to one of the three old keys."""
    config = value.get("config") if isinstance(value, Mapping) else None
    text = _replacement(config or {}, str(value).lower()) or EXAMPLE
    return place.fault(
        f"there is no {name}: events, runs and schedules are one log, which one key places",
        f"In place of {', '.join(THREE)} write:\n\n{text}\n",
    )


def old_storage(value: Mapping[str, Any], place: Place) -> UsageError | None:
    """The answer to `storage: {postgres: ...}` and the like; None if it is not that."""
    name = next(iter(value), "")
    if len(value) != 1 or name not in (*NESTED, "custom"):
        return None
    inner = value[name] if isinstance(value[name], Mapping) else {}
    if name == "custom":
        remedy = "Leave `custom` out, and move module, class and config up, right under `storage`."
        return place.at(name).fault("a class for storage stands right under `storage`", remedy)
    text = _replacement(inner, name) or EXAMPLE.replace("postgresql", NESTED[name])
    return place.at(name).fault("a log is placed by its URL", f"Write:\n\n{text}\n")


def _replacement(config: Mapping[str, Any], kind: str) -> str | None:
    """`storage: ...` for what was written; None if that does not tell enough."""
    scheme = "mysql" if "mysql" in kind else "postgresql"
    for key in ("postgres_url", "mysql_url", "url"):
        if key in config:
            return _by_url(config[key])
    for key in ("postgres_db", "mysql_db"):
        if isinstance(config.get(key), Mapping):
            return _by_fields(scheme, config[key])
    if isinstance(config.get("base_dir"), str):
        # a folder of its own: the files of the other program stay untouched beside it
        folder = config["base_dir"].rstrip("/")
        return f"storage: sqlite:///{folder}/foldlog"
    if isinstance(config.get("base_dir"), Mapping) or "sqlite" in kind:
        return "storage: sqlite:///history"
    return None


def _by_url(url: Any) -> str | None:
    if (name := env_name(url)) is not None:
        return f"storage:\n  url:\n    env: {name}"
    if not isinstance(url, str):
        return None
    scheme, _, rest = url.partition("://")
    shown = str(masked(f"{scheme.partition('+')[0]}://{rest}"))
    if "***" in shown:
        return f"storage:\n  url:\n    env: FOLDLOG_URL   # set it to {shown}, with the password"
    return f"storage: {shown}"


def _by_fields(scheme: str, fields: Mapping[str, Any]) -> str:
    def part(*names: str, otherwise: str) -> str:
        value = next((fields[name] for name in names if name in fields), None)
        if value is None:
            return otherwise
        return f"${env_name(value)}" if env_name(value) else str(value)

    port = f":{part('port', otherwise='')}" if "port" in fields else ""
    place = f"{part('hostname', 'host', otherwise='localhost')}{port}/{part('db_name', 'dbname', otherwise='DATABASE')}"
    user = part("username", "user", otherwise="USER")
    if "password" not in fields and "$" not in f"{user}{place}":
        return f"storage: {scheme}://{user}@{place}"
    return f"storage:\n  url:\n    env: FOLDLOG_URL   # set it to {scheme}://{user}:PASSWORD@{place}"
