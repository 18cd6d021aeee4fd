"""What `job execute` and `asset materialize` share: interrupts, the end of a run for people and scripts, what next.

Exit codes: 0 success, 1 a run failed, 130 after Ctrl-C, 143 after SIGTERM.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from .code_options import CodeChoice
from .kept_apart import kept_apart
from .main import FAILED, OK
from .opening import log_exists
from .options import Target
from .own_traceback import own_error, own_traceback
from .run_display import Display
from .show import clean, line, print_json, say, took

if TYPE_CHECKING:
    from ..execution.result import ExecutionResult
    from ..instance import Instance

TERMINATED: Final = 143
ERRORS_SHOWN: Final = 5  #: failed steps whose traceback is shown; `foldlog runs show` has all


@dataclass(frozen=True)
class Caller:
    """The command line, as far as a command that goes on from it has to repeat it."""

    code: CodeChoice
    target: Target

    def command(self, *words: str, code: bool = False) -> str:
        """A command to type, on the same log and, if asked for, the same code. A password is left out."""
        from ...backends import without_password

        url = ["--url", without_password(self.target.url)] if self.target.source == "--url" else []
        return shlex.join(["foldlog", *words, *(self.code.options() if code else []), *url])

    @property
    def is_kept(self) -> bool:
        """Whether the log outlives this process."""
        return self.target.url.partition(":")[0].lower() != "memory"


class UnderWay(NamedTuple):
    """What is being executed, as it is told when it is interrupted."""

    text: str  #: `run 4f1c`
    go_on: str  #: the command that goes on with it


def guarded(run: Callable[[], int], under_way: Callable[[], UnderWay | None], caller: Caller) -> int:
    """The exit code of an execution. It records interrupts, and here they are told. `under_way`: None: nothing yet."""
    from ..execution.interruption import RunInterrupted, Terminated, ending_on_sigterm

    try:
        with ending_on_sigterm():
            return run()
    except KeyboardInterrupt:
        if (what := under_way()) is not None:
            say(f"interrupted; {what.text} is recorded as canceled", err=True)
            _say_how_to_go_on(what, caller)
        raise
    except Terminated:
        what = under_way()
        recorded = f"; {what.text} is recorded as failed" if what is not None else ""
        say(f"foldlog: told to end (SIGTERM){recorded}", err=True)
        if what is not None:
            _say_how_to_go_on(what, caller)
        return TERMINATED
    except RunInterrupted as interrupt:
        what = under_way()
        say(f"foldlog: {what.text if what else 'the run'} was stopped by somebody else: {interrupt}", err=True)
        return FAILED


def _say_how_to_go_on(what: UnderWay, caller: Caller) -> None:
    if caller.is_kept:
        say(f"what to do: `{what.go_on}` goes on with it.", err=True)


def check_first(target: Target, check: Callable[[Instance], object], *, as_json: bool) -> None:
    """Have what is wanted checked before a log is made: a mistyped option must not leave one behind.

    Where there is none yet, an instance in memory knows as much as the new one would.
    """
    if not log_exists(target):
        from ..instance import Instance

        with kept_apart(as_json), Instance.ephemeral() as instance:
            check(instance)


@contextmanager
def showing(display: Display, *, as_json: bool) -> Iterator[None]:
    """Inside, runs are shown; with `as_json`, nothing but the answer goes to the output."""
    with kept_apart(as_json), display:
        yield


def finish(result: ExecutionResult, display: Display, caller: Caller, *, job: str, as_json: bool) -> int:
    """Tell how one run ended; the exit code."""
    if as_json:
        print_json({"run_id": result.run_id, "job_name": job, **run_document(result, display)})
    else:
        say(summary(result, display, job), "green" if result.success else "red")
    if result.success:
        return OK
    tell_errors(result)
    say(err=True)
    say(f"foldlog: run {result.run_id} of {job_words(job)} failed{_where(result)}", err=True)
    if caller.is_kept:
        shows = f"`{caller.command('runs', 'show', result.run_id)}` shows what happened"
        again = going_on(caller, result.run_id)
        say(f"what to do: {shows}. When the cause is gone, `{again}` goes on from there.", err=True)
    return FAILED


def going_on(caller: Caller, run_id: str) -> str:
    """The command that goes on where a run failed; the run says of which job it is."""
    return caller.command("job", "execute", "--from-failure", run_id, code=True)


def job_words(name: str) -> str:
    """A job as these lines call it."""
    from ..definitions.job_text import ALL_ASSETS

    return "the assets' own job" if name == ALL_ASSETS else f"job {name}"


def summary(result: ExecutionResult, display: Display, job: str) -> str:
    """One line about a run."""
    executed = sum(one.attempts > 0 for one in display.tally.steps)
    steps = f"{executed} step{'' if executed == 1 else 's'}"
    return (
        f"run {result.run_id} of {job_words(job)}: {result.status}, {steps} in {took(int(display.tally.seconds * 1e6))}"
    )


def _where(result: ExecutionResult) -> str:
    keys = list(result.step_errors)
    if not keys:
        return ""
    more = f" and {len(keys) - ERRORS_SHOWN} more" if len(keys) > ERRORS_SHOWN else ""
    return f" in step{'' if len(keys) == 1 else 's'} {', '.join(keys[:ERRORS_SHOWN])}{more}"


def tell_errors(result: ExecutionResult) -> None:
    """What the steps failed with, each with the user's own traceback; on the error stream."""
    errors: Mapping[str, BaseException] = result.step_errors
    for key, error in list(errors.items())[:ERRORS_SHOWN]:
        _tell(f"step {key}", error)
    if not errors and result.error is not None:
        _tell("the run", result.error)


def _tell(what: str, error: BaseException) -> None:
    from ..errors import FoldlogError
    from ..execution.boundary import described

    say(err=True)
    say(line(f"{what} failed with {described(error)}"), err=True)
    own = own_error(error)
    if isinstance(own, FoldlogError) and own.__cause__ is None:
        say(f"what to do: {clean(own.remedy)}", err=True)
    else:
        say(clean(own_traceback(own)), err=True)


def run_document(result: ExecutionResult, display: Display) -> dict[str, Any]:
    """How a run ended, as JSON."""
    return {
        "status": str(result.status),
        "seconds": round(display.tally.seconds, 6),
        "steps": [one.form() for one in display.tally.steps],
        "failures": [{"step_key": key, **_error_form(error)} for key, error in result.step_errors.items()],
        "error": None if result.error is None else _error_form(result.error),
    }


def _error_form(error: BaseException) -> dict[str, str]:
    from ..events.errorinfo import ErrorInfo

    info = ErrorInfo.from_exception(own_error(error))
    return {"error_class": info.class_name, "error_message": info.message}


def excluded(**given: Any) -> None:
    """Raise click.UsageError if more than one of these options is given."""
    chosen = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other; give one of them")
