"""One run as it stood: at every position of its life, the answer is what the views said when the log ended there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from test_views_histories import RUNS, START_US, facts, run_facts

from foldlog import Event, Instance, RunsFilter, UsageError, events
from foldlog.engine.events import RunStatus
from foldlog.engine.views import timetravel

lives = st.lists(
    st.tuples(st.sampled_from(RUNS), st.lists(facts, min_size=1, max_size=3), st.sampled_from("st")), max_size=12
)


@settings(max_examples=60)
@given(lives)
def test_the_past_is_what_the_views_said_then(life: list[tuple[str, list[Any], str]]) -> None:
    with Instance.ephemeral() as instance, pytest.MonkeyPatch.context() as patch:
        patch.setattr(timetravel, "PAGE", 3)
        then: list[tuple[int, str, Any, Any]] = []
        clock = START_US
        for run_id, some, step_key in life:
            clock += 10
            instance.log.append(run_id, [Event(fact, clock, step_key=step_key) for fact in some])
            head = instance.log.catch_up().position
            for each in RUNS:
                then.append((head, each, instance.get_run_record_by_id(each), instance.get_run_steps(each)))
        for position, run_id, record, steps in then:
            if record is None:
                with pytest.raises(UsageError):
                    instance.run_at(run_id, position)
            else:
                told = instance.run_at(run_id, position)
                assert (told.position, told.record, told.steps) == (position, record, steps)


def test_inside_one_append() -> None:
    with Instance.ephemeral() as instance:
        some = [events.RunCreated(job_name="j", tags={"a": "b"}), events.RunStarted(), events.RunSucceeded()]
        instance.log.append("r", [Event(fact, START_US + n) for n, fact in enumerate(some)])
        instance.log.append("other", [Event.now(events.RunStarted())])
        stood = [instance.run_at("r", position).record for position in (1, 2, 3, 4)]
        assert [str(one.run.status) for one in stood] == ["NOT_STARTED", "STARTED", "SUCCESS", "SUCCESS"]
        assert [one.ended_us for one in stood] == [None, None, START_US + 2, START_US + 2]
        assert stood[0].run.tags == {"a": "b"}


def test_what_has_no_past_says_why() -> None:
    with Instance.ephemeral() as instance:
        instance.log.append("r", [Event.now(events.LogMessage(text="x")), Event.now(events.RunStarted())])
        with pytest.raises(UsageError, match="run r had told nothing of itself at position 1"):
            instance.run_at("r", 1)
        for position in ("2", 1.5, True):
            with pytest.raises(UsageError, match="is no whole number"):
                instance.run_at("r", position)  # type: ignore[arg-type]
        for position in (0, -1, 3):
            with pytest.raises(UsageError, match="is not on the timeline, which ends at 2"):
                instance.run_at("r", position)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="there is no run none"):
            instance.run_at("none", 1)
        instance.delete_run("r")
        with pytest.raises(UsageError, match="run r was deleted; its past went with it"):
            instance.run_at("r", 2)


@settings(max_examples=150)
@given(st.lists(run_facts, min_size=1, max_size=12))
def test_a_terminal_status_never_changes(life: list[Any]) -> None:
    """Whatever comes after the first end, in whatever order: it stands, with its time and its place."""
    with Instance.ephemeral() as instance:
        ended: tuple[Any, ...] | None = None
        late = 0
        for n, fact in enumerate(life):
            instance.log.append("r", [Event(fact, START_US + n)])
            record = instance.get_run_record_by_id("r")
            assert record is not None
            now = (record.run.status, record.ended_us, record.ended_position, record.failure_message)
            is_end = isinstance(fact, events.RunSucceeded | events.RunFailed | events.RunCanceled)
            if ended is None:
                assert record.run.status.is_finished == is_end
                ended = now if is_end else None
            else:
                late += is_end
                assert now == ended
            assert record.ignored_ends == late
        finished = [status for status in RunStatus if status.is_finished]
        assert len(instance.get_run_ids(RunsFilter(statuses=finished))) == (ended is not None)
