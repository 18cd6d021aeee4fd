"""Where values go: the default IO manager, others by key, by config or of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from watching import fact, facts, made, run, story

import foldlog
from foldlog import (
    AssetIn,
    FilesIOManager,
    In,
    InputContext,
    Instance,
    IOManager,
    Out,
    Output,
    OutputContext,
    UsageError,
    asset,
    job,
    materialize,
    op,
)


@op
def numbers() -> list[int]:
    return [1, 2]


@op
def total(values: list) -> int:
    return sum(values)


@job
def adding():
    total(numbers())


def place(result: Any, step_key: str) -> dict[str, Any]:
    """What the IO manager told of an output."""
    found: dict[str, Any] = fact(result, "HANDLED_OUTPUT", step_key).metadata
    return found


def files_in(folder: Path) -> int:
    return sum(1 for one in folder.rglob("*") if one.is_file())


def test_an_ephemeral_instance_keeps_values_in_memory(memory: Instance) -> None:
    result = run(adding, memory)
    assert place(result, "numbers") == {}
    assert result.output_for_node("total") == 3
    other = run(adding, memory)
    assert result.output_for_node("numbers") == other.output_for_node("numbers")


def test_an_instance_with_a_folder_keeps_values_as_files(sqlite: Instance) -> None:
    result = run(adding, sqlite)
    told = place(result, "numbers")
    assert told
    folder = sqlite.local_artifact_storage.base_dir / "values~"
    assert files_in(folder) >= 2
    assert result.output_for_node("total") == 3


def test_values_of_assets_are_there_for_another_process(tmp_path: Path) -> None:
    """As another process would: by another instance of the same home."""

    @asset
    def kept() -> list[int]:
        return [1, 2, 3]

    @asset
    def counted(kept: list[int]) -> int:
        return len(kept)

    url = f"sqlite:///{tmp_path}/history?durability=process"
    with Instance.from_url(url) as one:
        materialize([kept, counted], instance=one, selection="kept")
    with Instance.from_url(url) as two:
        assert materialize([kept, counted], instance=two, selection="counted").asset_value("counted") == 3


def test_two_logs_beside_each_other_share_no_values(tmp_path: Path) -> None:
    @asset
    def source() -> str:
        return "mine"

    @asset
    def copied(source: str) -> str:
        return source

    with Instance.from_url(f"sqlite:///{tmp_path}/one?durability=process") as one:
        materialize([source, copied], instance=one)
    with Instance.from_url(f"sqlite:///{tmp_path}/two?durability=process") as two:
        result = materialize([source, copied], instance=two, selection="copied", raise_on_error=False)
        assert not result.success, "it got a value that this log knows nothing of"
        assert "asset source is not there" in str(result.step_errors["copied"])


def test_without_a_folder_values_stay_in_memory(postgres_url: str) -> None:
    with Instance.from_url(postgres_url) as instance:
        result = run(adding, instance)
        assert result.success, result.error
        assert place(result, "numbers") == {}
        assert result.output_for_node("total") == 3


@pytest.mark.parametrize("format", ["auto", "json", "pickle", "msgpack"])
def test_the_run_config_says_where_and_how(format: str, memory: Instance, tmp_path: Path) -> None:
    config = {"resources": {"io_manager": {"config": {"url": str(tmp_path / "here"), "format": format}}}}
    result = run(adding, memory, run_config=config)
    assert result.success, result.error
    assert files_in(tmp_path / "here") >= 2
    assert result.output_for_node("total") == 3
    memory_config = {"resources": {"io_manager": {"config": {"kind": "memory"}}}}
    assert run(adding, memory, run_config=memory_config).success
    with pytest.raises(UsageError, match="format"):
        run(adding, memory, run_config={"resources": {"io_manager": {"config": {"format": "yaml"}}}})


def test_values_in_a_bucket(memory: Instance, s3_bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = FilesIOManager(f"{s3_bucket.url}/values", storage_options=s3_bucket.options)
    result = run(adding, memory, resources={"io_manager": shelf})
    assert result.success, result.error
    assert result.output_for_node("total") == 3
    assert any(s3_bucket.url.removeprefix("s3://") in str(one) for one in place(result, "numbers").values())


class Noting(IOManager):
    """Keeps values, and what it was told of them."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, ...], Any] = {}
        self.outputs: list[OutputContext] = []
        self.inputs: list[InputContext] = []

    def handle_output(self, context: OutputContext, value: Any) -> None:
        self.outputs.append(context)
        self.kept[tuple(context.identifier)] = value
        context.add_output_metadata({"place": "/".join(context.identifier[1:])})

    def load_input(self, context: InputContext) -> Any:
        self.inputs.append(context)
        context.add_input_metadata({"how": "whole"})
        (wanted,) = context.value_ids
        return self.kept[tuple(wanted.path)]


