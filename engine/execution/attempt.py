"""One attempt at a step: its inputs are loaded, its function is called, what it gives is kept and recorded.

Promises: STEP_START is durable before any code of the user runs. The step's end is held and recorded with what comes
next, in one append. Whatever the user's code raises ends the attempt, and nothing else.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from ..definitions.hook import HookDefinition
from ..definitions.inout import RESULT, DynamicOutput, ExpectationResult, Out, Output
from ..definitions.results import NO_VALUE, AssetCheckResult, MaterializeResult, ObserveResult
from ..definitions.retry import Failure, RetryRequested
from ..errors import FoldlogError, UsageError, UserCodeError
from ..events.asset import AssetMaterialization, AssetObservation
from ..events.check import AssetCheckEvaluation
from ..events.errorinfo import clean
from ..events.event import Fact
from ..events.hook import HookCompleted, HookErrored, HookSkipped
from ..events.key import AssetCheckKey, AssetKey
from ..events.metadata import MetadataValue, to_metadata
from ..events.step import (
    HandledOutput,
    StepExpectationResult,
    StepFailed,
    StepOutput,
    StepRestarted,
    StepStarted,
    StepSucceeded,
    StepUpForRetry,
)
from ..reporting.lines import step_here
from .boundary import described, error_info, shown, user_code_error_boundary
from .contexts import HookContext, StepExecutionContext
from .frontier import Instance, Outcome
from .run_context import RunContext, partition_of_check
from .types import check_type, hands_on_nothing
from .values import Loader, io_manager, output_context

Outputs = dict[str, tuple[str, ...] | None]


class Ended(NamedTuple):
    """How an attempt ended."""

    outcome: Outcome | None  #: None: it is to be tried again
    outputs: Outputs  #: those that came; of dynamic ones, their keys
    error: BaseException | None = None  #: the user's own
    wait_s: float = 0.0  #: before the next attempt


def attempt(run: RunContext, instance: Instance, number: int) -> Ended:
    """Make one attempt at a step. An interrupt is recorded as the step's failure, and goes on."""
    return _Attempt(run, instance, number).make()


