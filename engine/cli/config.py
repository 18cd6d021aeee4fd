"""`foldlog config`: the configuration file of an instance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .options import examples, json_option
from .show import Cell, clean, print_json, say, table

if TYPE_CHECKING:
    from ..config.configuration import Configuration


@click.group(
    "config", epilog=examples("foldlog config check", "foldlog config check ./foldlog.yaml"), no_args_is_help=True
)
def command() -> None:
    """Check the configuration file of an instance."""


@command.command("check", epilog=examples("foldlog config check", "foldlog config check ./foldlog.yaml --json"))
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option("One JSON document")
def check(file: Path | None, as_json: bool) -> None:
    """Check a configuration file: keys, values, classes.

    FILE is a file, or a folder with a foldlog.yaml; by default $FOLDLOG_HOME/foldlog.yaml. Every class is imported and
    made, and every variable of the environment looked up, as an instance would; the log is not opened. What is secret
    is shown as ***, and what comes from the environment by its name. Ends with 1 and the line of the first fault.
    """
    from ..config.configuration import Configuration

    path = _file(file)
    found = _examine(Configuration.read(path))
    if as_json:
        print_json({"file": str(path), **found})
        return
    say(clean(f"{path}: no faults"), "green")
    rows: list[list[Cell]] = [
        [one["key"], one["class"] or "none", one["from"], _words(one["config"])] for one in found["parts"]
    ]
    table(("part", "class", "from", "configuration"), rows)
    for key, value in found["settings"].items():
        say(clean(f"{key}: {_words(value)}"))


def _file(given: Path | None) -> Path:
    from ..config.home import FILE, file_in, home

    if given is not None:
        return given / FILE if given.is_dir() else given
    folder = home()
    if (found := file_in(folder)) is None:
        error = UsageError(f"there is no {FILE} in {folder}, so the instance is {folder}/history with all defaults")
        error.remedy = "Write the file (docs/config.md shows a whole one), or name another: foldlog config check FILE."
        raise error
    return found


def _examine(configuration: Configuration) -> dict[str, Any]:
    """Everything that the file names, made as an instance makes it. Raises UsageError for the first fault."""
    from ..config.configuration import PARTS, SETTINGS
    from ..config.values import masked

    parts = [_storage(configuration)]
    for key in PARTS:
        configuration.make(key, _base(key))
        data = configuration.part(key)
        if data is None:
            parts.append({"key": key, "class": _default(key, configuration), "from": "default", "config": {}})
        else:
            name = data.shown
            config = masked(dict(data.config))
            parts.append({"key": key, "class": name, "from": f"line {data.place.line}", "config": config})
    # As it was written: what a variable holds is read, and not shown.
    settings = {key: masked(configuration.ref.config[key]) for key in SETTINGS if configuration.settings(key)}
    return {"root": str(configuration.root), "parts": parts, "settings": settings}


def _default(key: str, configuration: Configuration) -> str | None:
    """The class of a part that the file does not name."""
    from ..artifacts.beside import FILES, beside_objects
    from ..config.configuration import PARTS

    if key == "file_manager" and beside_objects(configuration.storage().url, FILES) is not None:
        return "FsspecFileManager"
    return PARTS[key].default


def _storage(configuration: Configuration) -> dict[str, Any]:
    """Raises UsageError for a class that cannot be made, or a URL that cannot be one. Nothing is opened."""
    from ..config.storage import LogStorage
    from ..config.values import masked
    from ..open import check_storage_urls

    storage, place = configuration.storage(), configuration.place.at("storage")
    if storage.data is not None:
        storage.data.rehydrate(LogStorage, context=configuration.context, role="storage")
    check_storage_urls(storage)
    written = configuration.ref.config.get("storage")
    config = {"url": storage.shown} if written is None or isinstance(written, str) else masked(written)
    where = "default" if written is None else f"line {place.line}"
    name = "by URL" if storage.data is None else storage.shown
    return {"key": "storage", "class": name, "from": where, "config": config}


def _base(key: str) -> type:
    from importlib import import_module

    from ..config.configuration import PARTS

    module, name = PARTS[key].base
    base: type = getattr(import_module(module), name)
    return base


def _words(config: Any) -> str:
    if isinstance(config, dict):
        return ", ".join(f"{key}: {_inner(value)}" for key, value in config.items())
    if isinstance(config, list):
        return f"[{', '.join(map(_inner, config))}]"
    return str(config)


def _inner(config: Any) -> str:
    return f"{{{_words(config)}}}" if isinstance(config, dict) else _words(config)
