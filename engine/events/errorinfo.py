"""What is recorded of an exception: class, message, stack and causes, as text. Nothing of it is ever run again."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType

import msgspec

from ..errors import FoldlogError

MAX_CAUSES = 8  #: causes that `from_exception` keeps below an error; what lies deeper is left out
MAX_CHAIN = 64  #: causes that may be below an error at all
MAX_FRAMES = 100  #: frames kept of one stack: the first and the last halves of these
MAX_TEXT = 20_000  #: characters kept of one message or frame
CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
LEFT_OUT = "... {} left out ...\n"


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An exception as text. `str(info)` prints like a traceback, the cause first."""

    class_name: str  #: qualified by its module, but for built-in ones: `ValueError`, `requests.Timeout`
    message: str
    stack: tuple[str, ...] = ()  #: frames as text, oldest call first, each ending in a newline
    cause: ErrorInfo | None = None  #: what it was raised from, or while handling

    def __post_init__(self) -> None:
        # Decoding goes as deep as the chain; without a bound, one could be stored that a reader has no stack for.
        if self.cause is not None and sum(1 for _ in self.causes()) > MAX_CHAIN + 1:
            raise ValueError(f"more than {MAX_CHAIN} causes below an error")

    @classmethod
    def from_exception(
        cls, error: BaseException, *, max_causes: int = MAX_CAUSES, called_by: str | None = None
    ) -> ErrorInfo:
        """What is worth keeping of `error`. Its notes, and the exceptions of a group, follow its message.

        `called_by`: the beginning of the names of modules whose frames are left out before the first of others: what
        has called the code that is to blame.

        Follows `__cause__`, else `__context__` unless suppressed, to `max_causes` below `error` (at most 64); a circle
        ends where it closes. Frames beyond `MAX_FRAMES` and text beyond `MAX_TEXT` are cut, with a note in their
        place. Lone surrogates become `?`. Never raises, whatever the exception's `__str__` does.
        """
        *above, last = _chain(error, min(max_causes, MAX_CHAIN))
        info = cls._of(last, None, called_by)
        for one in reversed(above):
            info = cls._of(one, info, called_by)
        return info

    @classmethod
    def _of(cls, error: BaseException, cause: ErrorInfo | None, called_by: str | None) -> ErrorInfo:
        stack = _stack(_inner(error.__traceback__, called_by))
        return cls(class_name=_class_name(error), message=_message(error), stack=stack, cause=cause)

    def causes(self) -> Iterator[ErrorInfo]:
        """This error, then its cause, and so on."""
        info: ErrorInfo | None = self
        while info is not None:
            yield info
            info = info.cause

    def __str__(self) -> str:
        return CAUSED.join(_print(info) for info in reversed(list(self.causes())))


def _chain(error: BaseException, max_causes: int) -> list[BaseException]:
    chain, seen = [error], {id(error)}
    while len(chain) <= max_causes:
        last = chain[-1]
        below = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if below is None or id(below) in seen:
            break
        chain.append(below)
        seen.add(id(below))
    return chain


def _class_name(error: BaseException) -> str:
    kind = type(error)
    return clean(kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}")


def _message(error: BaseException) -> str:
    try:
        return clean("\n".join([str(error), *_more(error)]))
    except Exception as trouble:  # an exception of users may fail to print; that must not hide it
        return f"<no message: str() raised {type(trouble).__name__}>"


def _more(error: BaseException) -> Iterator[str]:
    """The notes of an exception, and those that it groups."""
    notes = getattr(error, "__notes__", ())
    if isinstance(error, FoldlogError) and not error.has_own_remedy:
        notes = notes[1:]  # what its class says of every such error is no news here
    yield from (str(note) for note in notes)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions[:MAX_CAUSES]:
            yield f"- {_class_name(one)}: {_message(one)}".replace("\n", "\n  ")
        if len(error.exceptions) > MAX_CAUSES:
            yield LEFT_OUT.format(len(error.exceptions) - MAX_CAUSES).rstrip()


def _inner(stack: TracebackType | None, called_by: str | None) -> TracebackType | None:
    """The stack from where the code begins that was called; all of it, if there is no other code."""
    rest = stack
    while called_by is not None and rest is not None:
        if not str(rest.tb_frame.f_globals.get("__name__", "")).startswith(called_by):
            return rest
        rest = rest.tb_next
    return stack


def _stack(stack: TracebackType | None) -> tuple[str, ...]:
    try:
        frames = [clean(frame) for frame in traceback.format_tb(stack)]
    except Exception as trouble:  # source that cannot be read, a broken line cache
        return (f"<no stack: {type(trouble).__name__}>\n",)
    over = len(frames) - MAX_FRAMES
    if over > 0:
        half = MAX_FRAMES // 2
        frames[half:-half] = [LEFT_OUT.format(f"{over} frames")]
    return tuple(frames)


def clean(text: str) -> str:
    """`text` as it can be stored: UTF-8, at most `MAX_TEXT` characters."""
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + LEFT_OUT.format(f"{len(text) - MAX_TEXT} characters")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _print(info: ErrorInfo) -> str:
    head = "Traceback (most recent call last):\n" if info.stack else ""
    return f"{head}{''.join(info.stack)}{info.class_name}{': ' if info.message else ''}{info.message}\n"
