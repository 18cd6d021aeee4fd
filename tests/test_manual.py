"""The manual: the Python in the guide to definitions, the README and the reference runs, and signatures are true."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

import foldlog
from foldlog import migrations
from foldlog.engine.definitions import node_config
from foldlog.engine.definitions.inout import NO_DEFAULT, UNSTATED
from foldlog.engine.definitions.results import NO_VALUE

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: str, language: str) -> list[tuple[int, str]]:
    """Line and text of each block of a language."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, found.start(2)) + 1, found[2]) for found in BLOCK.finditer(text) if found[1] == language
    ]


def execute(document: str, found: list[tuple[int, str]], *, name: str = "manual") -> None:
    """Run blocks as one program; an error names the line in the document."""
    names: dict[str, object] = {"__name__": name}
    for line, text in found:
        exec(compile("\n" * (line - 1) + text, str(ROOT / document), "exec", dont_inherit=True), names)


def test_the_guide_to_definitions_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks("docs/definitions.md", "python")
    assert len(found) > 20
    execute("docs/definitions.md", found)


def test_the_commands_of_the_guide_run(tmp_path):
    ((_, text),) = blocks("docs/definitions.md", "sh")
    for line in text.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "foldlog"
        command = [sys.executable, "-P", "-m", "foldlog", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert done.stdout


def test_each_block_of_the_readme_runs_by_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks("README.md", "python")
    assert len(found) == 3
    for block in found * 2:  # as often as one likes
        execute("README.md", [block], name="__main__")


def test_the_guide_to_moving_runs(tmp_path, monkeypatch):
    """Programs and commands, one after the other, in one folder."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/moving.md").read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "manual"}
    languages = []
    for found in BLOCK.finditer(text):
        languages.append(found[1])
        if found[1] == "python":
            line = text.count("\n", 0, found.start(2))
            exec(compile("\n" * line + found[2], str(ROOT / "docs/moving.md"), "exec", dont_inherit=True), names)
        elif found[1] == "sh":
            for one in found[2].splitlines():
                program, *arguments = shlex.split(one)
                assert program == "foldlog"
                command = [sys.executable, "-P", "-m", "foldlog", *arguments]
                done = subprocess.run(command, capture_output=True, text=True)
                assert done.returncode == 0, f"{one}\n{done.stdout}{done.stderr}"
    assert (languages.count("python"), languages.count("sh")) == (3, 4)


def test_the_guide_to_object_storage_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/backends.md").read_text(encoding="utf-8")
    begin = text.count("\n", 0, text.index("\n## Object storage\n"))
    found = [block for block in blocks("docs/backends.md", "python") if block[0] > begin]
    assert len(found) == 1
    execute("docs/backends.md", found)
    assert (tmp_path / "objects" / "order").is_dir()


def test_the_guide_to_upgrading_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks("docs/upgrading.md", "python")
    assert len(found) == 1
    execute("docs/upgrading.md", found)


@pytest.mark.parametrize("module", [foldlog.moving, migrations])
def test_the_signatures_of_a_module_are_those_of_the_code(module):
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8").replace("`migrations.", "`")
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isfunction(value):
            parameters = inspect.signature(value).parameters.values()
            written, star = [], False
            for one in parameters:
                if one.kind is one.KEYWORD_ONLY and not star:
                    written.append("*")
                    star = True
                written.append(one.name + ("" if one.default is one.empty else f"={default(one.default)}"))
            assert f"`{name}({', '.join(written)}) ->" in text, f"{name}({', '.join(written)})"


@pytest.mark.parametrize("document", ["docs/api.md"])
def test_each_block_of_the_reference_runs(document, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with capfd.disabled():  # one of them captures what the process prints
        execute(document, blocks(document, "python"))


class Loading(foldlog.Config):
    table: str


class Cleaning(foldlog.Config):
    strict: bool


class Warehouse(foldlog.Config):
    name: str


def test_the_guide_shows_a_run_config_that_fits():
    """Every section and key of it, on a job that is made for it."""

    @foldlog.resource
    def warehouse(config: Warehouse):
        return config.name

    @foldlog.op(required_resource_keys={"warehouse"})
    def load(config: Loading, limit: int, first: int):
        return limit

    @foldlog.op
    def clean(config: Cleaning, source):
        return source

    @foldlog.graph
    def etl(source):
        clean(source)

    @foldlog.job(resource_defs={"warehouse": warehouse})
    def job(first):
        load(first=first)
        etl()

    ((_, text),) = blocks("docs/definitions.md", "yaml")
    document = yaml.safe_load(text)
    assert set(document) == set(node_config.SECTIONS)
    assert textwrap.dedent(text) == text
    del document["resources"]["io_manager"]["config"]["url"]
    result = foldlog.execute_job(job, run_config=document)
    assert result.output_for_node("load") == 5
    assert result.output_for_node("etl.clean") == "a.csv"


# -- the reference ----------------------------------------------------------------------------------------------------

NOT_GIVEN = (NO_DEFAULT, UNSTATED, NO_VALUE)


def signature(name: str) -> str:
    """A public name with its parameters, as the reference writes it."""
    written, star = [], False
    for parameter in inspect.signature(getattr(foldlog, name)).parameters.values():
        if parameter.name == "fn":  # of a decorator: what it decorates
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            written.append("*")
            star = True
        has_default = parameter.default is not parameter.empty
        written.append(parameter.name + (f"={default(parameter.default)}" if has_default else ""))
    return f"{name}({', '.join(written)})"


def default(value: object) -> str:
    if repr(value) == "<factory>":
        return "{}"
    if any(value is one for one in NOT_GIVEN) or inspect.isfunction(value):
        return "..."
    return value.__name__ if isinstance(value, type) else repr(value).replace("'", '"')


def test_the_signatures_of_the_reference_are_those_of_the_code():
    text = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    section = text.partition("\n## Jobs and assets\n")[2].partition("\n## ")[0]
    entries = re.findall(r"^### `(\w+)`\n\n(?:`(\w+\([^`]*\))`\n)?", section, re.MULTILINE)
    written = {name: " ".join(shown.split()) for name, shown in entries if shown}
    assert len(written) > 30
    assert written == {name: signature(name) for name in written}