def test_what_an_io_manager_is_told_and_tells(instance: Instance) -> None:
    noting = Noting()

    @op(out=Out(list, io_manager_key="noting", metadata={"unit": "EUR"}, code_version="7"))
    def gives():
        return [1, 2]

    @op(ins={"values": In(metadata={"from": "there"})})
    def takes(values: list) -> int:
        return len(values)

    @job(resource_defs={"noting": noting})
    def one():
        takes(gives())

    result = run(one, instance)
    assert result.success, result.error
    (output,) = noting.outputs
    assert (output.run_id, output.step_key, output.name) == (result.run_id, "gives", "result")
    assert (output.metadata, output.type_hint, output.version) == ({"unit": "EUR"}, list, "7")
    assert not output.has_asset_key
    (given,) = noting.inputs
    assert (given.name, given.step_key, given.run_id) == ("values", "takes", result.run_id)
    assert given.upstream_output is not None
    assert given.upstream_output.metadata == {"unit": "EUR"}
    assert (given.metadata, given.type_hint) == ({"from": "there"}, list)
    handled = fact(result, "HANDLED_OUTPUT", "gives")
    assert (handled.manager_key, handled.metadata) == ("noting", {"place": "gives/result"})
    loaded = fact(result, "LOADED_INPUT", "takes")
    assert (loaded.manager_key, loaded.metadata) == ("noting", {"how": "whole"})
    assert fact(result, "HANDLED_OUTPUT", "takes").manager_key == "io_manager"


def test_what_it_tells_of_an_asset_is_in_the_materialization(instance: Instance) -> None:
    noting = Noting()

    @asset(key=["io", "noted"], io_manager_key="noting", metadata={"owner": "x"})
    def noted() -> Output:
        return Output([1], metadata={"rows": 1})

    @asset(key=["io", "reads"], ins={"given": AssetIn(key="io/noted")})
    def reads(given: list) -> int:
        return len(given)

    resources = {"noting": noting}
    result = materialize([noted, reads], instance=instance, resources=resources)
    (fact_,) = [one for one in facts(result, "ASSET_MATERIALIZATION") if one.asset_key.parts == ("io", "noted")]
    assert fact_.metadata == {"rows": 1, "place": "io/noted"}
    (output,) = noting.outputs
    assert output.asset_key == foldlog.AssetKey(["io", "noted"])
    assert output.identifier == ["assets", "io", "noted"]
    # Loaded by a run that does not make it: the manager that keeps it is made ready, too.
    later = materialize([noted, reads], instance=instance, resources=resources, selection="io/reads")
    assert later.asset_value("io/reads") == 1
    assert "noting" in fact(later, "RESOURCE_INIT_SUCCESS").resource_keys
    with pytest.raises(UsageError, match="'noting'"):
        materialize([noted, reads], instance=instance, selection="io/reads")


def test_an_input_may_be_loaded_by_another(memory: Instance) -> None:
    class Seven(IOManager):
        def handle_output(self, context, value):
            raise AssertionError

        def load_input(self, context):
            assert context.upstream_output is not None
            return 7

    @op
    def gives() -> int:
        return 1

    @op(ins={"value": In(input_manager_key="seven")})
    def takes(value: int) -> int:
        return value

    @job(resource_defs={"seven": Seven()})
    def one():
        takes(gives())

    result = run(one, memory)
    assert result.output_for_node("takes") == 7
    assert fact(result, "LOADED_INPUT").manager_key == "seven"


def test_an_object_that_is_no_io_manager_is_named(memory: Instance) -> None:
    class Almost:
        def handle_output(self, context, value): ...

        def load_input(self, context): ...

    @job(resource_defs={"io_manager": Almost()})
    def one():
        numbers()

    @op(ins={"value": In(input_manager_key="seven")})
    def takes(value: int) -> None: ...

    @job(resource_defs={"seven": 7})
    def two():
        takes(numbers())

    result = run(one, memory)
    assert "STEP_START" not in " ".join(story(result))  # before any work is done for nothing
    error = fact(result, "RESOURCE_INIT_FAILURE").error
    assert "the resource 'io_manager' is" in error.message
    assert "no IOManager" in error.message
    before = memory.get_runs_count()
    with pytest.raises(UsageError, match="the resource 'seven', which keeps values of step takes, is 7, no IOManager"):
        run(two, memory)
    assert memory.get_runs_count() == before  # what is plain from the definitions alone is refused before


def test_values_that_are_not_there_are_told(memory: Instance) -> None:
    result = run(adding, memory)
    for wrong in ("nothing", "numbers[a]"):
        with pytest.raises(UsageError):
            result.output_for_node(wrong)
    with pytest.raises(UsageError, match="no output 'other'"):
        result.output_for_node("numbers", "other")
    with pytest.raises(UsageError, match="makes no asset"):
        result.asset_value("numbers")


def test_a_value_that_cannot_be_kept_fails_its_step(sqlite: Instance) -> None:
    @op
    def odd():
        return lambda: 1  # no file takes this

    @job
    def one():
        odd()

    result = run(one, sqlite)
    assert result.failed_step_keys == ("odd",)
    assert "odd" in str(result.error)


def test_assets_of_partitions_have_places_of_their_own(memory: Instance) -> None:
    noting = Noting()
    partitions = foldlog.partitions.StaticPartitionsDefinition(["eu", "us"])

    @asset(name="io_parted", partitions_def=partitions)
    def parted(context) -> str:
        return str(context.partition_key)

    for key in ("eu", "us"):
        result = made([parted], memory, partition_key=key, resources={"io_manager": noting})
        assert result.asset_value("io_parted") == key
    assert [one.identifier for one in noting.outputs] == [["assets", "io_parted", "eu"], ["assets", "io_parted", "us"]]
