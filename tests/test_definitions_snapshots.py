"""What a snapshot keeps of a job: enough to see it by, and never so much that a run cannot be recorded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from foldlog import AssetSpec, Definitions, Instance, asset, execute_job, materialize
from foldlog.engine.definitions.partitions import (
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    MultiPartitionsDefinition,
    StaticPartitionsDefinition,
)
from foldlog.engine.definitions.snapshot import job_document, within
from foldlog.engine.execution import creation

KEYS = [f"key{number}" for number in range(5_000)]


def spec_of(document: dict[str, Any], node: str) -> dict[str, Any]:
    (spec,) = document["graph"]["nodes"][node]["makes"]["assets"]
    found: dict[str, Any] = spec
    return found


def test_partitions_are_told_once_and_long_lists_by_their_ends() -> None:
    def made(name: str, keys: list[str]) -> Any:
        @asset(name=name, partitions_def=StaticPartitionsDefinition(keys))
        def one() -> None: ...

        return one

    @asset
    def whole() -> None: ...

    many = [made(f"a{number}", KEYS) for number in range(50)]
    job = Definitions(assets=[*many, whole]).asset_job()
    document = job_document(job)
    (partitions,) = document["partitions_definitions"].values()
    assert partitions | {"digest": ""} == {
        "type": "static",
        "count": 5_000,
        "first": "key0",
        "last": "key4999",
        "digest": "",
    }
    (ref,) = document["partitions_definitions"]
    assert {spec_of(document, f"a{number}")["partitions"] for number in range(50)} == {document["partitions"]} == {ref}
    assert "partitions" not in spec_of(document, "whole")
    assert len(msgspec.json.encode(document)) < 20_000
    other = job_document(Definitions(assets=[made("a", [*KEYS[:-2], KEYS[-1], KEYS[-2]])]).asset_job())
    assert other["partitions_definitions"]["1"]["digest"] != partitions["digest"]


def test_short_ones_and_those_of_two_dimensions_are_spelled() -> None:
    both = MultiPartitionsDefinition(
        {"day": DailyPartitionsDefinition("2026-01-01"), "key": StaticPartitionsDefinition(KEYS)}
    )

    @asset(partitions_def=both)
    def large() -> None: ...

    @asset(partitions_def=StaticPartitionsDefinition(["eu", "us"]))
    def small() -> None: ...

    document = job_document(Definitions(assets=[large]).asset_job())
    assert "key4998" not in str(document)
    assert "2026-01-01" in str(document["partitions_definitions"]["1"])
    document = job_document(Definitions(assets=[small]).asset_job())
    assert document["partitions_definitions"] == {"1": {"type": "static", "keys": ["eu", "us"]}}


def test_a_document_that_is_too_long_is_kept_as_its_digest_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @asset(metadata={"long": "x" * 10_000})
    def orders() -> int:
        return 1

    @asset(deps=["raw"])
    def report(orders: int) -> int:
        return orders

    monkeypatch.setattr(creation, "SNAPSHOT_LIMIT", 5_000)
    with Instance.ephemeral() as instance:
        result = materialize([orders, report, AssetSpec(key="raw")], instance=instance)
        assert result.success
        created = next(one.event.fact for one in result.events() if one.event.type == "RUN_CREATED")
        document = dict(instance.get_job_snapshot(created.job_snapshot_id).document)
        assert len(document.pop("digest")) == 40
        assert document.pop("bytes") > 10_000
        assert (document["left_out"], document["nodes"], document["dependencies"]) == ("too long", 2, 1)
    short = {"graph": {}}
    assert within(short, 100) is short


def test_a_large_value_of_the_code_keeps_no_run_from_being_recorded() -> None:
    @asset(metadata={"long": "x" * 17 * 2**20})
    def orders() -> int:
        return 1

    with Instance.ephemeral() as instance:
        job = Definitions(assets=[orders]).asset_job()
        assert execute_job(job, instance=instance).success


def test_dynamic_ones_are_told_by_name() -> None:
    @asset(partitions_def=DynamicPartitionsDefinition("customers"))
    def orders() -> None: ...

    document = job_document(Definitions(assets=[orders]).asset_job())
    assert document["partitions_definitions"] == {"1": {"type": "dynamic", "name": "customers"}}