class _Attempt:
    def __init__(self, run: RunContext, instance: Instance, number: int) -> None:
        self._run = run
        self._instance = instance
        self._number = number
        self._context = StepExecutionContext(run, instance, number)
        self._loader = Loader(run, instance, self._context)
        self._came: dict[str, list[str] | None] = {}  #: outputs; of dynamic ones, the keys
        self._done: set[str] = set()  #: names of outputs
        self._checked: dict[AssetCheckKey, AssetCheckResult] = {}
        self._since = time.monotonic()

    def make(self) -> Ended:
        first = self._number == 1
        started = StepStarted() if first else StepRestarted(attempt=self._number)
        token = step_here.set((self._run.recorder, self._instance.key))
        try:
            # Nothing of the user's runs before this is on disk: what a killed process was at can be told from the log.
            # Where it cannot be recorded, the run cannot go on: that is no failure of the step.
            self._uninterrupted(lambda: self._run.recorder.record([started], step_key=self._instance.key))
            self._since = time.monotonic()
            try:
                self._uninterrupted(self._run.interruption.check)
                self._uninterrupted(self._work)
            except (Exception, SystemExit) as error:  # sys.exit() in a step ends the step, not the program around it
                return self._failed(error)
            return self._succeeded()
        finally:
            step_here.reset(token)

    def _uninterrupted(self, deed: Callable[[], object]) -> None:
        """Do it; an interrupt that comes meanwhile is recorded as the step's failure, and goes on."""
        try:
            deed()
        except (Exception, SystemExit):
            raise
        except BaseException as error:
            self._hold(
                StepFailed(attempt=self._number, error=error_info(error), source="INTERRUPT", duration_us=self._took())
            )
            raise

    # -- the work -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        arguments = self._loader.load_all()
        op = self._instance.step.op
        arguments |= {key: self._run.resources[key] for key in op.signature.resources}
        if op.signature.config_type is not None:
            arguments["config"] = self._run.config.ops[self._instance.step.path]
        positional = (self._context,) if op.signature.takes_context else ()
        with user_code_error_boundary(StepCodeError, self._what):
            given = op.fn(*positional, **arguments)
            if inspect.isgenerator(given):
                # Taken one by one, so that the step fails where its function does, with what came before recorded.
                while (one := next(given, _END)) is not _END:
                    self._take(one)
                    self._run.recorder.release()
            else:
                for one in self._returned(given):
                    self._take(one)
        self._check_complete()

    def _what(self) -> str:
        return f"the code of step {self._instance.key}"

    def _returned(self, given: Any) -> Iterator[Any]:
        """What a function that does not yield gave, one output at a time."""
        outs = self._instance.step.outs
        if isinstance(given, _WRAPPED):
            yield given
        elif isinstance(given, list | tuple) and given and all(isinstance(one, _WRAPPED) for one in given):
            yield from given
        elif self._is_check and isinstance(given, bool):
            yield AssetCheckResult(passed=given)
        elif not outs:
            if given is not None:
                raise UserCodeError(
                    f"step {self._instance.key} has no outputs, and its function returned {shown(given)}"
                )
        elif len(outs) == 1:
            (name, out), *_ = outs.items()
            yield from self._single(name, out, given)
        else:
            yield from self._several(given)

    def _single(self, name: str, out: Out, given: Any) -> Iterator[Output]:
        if out.is_dynamic:
            if given is None or given == []:
                return  # none came, which is no fault
            raise UserCodeError(
                f"step {self._instance.key}: its output {name!r} is dynamic, and its function returned {shown(given)}; "
                "wanted DynamicOutput(value, mapping_key=...), one for each"
            )
        if given is None and not self._wants(name, out):
            return  # it stays away
        yield Output(given, name)

    def _several(self, given: Any) -> Iterator[Output]:
        outs = self._instance.step.outs
        making = self._instance.step.node.making
        names = [name for name in outs if making is None or making.key_of_output(name) is not None]
        if given is None and all(hands_on_nothing(outs[name].annotation) for name in names):
            given = (None,) * len(names)
        if not isinstance(given, tuple) or len(given) != len(names):
            raise UserCodeError(
                f"step {self._instance.key} has {len(names)} outputs ({', '.join(names)}), and its function returned "
                f"{shown(given)}; wanted a tuple of {len(names)}, or an Output yielded for each"
            )
        for name, value in zip(names, given, strict=True):
            if isinstance(value, Output):
                yield _named_as(value, name)
            else:
                yield from self._single(name, outs[name], value)

    @property
    def _is_check(self) -> bool:
        making = self._instance.step.node.making
        return making is not None and not making.definition.specs

    # -- what it gives ------------------------------------------------------------------------------------------

    def _take(self, one: Any) -> None:
        """Take in one thing that the function gave."""
        match one:
            case Output():
                self._output(one)
            case MaterializeResult():
                self._materialized(one)
            case AssetCheckResult():
                self._check(one)
            case ObserveResult():
                self._hold_checked(
                    AssetObservation(
                        asset_key=self._asset(one.asset_key),
                        partition=self._partition(),
                        metadata=to_metadata(one.metadata),
                        tags=dict(one.tags),
                        data_version=one.data_version,
                    )
                )
            case ExpectationResult():
                self._hold_checked(
                    StepExpectationResult(
                        success=one.success,
                        label=one.label,
                        description=one.description,
                        metadata=to_metadata(one.metadata),
                    )
                )
            case AssetMaterialization() | AssetObservation():
                self._hold_checked(one)
                self._run.planned.take_in([one])
            case _:
                raise UserCodeError(
                    f"step {self._instance.key} yielded {shown(one)}; wanted an Output, DynamicOutput, "
                    "MaterializeResult, AssetCheckResult, ExpectationResult, AssetMaterialization or AssetObservation"
                )

    def _output(self, one: Output) -> None:
        name, key = self._named(one)
        out = self._instance.step.outs[name]
        making = self._instance.step.node.making
        if making is not None and making.key_of_output(name) is None:
            raise UserCodeError(
                f"step {self._instance.key}: the output {name!r} is not among those that this run asked for"
            )
        self._context.output_came(name, key)
        verdict = check_type(out.annotation, one.value)
        metadata = {**self._context.output_metadata(name, key), **to_metadata(one.metadata)}
        self._hold_checked(
            StepOutput(output_name=name, mapping_key=key, type_check=verdict, metadata={} if making else metadata)
        )
        if not verdict.success:
            raise UserCodeError(f"step {self._instance.key}: its output {name!r}: {verdict.description}")
        added = self._keep(name, key, one.value)
        if making is not None and (asset := making.key_of_output(name)) is not None:
            self._made(asset, {**metadata, **(added or {})}, data_version=one.data_version, tags=one.tags)
        if added is not None:
            self._hold_checked(
                HandledOutput(output_name=name, manager_key=out.io_manager_key, mapping_key=key, metadata=added)
            )

    def _named(self, one: Output) -> tuple[str, str | None]:
        """The name and the mapping key of an output. Raises UserCodeError for one that must not come, or not again."""
        outs, name = self._instance.step.outs, one.output_name
        if name not in outs and name == RESULT and len(outs) == 1:
            name = next(iter(outs))
        if name not in outs:
            raise UserCodeError(
                f"step {self._instance.key} has no output {name!r}; it has: {', '.join(outs) or 'none'}"
            )
        key = one.mapping_key if isinstance(one, DynamicOutput) else None
        if outs[name].is_dynamic is not isinstance(one, DynamicOutput):
            wanted = "DynamicOutput" if outs[name].is_dynamic else "Output"
            raise UserCodeError(
                f"step {self._instance.key}: its output {name!r} wants {wanted}, not {type(one).__name__}"
            )
        before = self._came.setdefault(name, [] if key is not None else None)
        if before is None and key is None and name in self._done:
            raise UserCodeError(f"step {self._instance.key} gave its output {name!r} twice")
        if before is not None and key is not None:
            if key in before:
                raise UserCodeError(f"step {self._instance.key} gave two values of {name!r} under the key {key!r}")
            before.append(key)
        self._done.add(name)
        return name, key

    def _keep(self, name: str, key: str | None, value: Any) -> dict[str, MetadataValue] | None:
        """Hand the value to its IO manager; what that says of it. None if there is nothing to keep."""
        out = self._instance.step.outs[name]
        if hands_on_nothing(out.annotation):
            return None
        manager = io_manager(self._run, out.io_manager_key)
        context = output_context(self._run, self._instance, self._context, name, key)
        with user_code_error_boundary(msg_fn=lambda: f"{context.shown} could not be kept by {out.io_manager_key}"):
            manager.handle_output(context, value)
        return dict(context.added_metadata)

    # -- assets -------------------------------------------------------------------------------------------------

    def _asset(self, given: Any) -> AssetKey:
        """The asset that a result is of."""
        making = self._instance.step.node.making
        keys = making.asset_keys if making is not None else ()
        if given is None:
            if len(keys) != 1:
                raise UserCodeError(f"step {self._instance.key} makes {len(keys)} assets: say which, with asset_key=")
            return keys[0]
        key = AssetKey.of(given)
        if key not in keys:
            raise UserCodeError(
                f"step {self._instance.key} is not to make {key}; it makes: {', '.join(map(str, keys)) or 'none'}"
            )
        return key

    def _partition(self) -> str | None:
        making = self._instance.step.node.making
        return self._run.partition_of(making.definition) if making is not None else None

    def _materialized(self, one: MaterializeResult) -> None:
        asset = self._asset(one.asset_key)
        making = self._instance.step.node.making
        name = making.definition.output_of(asset) if making is not None else RESULT
        value = None if one.value is NO_VALUE else one.value
        if one.value is not NO_VALUE or hands_on_nothing(self._instance.step.outs[name].annotation):
            self._output(Output(value, name, metadata=one.metadata, data_version=one.data_version, tags=one.tags))
        else:
            self._named(Output(None, name))
            metadata = {**self._context.output_metadata(name), **to_metadata(one.metadata)}
            self._made(asset, metadata, data_version=one.data_version, tags=one.tags)
        for result in one.check_results:
            self._check(result, asset)

    def _made(
        self, asset: AssetKey, metadata: dict[str, MetadataValue], *, data_version: str | None, tags: Mapping[str, str]
    ) -> None:
        """Record that an asset was made."""
        making = self._instance.step.node.making
        spec = making.definition.specs[asset] if making is not None else None
        code_version = spec.code_version if spec is not None else None
        versions = self._loader.input_versions
        version = data_version or self._run.data_version(code_version, versions)
        partition = self._partition()
        fact = AssetMaterialization(
            asset_key=asset,
            partition=partition,
            metadata=metadata,
            tags={**(dict(spec.tags) if spec is not None else {}), **tags},
            code_version=code_version,
            data_version=version,
            description=spec.description if spec is not None else None,
            input_data_versions=dict(versions),
            input_positions=dict(self._loader.input_positions),
        )
        self._hold_checked(fact)
        self._run.data_versions[asset, partition] = version
        self._run.planned.take_in([fact])

    def _check(self, one: AssetCheckResult, asset: AssetKey | None = None) -> None:
        making = self._instance.step.node.making
        known = making.definition.checks if making is not None else {}
        key = _check_key(self._instance.key, one, asset, list(known))
        if key in self._checked:
            raise UserCodeError(f"step {self._instance.key} said twice how the check {key} came out")
        partition = partition_of_check(self._run.job, key.asset_key, self._run.partition_key)
        target = self._run.target(key.asset_key, partition)
        self._hold_checked(
            AssetCheckEvaluation(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=one.passed,
                severity=one.severity,
                blocking=known[key].blocking,
                partition=partition,
                description=one.description,
                metadata=to_metadata(one.metadata),
                target_position=target[0],
                target_run_id=target[1],
            )
        )
        self._checked[key] = one

    # -- the end ------------------------------------------------------------------------------------------------

    def _wants(self, name: str, out: Out) -> bool:
        making = self._instance.step.node.making
        return making.wanted(name, out) if making is not None else out.is_required

    def _check_complete(self) -> None:
        """Raise UserCodeError for an output or a check that should have come."""
        step = self._instance.step
        for name, out in step.outs.items():
            if name in self._done:
                continue
            if out.is_dynamic:
                self._came[name] = []
            elif self._wants(name, out):
                if not hands_on_nothing(out.annotation):
                    raise UserCodeError(f"step {self._instance.key} did not give its output {name!r}")
                self._output(Output(None, name))
        making = step.node.making
        for key in making.check_keys if making is not None else ():
            if key not in self._checked:
                raise UserCodeError(f"step {self._instance.key} did not say how the check {key} came out")
        for key, result in self._checked.items():
            if (
                making is not None
                and making.definition.checks[key].blocking
                and not result.passed
                and result.severity == "ERROR"
            ):
                raise UserCodeError(f"the check {key} did not pass, and blocks what lies downstream")

    def _succeeded(self) -> Ended:
        self._hold(StepSucceeded(attempt=self._number, duration_us=self._took()))
        self._call_hooks("success", None)
        return Ended(
            Outcome.SUCCESS, {name: None if keys is None else tuple(keys) for name, keys in self._came.items()}
        )

    def _failed(self, error: BaseException) -> Ended:
        own = _own(error)
        wait_s = self._retry_wait(own)
        if wait_s is not None:
            self._hold_end(partial(StepUpForRetry, wait_us=int(wait_s * 1e6)), own)
            return Ended(None, {}, own, wait_s)
        source = (
            "FRAMEWORK"
            if isinstance(own, FoldlogError) and not isinstance(own, UserCodeError | UsageError)
            else "USER_CODE"
        )
        self._hold_end(partial(StepFailed, source=source, duration_us=self._took()), own)
        self._call_hooks("failure", own)
        return Ended(Outcome.FAILURE, {}, own)

    def _retry_wait(self, error: BaseException) -> float | None:
        """Seconds to wait before another attempt; None if there is to be none."""
        policy = self._instance.step.retry_policy
        if isinstance(error, RetryRequested):
            if self._number > error.max_retries:
                return None
            if error.seconds_to_wait is not None:
                return error.seconds_to_wait
            return policy.wait_s(self._number, self._run.dice) if policy is not None else 0.0
        if policy is None or self._number > policy.max_retries or not isinstance(error, Exception):
            return None
        if isinstance(error, Failure) and not error.allow_retries:
            return None
        return policy.wait_s(self._number, self._run.dice)

    def _call_hooks(self, when: str, error: BaseException | None) -> None:
        for hook in self._instance.step.hooks:
            if hook.when == when:
                self._hold(self._called(hook, error))
            else:
                self._hold(HookSkipped(hook=hook.name))

    def _called(self, hook: HookDefinition, error: BaseException | None) -> Fact:
        try:
            with user_code_error_boundary(StepCodeError, lambda: f"hook {hook.name!r} of step {self._instance.key}"):
                hook.fn(HookContext(self._context, hook, error))
        except FoldlogError as trouble:
            return HookErrored(hook=hook.name, error=error_info(_own(trouble)))
        return HookCompleted(hook=hook.name)

    def _took(self) -> int:
        return int((time.monotonic() - self._since) * 1e6)

    def _hold(self, fact: Fact) -> None:
        self._run.recorder.hold(fact, self._instance.key)

    def _hold_checked(self, fact: Fact) -> None:
        """Hold what a user gave. What cannot be stored fails this step, not the append that other events ride in."""
        given = bool(fact.metadata) if isinstance(fact, StepOutput | HandledOutput) else True
        self._run.recorder.hold(fact, self._instance.key, check=given)

    def _hold_end(self, end: Callable[..., Fact], error: BaseException) -> None:
        """Hold the end of an attempt, if need be without metadata that cannot be stored: it must not hide the end."""
        end = partial(end, attempt=self._number, error=error_info(error))
        try:
            metadata = to_metadata(error.metadata) if isinstance(error, Failure) else {}
            self._run.recorder.hold(end(metadata=metadata), self._instance.key, check=bool(metadata))
        except FoldlogError as trouble:
            self._hold(end(metadata={"metadata": clean(described(trouble))}))


