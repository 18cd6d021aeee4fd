"""The public names are few, sorted, documented, and cost nothing until they are used."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import foldlog
from foldlog.engine import errors

ROOT = Path(__file__).parent.parent


def typed_imports() -> dict[str, str]:
    """Public name -> module, as `__init__.py` tells it to type checkers."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    return {alias.asname or alias.name: f".{node.module}" for node in imports for alias in node.names}


@pytest.mark.parametrize("name", foldlog.__all__)
def test_a_public_name_is_documented(name):
    assert f"`{name}`" in (ROOT / "docs/api.md").read_text(encoding="utf-8"), f"docs/api.md does not mention {name}"
    value = getattr(foldlog, name)
    assert not callable(value) or inspect.getdoc(value), f"{name} has no docstring"


def test_the_public_names_are_sorted_and_few():
    constants = [name for name in foldlog.__all__ if name.isupper()]
    classes = [name for name in foldlog.__all__ if name[0].isupper() and not name.isupper()]
    others = [name for name in foldlog.__all__ if name[0].islower()]
    assert foldlog.__all__ == [*sorted(constants), *sorted(classes), *sorted(others)]
    assert len(set(foldlog.__all__)) == len(foldlog.__all__) <= 102


def test_each_name_is_found_where_type_checkers_are_told():
    assert typed_imports() == foldlog._HOME
    assert set(foldlog._HOME) == set(foldlog.__all__)


def test_every_error_is_public():
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert classes <= set(foldlog.__all__)


def test_an_unknown_name_is_refused_by_name():
    with pytest.raises(AttributeError, match=r"'foldlog' has no attribute 'open_logs'"):
        foldlog.open_logs  # noqa: B018
    assert set(foldlog.__all__) <= set(dir(foldlog))


def test_the_changelog_knows_the_version():
    headings = re.findall(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert foldlog.__version__ in headings


def test_importing_foldlog_loads_nothing_else():
    code = "import sys; before = set(sys.modules); import foldlog; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # `from __future__ import annotations` loads that module; it holds a few constants
    assert set(done.stdout.split()) <= {"foldlog", "__future__"}
