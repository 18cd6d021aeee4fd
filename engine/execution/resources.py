"""Resources of a run: made ready before its steps, torn down after them, the last one first.

Promises: what was made ready is torn down, also when another resource, a step or an interrupt ended the run; a
tear-down that raises is recorded, keeps no other from being torn down, and changes nothing about the run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from ..definitions.resource import ResourceDefinition
from ..definitions.typed_config import Config
from ..errors import UserCodeError
from ..events.errorinfo import ErrorInfo
from ..events.log import EngineEvent
from ..events.resource import ResourceInitFailed, ResourceInitStarted, ResourceInitSucceeded
from .boundary import user_code_error_boundary
from .contexts import InitResourceContext
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
        except UserCodeError as error:
            info = ErrorInfo.from_exception(error)
            run.recorder.hold(ResourceInitFailed(resource_keys=keys, error=info))
            raise
        if keys:
            run.recorder.hold(ResourceInitSucceeded(resource_keys=keys, durations_us=durations))
        yield
    finally:
        for key, generator in reversed(begun):
            _tear_down(run, key, generator)


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
        try:
            value = next(made)
        except StopIteration:
            raise UserCodeError(f"resource {key!r}: its function ended without a yield") from None
    begun.append((key, made))
    return value


def _tear_down(run: RunContext, key: str, generator: Generator[Any, None, None]) -> None:
    try:
        with user_code_error_boundary(msg_fn=lambda: f"resource {key!r} could not be torn down"):
            next(generator, None)
    except UserCodeError as error:
        run.recorder.hold(EngineEvent(text=str(error), error=ErrorInfo.from_exception(error)))
        logger.warning("run %s: %s", run.run_id, error)
    finally:
        generator.close()
