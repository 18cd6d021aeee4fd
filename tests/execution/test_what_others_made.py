"""What a run loads or looks at and has not made itself: its IO managers are there, its partitions are right."""

from __future__ import annotations

import pytest

import foldlog
from foldlog import partitions

REGIONS = partitions.StaticPartitionsDefinition(["eu", "us"])


@foldlog.asset(io_manager_key="shelf")
def orders() -> list:
    return [1, 2]


@foldlog.asset
def report(orders: list) -> int:
    return sum(orders)


@foldlog.asset(partitions_def=REGIONS)
def regional(context) -> str:
    return context.partition_key


@foldlog.asset_check(asset=regional)
def is_named(regional):
    return regional in ("eu", "us")


@foldlog.asset_check(asset=orders)
def is_there(orders):
    return bool(orders)


def test_the_io_manager_that_only_loads_is_made_ready():
    """An asset that an earlier run has kept, by a manager that nothing else of this run uses."""
    shelf = foldlog.InMemoryIOManager()
    definitions = [orders, report]
    with foldlog.Instance.ephemeral() as instance:
        foldlog.materialize(definitions, selection="orders", instance=instance, resources={"shelf": shelf})
        result = foldlog.materialize(definitions, selection="report", instance=instance, resources={"shelf": shelf})
        assert result.asset_value("report") == 3


def test_the_io_manager_of_a_step_that_is_not_executed_again_is_made_ready():
    fails = [True]

    @foldlog.op(out=foldlog.Out(list, io_manager_key="shelf"))
    def extract():
        return [1, 2]

    @foldlog.op
    def add(rows) -> int:
        if fails:
            raise ValueError("not yet")
        return sum(rows)

    @foldlog.job(resource_defs={"shelf": foldlog.InMemoryIOManager()})
    def nightly():
        add(extract())

    with foldlog.Instance.ephemeral() as instance:
        failed = foldlog.execute_job(nightly, instance=instance, raise_on_error=False)
        fails.clear()
        again = foldlog.reexecute_job(nightly, failed.run_id, instance=instance, from_failure=True)
        assert again.step_outcomes == {"add": "SUCCESS"}
        assert again.output_for_node("add") == 3


def test_a_manager_that_only_loads_and_is_missing_is_named_before_the_run_begins():
    elsewhere = foldlog.AssetSpec(key="orders", io_manager_key="shelf")
    with foldlog.Instance.ephemeral() as instance:
        with pytest.raises(foldlog.UsageError, match="no resource 'shelf', which step report requires"):
            foldlog.materialize([report, elsewhere], instance=instance)
        assert instance.get_runs_count() == 0


@pytest.mark.parametrize(
    ("asset", "check", "partition"), [("regional", "is_named", "us"), ("orders", "is_there", None)]
)
def test_a_check_is_of_the_partition_that_its_asset_has(asset, check, partition):
    """Planned and evaluated for the same: else the check is shown as skipped when the run is over."""
    assets = [orders, regional, is_named, is_there]
    with foldlog.Instance.ephemeral() as instance:
        shelf = foldlog.InMemoryIOManager()
        foldlog.materialize(assets, instance=instance, partition_key="us", resources={"shelf": shelf})
        (found,) = instance.get_asset_checks(asset)
        assert (found.check_name, found.status, found.partition) == (check, "PASSED", partition)