_END = object()
_WRAPPED = (Output, MaterializeResult, AssetCheckResult, ObserveResult, ExpectationResult, AssetMaterialization)


class StepCodeError(UserCodeError):
    """The function of a step raised. Never seen outside: the step is recorded as failed with the user's own error."""


def _own(error: BaseException) -> BaseException:
    """The user's own error, where foldlog has only said that the step's function raised it."""
    return error.__cause__ if isinstance(error, StepCodeError) and error.__cause__ is not None else error


def _named_as(value: Output, name: str) -> Output:
    """An Output that stands in a tuple: at the place of the output that it is of, or of none by name."""
    if value.output_name not in (RESULT, name):
        raise UserCodeError(f"the output {value.output_name!r} stands at the place of {name!r} in the tuple")
    value.output_name = name
    return value


def _check_key(step: str, one: AssetCheckResult, asset: AssetKey | None, known: list[AssetCheckKey]) -> AssetCheckKey:
    """The check that a result is of."""
    named = AssetKey.of(one.asset_key) if one.asset_key is not None else asset
    found = [key for key in known if one.check_name in (None, key.name) and named in (None, key.asset_key)]
    if len(found) != 1:
        names = ", ".join(map(str, known)) or "none"
        problem = "is of no check that it declares" if not found else "may be of several checks"
        raise UserCodeError(
            f"step {step}: AssetCheckResult(check_name={one.check_name!r}) {problem}; there are: {names}"
        )
    return found[0]
