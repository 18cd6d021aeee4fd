"""Imports point one way. A module of a new folder fails here until somebody has said what it may import."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
ERRORS = "foldlog.engine.errors"
EVENTS = "foldlog.engine.events"
LOG = "foldlog.engine.log"
POLICY = "foldlog.engine.retention.policy"
PORT = "foldlog.engine.log.port"
CHAIN = "foldlog.engine.log.chain"
CONFIG = "foldlog.engine.config"
SECRECY = "foldlog.engine.secrecy"
PAYLOAD = "foldlog.engine.payload"
CLOUDS = ("s3fs", "gcsfs", "adlfs")  #: only in their own drivers
PARTS = (CONFIG, "foldlog.engine.artifacts", "foldlog.engine.coordination")
WIRED = ("foldlog.engine", "foldlog.backends", "foldlog.serdes")  #: what the wiring places put together

MAY_NAME = {  # layer -> what it may import beside itself and the standard library; one line for each layer
    "engine/__init__": (),
    "engine/errors": (),
    "engine/secrecy": (ERRORS,),
    "engine/events": (ERRORS, "msgspec"),
    "serdes": (EVENTS, ERRORS, "msgpack", "msgspec"),
    "engine/log": (EVENTS, ERRORS),  # no codec, no SQL: a backend and a codec are passed in
    "backends": (
        PORT,
        CHAIN,
        ERRORS,
        SECRECY,
        "sqlalchemy",
        "msgpack",
        "fsspec",
        *CLOUDS,
        "psycopg2",
        "pymysql",
    ),  # no runs
    "engine/views": (EVENTS, LOG, ERRORS, "sqlalchemy", "msgspec"),  # no backend: an engine is passed in
    "engine/config": (
        PORT,
        ERRORS,
        SECRECY,
        "foldlog.backends.without_password",
        "foldlog.engine.urls",
        POLICY,
        "yaml",
    ),
    "engine/artifacts": (CONFIG, ERRORS, SECRECY, "fsspec"),
    "engine/artifacts/files": (  # no runs, no instance: a file manager is told where
        CONFIG,
        ERRORS,
        SECRECY,
        "foldlog.engine.artifacts.store_errors",
        "foldlog.engine.artifacts.stores",
        "msgspec",
    ),
    "engine/artifacts/io": (  # no definitions, no execution: the contexts are filled by who runs the steps
        EVENTS,
        CONFIG,
        ERRORS,
        SECRECY,
        "foldlog.engine.artifacts.files.handles",
        "foldlog.engine.artifacts.names",
        "foldlog.engine.artifacts.store_errors",
        "foldlog.engine.artifacts.stores",
        "msgspec",
        "fsspec",
        "pyarrow",
        "pandas",
        "polars",
    ),
    "engine/definitions": (EVENTS, CONFIG, ERRORS, "msgspec"),  # what users declare; nothing that runs or keeps it
    "engine/execution": (  # never a backend: the instance is handed in
        EVENTS,
        LOG,
        CONFIG,
        ERRORS,
        "foldlog.engine.definitions",
        "foldlog.engine.artifacts",
        "foldlog.engine.views",
        "foldlog.engine.reporting",
        "foldlog.engine.coordination.processes",
    ),
    "engine/execute": ("foldlog.engine",),
    "engine/coordination": (EVENTS, LOG, CONFIG, ERRORS, "foldlog.engine.artifacts", "foldlog.engine.views"),
    "engine/definitions/partitions": ("foldlog.engine.config.place", ERRORS),
    "engine/open": (*WIRED, "sqlalchemy"),
    "engine/urls": (),
    "engine/origin": (LOG, CONFIG, ERRORS, "foldlog.engine.urls"),
    "engine/payload": (EVENTS, LOG, ERRORS, "foldlog.serdes", "msgpack"),
    "engine/facade": (
        EVENTS,
        LOG,
        ERRORS,
        "foldlog.engine.views",
        "foldlog.engine.reporting",
        "foldlog.engine.retention",
        PAYLOAD,
        *PARTS,
    ),
    "engine/instance": (*WIRED, "sqlalchemy"),
    "engine/reporting": (EVENTS, LOG, ERRORS),  # what a program reports goes to the log and nowhere else
    "engine/retention": (EVENTS, LOG, ERRORS, "foldlog.engine.views"),  # what it asks of an instance it says itself
    "engine/cli": ("foldlog", "click", "rich"),
    "migrations": ("foldlog.backends", LOG, EVENTS, ERRORS, "foldlog.engine.open", "alembic", "sqlalchemy"),
    "migrations/moving": ("foldlog.backends", LOG, EVENTS, ERRORS, "foldlog.engine.open", "msgpack", "pyarrow"),
    "testing": ("foldlog.backends", "foldlog.serdes", LOG, EVENTS, ERRORS, "pytest", "hypothesis"),
    "benchmarks": ("foldlog", "sqlalchemy", "msgpack", "msgspec", "psycopg2", "pymysql", "fsspec", "rich", "click"),
    "examples": ("foldlog", "rich", "click", "matplotlib"),
    "__init__": (*WIRED, "foldlog.migrations.moving"),
    "__main__": ("foldlog.engine.cli",),
}
#: beside their own layer, nobody; not even those that may name all of foldlog
NOBODY_NAMES = ("foldlog.tests", "foldlog.docs", "foldlog.migrations.versions")
ON_DEMAND = ("foldlog.benchmarks", "foldlog.examples")  #: inside a function of a command, or by themselves


class Import(NamedTuple):
    name: str  #: in full: `foldlog.engine.errors.UsageError`
    line: int
    on_demand: bool  #: inside a function, so not at import


def modules() -> list[Path]:
    """Every module of the repository but the tests, relative to its root."""
    found = []
    for folder, subfolders, files in os.walk(ROOT):
        subfolders[:] = [
            name
            for name in subfolders
            if not (name.startswith(".") or name == "__pycache__" or (Path(folder, name) / "pyvenv.cfg").exists())
            and not (Path(folder) == ROOT and name in ("tests", "docs", "build", "dist"))
        ]
        found += [Path(folder, name).relative_to(ROOT) for name in files if name.endswith(".py")]
    return sorted(found)


def layer_of(module: Path) -> str | None:
    """The layer that a module belongs to: its own name, or a folder above it."""
    own = module.with_suffix("").as_posix()
    folders = [folder.as_posix() for folder in module.parents]
    return next((layer for layer in (own, *folders) if layer in MAY_NAME), None)


def imported_names(module: Path) -> Iterator[Import]:
    """What a module imports, relative imports spelled in full; those for type checkers count like the others."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    package = ("foldlog", *module.parent.parts)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {id(inner) for function in functions for inner in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, id(node) in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (Import(f"{source}.{alias.name}", node.lineno, id(node) in late) for alias in node.names)


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{prefix}.") for prefix in prefixes)


