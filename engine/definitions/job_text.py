"""What jobs are called in messages: the one of the assets that no job names has no name of its own."""

from __future__ import annotations

from typing import Final

ALL_ASSETS: Final = "__ASSET_JOB"  #: the job of assets that no job names, as runs record it


def job_text(name: str) -> str:
    """`job 'nightly'`, or, of the job that `materialize` makes, `the assets' own job`."""
    return "the assets' own job" if name == ALL_ASSETS else f"job {name!r}"
