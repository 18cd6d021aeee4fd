"""Options that say which code is meant, and what it defines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from ..errors import UsageError
from .kept_apart import kept_apart
from .show import clean, say

if TYPE_CHECKING:
    from ..definitions.definitions import Definitions

F = TypeVar("F", bound=Callable[..., Any])


class CodeChoice(NamedTuple):
    """The code that a command line names; nothing: what [tool.foldlog] of pyproject.toml says."""

    module: str | None
    file: str | None
    attribute: str | None

    def definitions(self, *, as_json: bool = False) -> Definitions:
        """What it defines. `as_json`: what the code prints while it loads goes to the error stream.

        Raises UsageError for code that is not there, or fails while it is imported.
        """
        from ..definitions.gathering import definitions_of
        from ..definitions.loading import load_module
        from .own_traceback import own_traceback

        try:
            with kept_apart(as_json):
                # A function of the code may import what lies beside it when it is called.
                code = load_module(self.module, self.file, self.attribute, stays_importable=True)
        except UsageError as error:
            cause = error.__cause__
            if isinstance(cause, Exception) and not isinstance(cause, UsageError | ModuleNotFoundError):
                say(clean(own_traceback(cause)), err=True)
                error.remedy = "Correct the code there; its traceback is above."
            raise
        return definitions_of(code)

    def options(self) -> list[str]:
        """The options that name it, as they are typed."""
        pairs = (("-m", self.module), ("-f", self.file), ("--attribute", self.attribute))
        return [word for option, given in pairs if given is not None for word in (option, given)]


def code_options(function: F) -> F:
    """`-m`, `-f` and `--attribute`, handed to the command as `code: CodeChoice`."""
    from functools import wraps

    @wraps(function)
    def with_code(*args: Any, module: str | None, file: str | None, attribute: str | None, **rest: Any) -> Any:
        if module is not None and file is not None:
            raise click.UsageError("-m and -f exclude each other; give one of them")
        return function(*args, code=CodeChoice(module, file, attribute), **rest)

    wrapped: Any = with_code
    for option in (
        click.option("--attribute", metavar="NAME", help="The Definitions, job or assets in it that are meant."),
        click.option("-f", "--file", metavar="FILE", help="The code: a Python file."),
        click.option("-m", "--module", metavar="MODULE", help="The code: a module, by its dotted name."),
    ):
        wrapped = option(wrapped)
    found: F = wrapped
    return found