def test_every_module_has_a_layer():
    homeless = [str(module) for module in modules() if layer_of(module) is None]
    assert not homeless, f"say in MAY_NAME what these may import: {homeless}"


@pytest.mark.parametrize("layer", MAY_NAME)
def test_a_layer_names_only_what_it_may(layer):
    itself = "foldlog." + layer.replace("/", ".").removesuffix(".__init__")
    good = (itself, *MAY_NAME[layer], "__future__", *sys.stdlib_module_names)
    if layer in ("__init__", "__main__", "engine/__init__"):
        good = good[1:]  # not everything below it
    members = [module for module in modules() if layer_of(module) == layer]
    assert members, f"{layer} is gone, and this test would pass for ever"
    wrong = [
        f"{module}:{line} imports {name}"
        for module in members
        for name, line, _ in imported_names(module)
        if not within(name, good) or (within(name, NOBODY_NAMES) and not within(name, (itself,)))
    ]
    assert not wrong, "\n".join(wrong)


def test_benchmarks_and_examples_load_only_when_asked():
    wrong = [
        f"{module}:{line} imports {name} when it is imported"
        for module in modules()
        for name, line, on_demand in imported_names(module)
        if within(name, ON_DEMAND) and not on_demand and layer_of(module) not in ("benchmarks", "examples")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("layer", ["benchmarks", "examples", "testing", "migrations"])
def test_only_the_command_line_names(layer):
    """Nothing that a program runs by importing foldlog depends on what is beside it."""
    allowed = {layer, "engine/cli"} | ({"benchmarks"} if layer == "examples" else set())
    if layer == "migrations":
        allowed |= {"migrations/moving", "__init__"}  # `foldlog.moving`, loaded when it is first used
    wrong = [
        f"{module}:{line} imports {name}"
        for module in modules()
        for name, line, _ in imported_names(module)
        if within(name, (f"foldlog.{layer}",)) and layer_of(module) not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_relative_imports_are_spelled_in_full(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "engine/log").mkdir(parents=True)
    module = Path("engine/log/new.py")
    (tmp_path / module).write_text(
        "from . import port\nfrom ..errors import UsageError\nfrom ... import serdes\n"
        "import os.path\ndef late():\n    from ...examples import tour\n"
    )
    assert [(name, on_demand) for name, _, on_demand in imported_names(module)] == [
        ("foldlog.engine.log.port", False),
        ("foldlog.engine.errors.UsageError", False),
        ("foldlog.serdes", False),
        ("os.path", False),
        ("foldlog.examples.tour", True),
    ]
