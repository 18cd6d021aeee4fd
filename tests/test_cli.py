"""The command line: what people see, what scripts read, exit codes, pipes, and wrong input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import foldlog
from foldlog import events
from foldlog.engine.cli.main import COMMANDS, cli

FOLDLOG = (sys.executable, "-P", "-m", "foldlog")
TYPES = ("RUN_CREATED", "RUN_START", "STEP_START", "LOG_MESSAGE", "ASSET_MATERIALIZATION", "STEP_SUCCESS", "RUN_SUCCESS")


@pytest.fixture
def url(tmp_path):
    """A log with two good runs and one that failed."""
    url = f"sqlite:///{tmp_path}/history"
    with foldlog.Instance.from_url(url) as instance:
        for number in range(3):
            report(instance, f"{number}0000000-0000-4000-8000-000000000000", fails=number == 2)
    return url


def report(instance, run_id, *, fails=False):
    try:
        with instance.run("nightly", run_id=run_id, tags={"team": "growth"}) as run:
            with run.step("extract") as step:
                step.log("reading \x1b[31mred\x1b[0m rows")
                if fails:
                    raise ValueError("row 7 is no row")
                step.materialize("raw/orders", partition="2026-11-20", metadata={"rows": 42, "share": float("nan")})
    except ValueError:
        assert fails


def invoke(*args, **more):
    """In this process: exit code, output, errors."""
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="foldlog", **more)


def answer(*args):
    """What a command prints with --json."""
    done = invoke(*args, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def call(*args, cwd=None, code=0, env=None, stdin=None):
    """In a process of its own, as people run it."""
    done = subprocess.run(
        [*FOLDLOG, *map(str, args)], cwd=cwd, env=os.environ | (env or {}), input=stdin, capture_output=True, text=True
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
