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
from ..events.errorinfo import ErrorInfo
from ..events.log import EngineEvent
from ..events.resource import ResourceInitFailed, ResourceInitStarted, ResourceInitSucceeded
from .boundary import user_code_error_boundary
from .contexts import InitResourceContext
from .interruption import RunInterrupted
from .run_context import RunContext

logger = logging.getLogger("foldlog.execution")


@contextmanager
def ready_resources(run: RunContext) -> Iterator[None]:
    """Inside, `run.resources` has all that the plan needs. Raises UserCodeError for one that cannot be made ready."""
    keys = tuple(run.config.resources)
    begun: list[tuple[str, Generator[Any, None, None]]] = []
    durations: dict[str, int] = {}
    try:
        if keys:
            run.recorder.hold(ResourceInitStarted(resource_keys=keys))
        try:
            for key, config in run.config.resources.items():
                since = time.monotonic()
                run.resources[key] = _make(run, key, run.job.resource_defs[key], config, begun)
                durations[key] = int((time.monotonic() - since) * 1e6)
        except BaseException as error:  # an interrupt, too: that they were being made ready has to have an end
            info = ErrorInfo.from_exception(error)
            run.recorder.hold(ResourceInitFailed(resource_keys=keys, error=info))
            raise
        if keys:
            run.recorder.hold(ResourceInitSucceeded(resource_keys=keys, durations_us=durations))
        yield
    finally:
        _tear_down_all(run, begun)


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
    with user_code_error_boundary(msg_fn=lambda: f"resource {key!r} could not be made ready"):
        made = definition.fn(context, **given) if definition.takes_context else definition.fn(**given)
        if not definition.is_generator:
            return made
        begun.append((key, made))  # before it begins: an interrupt may come right behind its yield
        try:
            value = next(made)
        except StopIteration:
            raise UserCodeError(f"resource {key!r}: its function ended without a yield") from None
    return value


def _tear_down_all(run: RunContext, begun: list[tuple[str, Generator[Any, None, None]]]) -> None:
    """The last one first. An interrupt ends the tear-down that it comes into, and passes on when all had their turn."""
    interrupts: list[BaseException] = []
    for key, generator in reversed(begun):
        if inspect.getgeneratorstate(generator) != inspect.GEN_SUSPENDED:
            continue  # its set-up failed
        try:
            _tear_down(run, key, generator)
        except (KeyboardInterrupt, RunInterrupted) as interrupt:
            text = f"resource {key!r} was being torn down when the run was interrupted"
            run.recorder.hold(EngineEvent(text=text, error=ErrorInfo.from_exception(interrupt)))
            interrupts.append(interrupt)
    if interrupts:
        raise interrupts[0]


def _tear_down(run: RunContext, key: str, generator: Generator[Any, None, None]) -> None:
    try:
        with user_code_error_boundary(msg_fn=lambda: f"resource {key!r} could not be torn down"):
            next(generator, None)
            generator.close()
    except (FoldlogError, SystemExit) as error:
        run.recorder.hold(EngineEvent(text=str(error), error=ErrorInfo.from_exception(error)))
        logger.warning("run %s: %s", run.run_id, error)
