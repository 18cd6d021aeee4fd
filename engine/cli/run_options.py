"""Options of commands that execute: run config, tags, what is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .code_options import code_options
from .options import json_option, log_option

F = TypeVar("F", bound=Callable[..., Any])


def run_options(function: F) -> F:
    """`code`, `configs`, `tags`, `plain`, `silent`, `as_json` and `target`, handed to the command."""
    for option in (
        log_option,
        json_option("One JSON document when it is over"),
        click.option("--no-progress", "silent", is_flag=True, help="Show nothing while it goes on."),
        click.option("--plain", is_flag=True, help="A line an event, as in a pipe, also on a terminal."),
        click.option(
            "--tags",
            "tags",
            multiple=True,
            metavar="KEY=VALUE",
            callback=lambda ctx, parameter, given: tags_of(given),
            help="Tags of the run, also as one JSON object; may be repeated.",
        ),
        click.option(
            "-c",
            "--config",
            "configs",
            multiple=True,
            metavar="FILE.yaml",
            help="Run config; of several files, a later one goes over an earlier.",
        ),
        code_options,
    ):
        function = option(function)
    return function


def tags_of(given: tuple[str, ...]) -> dict[str, str]:
    """Tags of `KEY=VALUE` and JSON objects. Raises BadParameter for what is neither."""
    found: dict[str, str] = {}
    for text in given:
        found |= _object(text) if text.lstrip().startswith("{") else _pair(text)
    return found


def _pair(text: str) -> dict[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise click.BadParameter(f'{text!r} is not KEY=VALUE, nor a JSON object such as \'{{"team": "growth"}}\'')
    return {key: value}


def _object(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise click.BadParameter(f"{text!r} is no JSON object")
    for key, value in found.items():
        if not isinstance(value, str):
            raise click.BadParameter(f"the tag {key!r} is {json.dumps(value)}, no text; write {json.dumps(str(value))}")
    return found
