"""A table of what users write wrongly: for each, exactly what they are told, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from foldlog.engine.errors import UsageError


class Wrongs:
    """Use it as a decorator: `@wrong("the message", "the remedy")`; the function's name says what was done."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[Callable[[], Any], str, str]] = {}

    def __call__(self, message: str, remedy: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        def added(fn: Callable[[], Any]) -> Callable[[], Any]:
            assert fn.__name__ not in self.rows, f"two rows are called {fn.__name__}"
            self.rows[fn.__name__] = (fn, message, remedy)
            return fn

        return added

    def check(self, name: str) -> None:
        """The function of that row is refused in just these words."""
        fn, message, remedy = self.rows[name]
        with pytest.raises(UsageError) as caught:
            fn()
        assert (str(caught.value), caught.value.remedy) == (message, remedy)
