"""Finding code: by module, by file, by pyproject.toml; each loaded once, and what fails told with its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from foldlog.engine.definitions.loading import load_module, members
from foldlog.engine.errors import UsageError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, and a process in which nothing of it is loaded, before and after."""
    before, path = dict(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert sys.path == path, "the path of the process is as it was"
    for name in set(sys.modules) - set(before):
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    """`acme__jobs="..."` is acme/jobs.py."""
    for name, content in files.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(content), encoding="utf-8")


def package(folder: Path, name: str = "acme", **modules: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("")
    write(folder / name, **modules)


def fault_of(**asked) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load_module(**asked)
    assert caught.value.remedy != UsageError.remedy
    return caught.value


def test_a_module_of_the_working_directory(folder):
    package(folder, pipelines="from acme import helpers\nfrom . import helpers as same\nx = 1", helpers="")
    loaded = load_module("acme.pipelines")
    assert (loaded.name, loaded.found_by, loaded.module.x) == ("acme.pipelines", "-m acme.pipelines", 1)
    assert loaded.attribute is None
    assert load_module("acme.pipelines").module is loaded.module


def test_another_working_directory(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere, far_jobs="x = 2")
    assert load_module("far_jobs", folder=elsewhere).module.x == 2
    assert load_module(file="far_jobs.py", folder=elsewhere).module.x == 2


def test_a_file_by_itself(folder):
    write(folder, jobs__nightly="import beside\nimport at_home\nx = beside.y", jobs__beside="y = 3", at_home="")
    loaded = load_module(file="jobs/nightly.py")
    assert (loaded.name, loaded.found_by, loaded.module.x) == ("nightly", "-f jobs/nightly.py", 3)
    assert sys.modules["nightly"] is loaded.module
    assert load_module(file=folder / "jobs" / ".." / "jobs" / "nightly.py").module is loaded.module


def test_a_file_of_a_package_is_its_module(folder):
    package(folder, "deep")
    package(folder / "deep", "acme", pipelines="from . import helpers\nfrom deep.acme import helpers", helpers="")
    loaded = load_module(file="deep/acme/pipelines.py")
    assert loaded.name == "deep.acme.pipelines"
    assert load_module("deep.acme.pipelines").module is loaded.module
    assert load_module(file="deep/acme/__init__.py").name == "deep.acme"


def test_a_file_that_was_loaded_as_a_module_is_not_loaded_again(folder):
    write(folder, space__jobs="")  # a folder without __init__.py is a package, too, when it is imported by name
    loaded = load_module("space.jobs")
    assert load_module(file="space/jobs.py").module is loaded.module


def test_the_entry_of_the_project(folder, monkeypatch):
    package(folder, pipelines="defs = [1]\nothers = [2]")
    (folder / "pyproject.toml").write_text('[tool.foldlog]\nmodule = "acme.pipelines"\nattribute = "defs"\n')
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    (below / "pyproject.toml").write_text("[tool.other]\nx = 1\n")  # has none, so the one above counts
    monkeypatch.chdir(below)
    loaded = load_module()
    assert (loaded.name, loaded.attribute, loaded.attribute_name) == ("acme.pipelines", [1], "defs")
    assert loaded.found_by == f"[tool.foldlog] of {folder / 'pyproject.toml'}"
    assert load_module(attribute="others").attribute == [2]


def test_a_file_in_the_entry_is_meant_from_there(folder, monkeypatch):
    write(folder, jobs__nightly="x = 1")
    (folder / "pyproject.toml").write_text('[tool.foldlog]\nfile = "jobs/nightly.py"\n')
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert load_module().name == "nightly"


def test_members_come_in_the_order_of_their_definition(folder):
    write(folder, first="b = 'of first'", jobs="from first import b\nz = 1\na = 'x'\nsame = a\nm = 2.5\n_own = 'y'")
    module = load_module("jobs").module
    assert list(members(module, str).items())[-3:] == [("b", "of first"), ("a", "x"), ("_own", "y")]
    assert list(members(module, (int, float))) == ["z", "m"]
    assert members(module, ModuleType) == {}


def test_nothing_is_given(folder):
    error = fault_of()
    assert "nothing says which code to load" in str(error)
    assert all(way in error.remedy for way in ("-m MODULE", "-f FILE.py", "[tool.foldlog]"))


ENTRIES = {
    'module = "a"\nfile = "b.py"': "has both a module and a file",
    'attribute = "a"': "has neither a module nor a file",
    'modul = "a"': "tool.foldlog.modul: there is no key 'modul' here; did you mean 'module'?",
    "module = 1": "tool.foldlog.module: 1 was given; wanted text",
    'module = ""': "tool.foldlog.module: is empty",
    "module = ": "pyproject.toml:2: this is no TOML: Invalid value",
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_that_is_wrong(folder, entry):
    (folder / "pyproject.toml").write_text(f"[tool.foldlog]\n{entry}\n")
    with pytest.raises(UsageError) as caught:
        load_module()
    assert str(folder / "pyproject.toml") in str(caught.value)
    assert ENTRIES[entry] in str(caught.value)


#: name -> what is asked for, words of the message, words of the remedy
WRONG = {
    "both": ({"module": "a", "file": "b.py"}, "both a module and a file are given", "Give one"),
    "no file": ({"file": "job.py"}, "there is no file {folder}/job.py; did you mean 'jobs.py'?", "path"),
    "a folder": ({"file": "acme"}, "{folder}/acme is a folder", "-m"),
    "no Python": ({"file": "notes.txt"}, "{folder}/notes.txt is no Python file", ".py"),
    "a file for a module": ({"module": "jobs.py"}, "'jobs.py' is no name of a module", "-f jobs.py"),
    "no name": ({"module": ".acme"}, "'.acme' is no name of a module", "acme.pipelines"),
    "an empty name": ({"module": ""}, "'' is no name of a module", "dots"),
    "no module": ({"module": "no_such_thing"}, "there is no module 'no_such_thing'", "install"),
    "no module in a package": ({"module": "acme.nothing"}, "there is no module 'acme.nothing'", "install"),
    "a module of no package": ({"module": "no_such.thing"}, "there is no module 'no_such'", "install"),
    "no attribute": (
        {"module": "jobs", "attribute": "def"},
        "the module jobs has no 'def'; did you mean 'defs'?",
        "{folder}/jobs.py",
    ),
    "a missing import": (
        {"module": "acme.imports"},
        "importing acme.imports failed at {folder}/acme/imports.py:2: it imports 'no_such_thing', which is not there",
        "Install what has no_such_thing",
    ),
    "a missing import of the file": (
        {"file": "acme/imports.py"},
        "importing acme.imports failed at {folder}/acme/imports.py:2: it imports 'no_such_thing'",
        "Install",
    ),
    "a missing import further in": (
        {"file": "further.py"},
        "importing further failed at {folder}/acme/imports.py:2: it imports 'no_such_thing'",
        "Install",
    ),
    "a missing name": (
        {"module": "acme.names"},
        "importing acme.names failed at {folder}/acme/names.py:1: ImportError: cannot import name 'nothing'",
        "traceback",
    ),
    "an exception": (
        {"file": "raises.py"},
        "importing raises failed at {folder}/raises.py:4: ValueError: not like this",
        "traceback",
    ),
    "an exception of a library": (
        {"file": "library.py"},
        "importing library failed at {folder}/library.py:3: JSONDecodeError: ",
        "traceback",
    ),
    "bad syntax": ({"file": "syntax.py"}, "importing syntax failed at {folder}/syntax.py:2: SyntaxError: ", "Correct"),
    "a refused definition": (
        {"file": "refused.py"},
        "importing refused failed at {folder}/refused.py:4: Bad.x: the annotation set",
        "Use int, float",
    ),
    "an exit": ({"file": "exits.py"}, "importing exits ended the program at {folder}/exits.py:2", "__main__"),
    "a name of Python": ({"file": "json.py"}, "cannot be loaded as 'json'", "another name"),
    "a name of Python, not loaded": ({"file": "this.py"}, "'this': a module of Python itself has that name", "another"),
    "a name of another file": ({"file": "acme/other/jobs.py"}, "{folder}/jobs.py has that name", "Give jobs another"),
    "a package of another": ({"file": "below/acme/pipelines.py"}, "{folder}/acme/__init__.py has that name", "acme"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(folder, name):
    package(folder, imports="\nimport no_such_thing", names="from acme import nothing")
    package(folder / "below", pipelines="")
    write(
        folder,
        jobs="defs = 1",
        further="import acme.imports",
        raises="def f():\n    pass\n    \nraise ValueError('not like this')",
        library="import json\n\njson.loads('{')",
        syntax="x = 1\ny = = 2",
        refused="""\
            from foldlog.engine.definitions.typed_config import Config, schema_of
            class Bad(Config):
                x: set
            schema_of(Bad)
            """,
        exits="import sys\nsys.exit(3)",
        json="",
        this="",
        acme__other__jobs="",
    )
    (folder / "notes.txt").write_text("")
    load_module("jobs")
    load_module("acme")
    asked, words, remedy = WRONG[name]
    error = fault_of(**asked)
    assert words.format(folder=folder) in str(error)
    assert remedy.format(folder=folder) in error.remedy


def test_the_cause_is_kept_and_half_a_module_is_not(folder):
    write(folder, raises="x = 1\nraise ValueError('no')", exits="raise SystemExit(2)")
    error = fault_of(file="raises.py")
    assert isinstance(error.__cause__, ValueError)
    assert "raises" not in sys.modules
    write(folder, raises="x = 1  # corrected")
    assert load_module(file="raises.py").module.x == 1
    assert isinstance(fault_of(file="exits.py").__cause__, SystemExit)


def test_an_interrupt_is_not_kept(folder):
    write(folder, stopped="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_module(file="stopped.py")
    assert "stopped" not in sys.modules


def test_a_script_that_loads_itself_gets_itself(folder):
    write(
        folder,
        itself="""\
            from foldlog.engine.definitions.loading import load_module
            x = object()
            if __name__ == "__main__":
                assert load_module(file=__file__).module.x is x
                print("once")
            """,
    )
    done = subprocess.run([sys.executable, "-P", "itself.py"], cwd=folder, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("once\n", 0), done.stderr
