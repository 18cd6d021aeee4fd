"""The wheel: holds the package and nothing else, and works where the repository is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOT_SHIPPED = (("tests",), ("docs",), ("build",), ("dist",))
DATA = {"": ["py.typed"], "examples": ["*.csv", "*.md"], "migrations": ["*.mako"]}

USE = """
import foldlog, pathlib, sys
assert pathlib.Path(sys.prefix) in pathlib.Path(foldlog.__file__).parents, foldlog.__file__
with foldlog.open_log("sqlite:///./history") as log:
    receipt = log.append("run-1", [foldlog.Event.now(foldlog.events.RunStarted())])
    assert (receipt.shard, receipt.first_seq, receipt.last_seq) == ("run-1", 1, 1), receipt
with foldlog.open_log("sqlite:///./history") as log:
    (record,) = log.read(after=None, limit=10).records
    assert (record.shard, record.seq, record.position) == ("run-1", 1, 1), record
    assert isinstance(record.event.fact, foldlog.events.RunStarted), record
print(foldlog.__version__)
"""


def run(*command: object, cwd: Path) -> str:
    """What a command prints; the tests' own paths are kept from it."""
    gone = ("PYTHONPATH", "PYTHONHOME", "FOLDLOG_TEST_SESSION")
    env = {name: value for name, value in os.environ.items() if name not in gone}
    env |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: a build leaves its own folders behind."""
    copy = tmp_path_factory.mktemp("source") / "any name"
    # pytest's own temporary folder may lie inside the repository, so nothing hidden is copied either
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist"))
    out = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-P", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", out, copy, cwd=out)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    """A venv with foldlog from the wheel; what it depends on is borrowed from the venv of the tests."""
    venv = tmp_path_factory.mktemp("elsewhere") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv.parent)
    purelib = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    site = Path(run(venv / "bin/python", "-c", purelib, cwd=venv).strip())
    # A path that a .pth file names has no say itself: the one that puts the repository on the path is not read.
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = (sys.executable, "-P", "-m", "pip", "--python", venv / "bin/python")
    run(*pip, "install", "--quiet", "--no-deps", "--force-reinstall", wheel, cwd=venv.parent)
    return venv


def packages() -> list[str]:
    """Every folder of the repository that holds modules and is not a test, as a package of foldlog."""
    folders = {path.parent.relative_to(ROOT).parts for path in ROOT.glob("*/**/*.py")} | {()}
    hidden = {folder for folder in folders if any(name.startswith(".") for name in folder)}
    return sorted(".".join(("foldlog", *folder)) for folder in folders - hidden if folder[:1] not in NOT_SHIPPED)


def test_pyproject_lists_every_package():
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == packages()
    assert [path.name for path in sorted(ROOT.glob("*.py"))] == ["__init__.py", "__main__.py"], "these would ship"


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    folders = [ROOT.joinpath(*package.split(".")[1:]) for package in packages()]
    modules = {path.relative_to(ROOT) for folder in folders for path in folder.glob("*.py")}
    data = {path.relative_to(ROOT) for folder, names in DATA.items() for n in names for path in (ROOT / folder).glob(n)}
    assert {path.suffix for path in data} == {".typed", ".csv", ".md", ".mako"}, "some data is gone"
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    about = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    assert names - about == {f"foldlog/{path.as_posix()}" for path in modules | data}
    assert {name.partition("/")[2] for name in about} >= {"METADATA", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_wheel_names_what_it_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode().splitlines()
    needs = [line.partition(": ")[2] for line in metadata if line.startswith("Requires-Dist")]
    assert {need for need in needs if "extra ==" not in need} == set(PROJECT["project"]["dependencies"])
    assert "License-Expression: Apache-2.0" in metadata


def test_an_installed_foldlog_keeps_a_log(elsewhere, wheel, tmp_path):
    version = run(elsewhere / "bin/python", "-c", USE, cwd=tmp_path).strip()
    assert wheel.name.startswith(f"foldlog-{version}-")
    assert (tmp_path / "history").exists()


def test_an_installed_foldlog_has_its_command(elsewhere, tmp_path):
    assert "Usage" in run(elsewhere / "bin/foldlog", "--help", cwd=tmp_path)
    assert "Usage" in run(elsewhere / "bin/python", "-m", "foldlog", "--help", cwd=tmp_path)


def test_an_installed_foldlog_upgrades_a_log(elsewhere, tmp_path):
    """alembic finds its environment and the revisions in the package, wherever that is."""
    with tarfile.open(ROOT / "tests/golden/format1/sharded.tar.gz") as archive:
        archive.extractall(tmp_path / "history", filter="data")
    assert "format 1 to 2" in run(elsewhere / "bin/foldlog", "migrate", "upgrade", cwd=tmp_path)
    assert "nothing to do" in run(elsewhere / "bin/foldlog", "migrate", "status", cwd=tmp_path)
