"""Resources of a run: made ready before its steps, torn down after them, the last one first.

Promises: what was made ready is torn down, also when another resource, a step or an interrupt ended the run; a
tear-down that raises is recorded, keeps no other from being torn down, and changes nothing about the run.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from ..definitions.resource import ResourceDefinition
from ..definitions.typed_config import Config
from ..errors import FoldlogError, UserCodeError
from ..events.errorinfo import clean
from ..events.log import EngineEvent
from ..events.resource import ResourceInitFailed, ResourceInitStarted, ResourceInitSucceeded
from ..reporting.interrupts import handled
from .boundary import described, error_info, user_code_error_boundary
from .contexts import InitResourceContext
from .run_context import RunContext
from .values import io_manager

logger = logging.getLogger("foldlog.execution")


class ResourceUnready(UserCodeError):
    """A resource could not be made ready, so no step was executed."""


@contextmanager
def ready_resources(run: RunContext) -> Iterator[None]:
    """Inside, `run.resources` has all that the plan needs. Raises ResourceUnready for one that cannot be made."""
    begun: list[tuple[str, Generator[Any, None, None]]] = []
    try:
        _make_all(run, tuple(run.config.resources), begun)
        yield
    except BaseException as error:
        handled(error)
        raised = _tear_down_all(run, begun)
        if raised and isinstance(error, Exception):
            raise raised[0] from error
        raise
    if raised := _tear_down_all(run, begun):
        raise raised[0]


def _make_all(run: RunContext, keys: tuple[str, ...], begun: list[tuple[str, Generator[Any, None, None]]]) -> None:
    """Make them, in their order."""
    if not keys:
        return
    run.recorder.hold(ResourceInitStarted(resource_keys=keys))
    try:
        if any(_is_of_users(run.job.resource_defs[key]) for key in keys):
            run.recorder.release()  # it may take its time, and people should see what the run is at
        durations = _make_each(run, keys, begun)
    except BaseException as error:  # an interrupt, too: that they were being made ready has to have an end
        handled(error)
        run.recorder.hold(ResourceInitFailed(resource_keys=keys, error=error_info(error)))
        raise
    run.recorder.hold(ResourceInitSucceeded(resource_keys=keys, durations_us=durations))


def _make_each(
    run: RunContext, keys: tuple[str, ...], begun: list[tuple[str, Generator[Any, None, None]]]
) -> dict[str, int]:
    """How long each took, in microseconds."""
    durations: dict[str, int] = {}
    io_managers = _io_manager_keys(run)
    for key in keys:
        since = time.monotonic()
        try:
            run.resources[key] = _make(run, key, run.job.resource_defs[key], run.config.resources[key], begun)
            if key in io_managers:
                io_manager(run, key)  # no step should work for an hour, and then have nowhere to put it
        except FoldlogError as error:
            unready = _unready(key, error)
            raise unready from unready.__cause__
        durations[key] = int((time.monotonic() - since) * 1e6)
    return durations


def _io_manager_keys(run: RunContext) -> set[str]:
    """The resources that keep or load values of the run's steps."""
    steps = run.plan.steps.values()
    keep = {out.io_manager_key for step in steps for out in step.outs.values() if out.is_kept}
    return keep | {key for step in steps for one in step.inputs if (key := one.definition.input_manager_key)}


def _unready(key: str, error: FoldlogError) -> ResourceUnready:
    """What foldlog itself raised in a resource's function says nothing of the resource."""
    if isinstance(error, ResourceUnready):
        return error
    unready = ResourceUnready(f"resource {key!r} could not be made ready: {described(error)}")
    unready.__cause__ = error
    return unready


def _is_of_users(definition: ResourceDefinition) -> bool:
    return not str(getattr(definition.fn, "__module__", None)).startswith("foldlog.")


def _make(
    run: RunContext,
    key: str,
    definition: ResourceDefinition,
    config: Config | None,
    begun: list[tuple[str, Generator[Any, None, None]]],
) -> Any:
    given: dict[str, Any] = {name: run.resources[name] for name in definition.resources}
    if definition.config_type is not None:
        given["config"] = config
    context = InitResourceContext(run, key, definition.required_resource_keys, config)
    with user_code_error_boundary(ResourceUnready, lambda: f"resource {key!r} could not be made ready"):
        made = definition.fn(context, **given) if definition.takes_context else definition.fn(**given)
        if not definition.is_generator:
            return made
        begun.append((key, made))  # before it begins: an interrupt may come right behind its yield
        try:
            value = next(made)
        except StopIteration:
            raise ResourceUnready(f"resource {key!r}: its function ended without a yield") from None
    return value


def _tear_down_all(run: RunContext, begun: list[tuple[str, Generator[Any, None, None]]]) -> list[BaseException]:
    """The last one first; what was raised that is no failure of a tear-down, as interrupts. Such a thing ends the
    tear-down that it comes into; all others have their turn."""
    raised: list[BaseException] = []
    notes: list[EngineEvent] = []
    try:
        if begun:
            run.recorder.release()  # what the last step has made should not wait for a tear-down, nor be lost with it
    except BaseException as error:
        handled(error)
        raised.append(error)
    for key, generator in reversed(begun):
        # Once more, if an interrupt came before its code went on. Of one whose set-up failed, nothing is left to do.
        for _ in range(3):
            if inspect.getgeneratorstate(generator) != inspect.GEN_SUSPENDED:
                break
            try:
                _tear_down(run, key, generator)
                break
            except BaseException as error:
                handled(error)
                raised.append(error)
                text = f"resource {key!r} was being torn down when the run was interrupted"
                notes.append(EngineEvent(text=text, error=error_info(error)))
    for note in notes:
        run.recorder.hold(note)
    return raised


def _tear_down(run: RunContext, key: str, generator: Generator[Any, None, None]) -> None:
    try:
        with user_code_error_boundary(msg_fn=lambda: f"resource {key!r} could not be torn down"):
            for _ in generator:
                generator.close()
                raise UserCodeError(f"resource {key!r}: its function yields more than once")
    except (FoldlogError, SystemExit) as error:
        text = clean(f"resource {key!r} was not torn down well: {described(error)}")
        run.recorder.hold(EngineEvent(text=text, error=error_info(error)))
        logger.warning("run %s: %s", run.run_id, text)
