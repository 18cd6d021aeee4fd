"""File managers: what is written is read by its handle, whole, by whoever has it; or an error says what to do."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from uuid import uuid4

import fsspec
import msgspec
import pytest

import foldlog
from foldlog import (
    Config,
    FileManager,
    FilesIOManager,
    Instance,
    Out,
    RetryPolicy,
    StepExecutionContext,
    UnavailableError,
    UsageError,
    execute_job,
    job,
    op,
    resource,
)
from foldlog.engine.artifacts import stores
from foldlog.engine.artifacts.beside import beside_objects
from foldlog.engine.artifacts.files import (
    FileHandle,
    FsspecFileManager,
    LocalFileHandle,
    LocalFileManager,
    UrlFileHandle,
)
from foldlog.engine.artifacts.files.handles import revived
from foldlog.engine.artifacts.io.plain import format_of
from foldlog.engine.errors import EncodingError
from foldlog.engine.events.metadata import PathMetadata, UrlMetadata, to_metadata

LARGE = stores.PIECE + 3_000_001  #: goes to a store, and comes from it, by another way than what is small


class Place:
    """One place of files: makes managers of it, and lists what lies there."""

    def __init__(self, make, names):
        self.make = make
        self.names = names


def remote(url: str, options: dict[str, object] | None = None) -> Place:
    def names() -> list[str]:
        fs, path = fsspec.core.url_to_fs(url, **(options or {}))
        fs.invalidate_cache()
        return sorted(one.rpartition("/")[2] for one in fs.find(path))

    return Place(lambda: FsspecFileManager(url, options), names)


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request, tmp_path) -> Place:
    if request.param == "folder":
        folder = tmp_path / "files"
        return Place(lambda: LocalFileManager(folder), lambda: sorted(os.listdir(folder)) if folder.exists() else [])
    if request.param == "memory":
        return remote(f"memory://{uuid4().hex}")
    bucket = request.getfixturevalue("s3_bucket")
    return remote(f"{bucket.url}/deep/files", bucket.options)


@pytest.fixture
def manager(place) -> FileManager:
    return place.make()


@pytest.fixture
def local(tmp_path) -> LocalFileManager:
    return LocalFileManager(tmp_path / "files")


def told(error: BaseException) -> str:
    """All that anybody is shown of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + getattr(error, "remedy", "")


class Cut(io.BytesIO):
    """A file that breaks off in the middle."""

    def __init__(self, size: int) -> None:
        super().__init__(b"x" * size)

    def read(self, size=-1):
        if not (piece := super().read(size)):
            raise ConnectionResetError("the source has hung up")
        return piece


# -- what is written is read ------------------------------------------------------------------------------------------


def test_bytes_come_back_and_every_file_has_a_name_of_its_own(place, manager):
    first, second = manager.write_data(b"one", ext="csv"), manager.write_data(b"one", ext=".tar.gz")
    empty = manager.write_data(b"")
    assert [manager.read_data(one) for one in (first, second, empty)] == [b"one", b"one", b""]
    assert first != second
    assert first.path_desc.endswith(".csv")
    assert second.path_desc.endswith(".tar.gz")
    assert place.names() == sorted(one.path_desc.rpartition("/")[2] for one in (first, second, empty))
    assert manager.read_data(manager.write_data(memoryview(b"view"))) == b"view"


def test_an_open_file_is_kept_from_where_it_stands(manager):
    source = io.BytesIO(b"header\nrows")
    source.readline()
    handle = manager.write(source)
    with manager.read(handle) as file:
        assert file.read(2) == b"ro"
        assert file.read() == b"ws"
        file.seek(0)
        assert file.read(1) == b"r"
    assert file.closed
    assert not source.closed


def test_text_is_kept_as_utf_8_and_comes_back_with_its_line_ends(manager):
    handle = manager.write(io.StringIO("grün\r\n☃\n", newline=""), mode="w", ext="txt")
    assert manager.read_data(handle) == "grün\r\n☃\n".encode()
    with manager.read(handle, "r") as file:
        assert file.read() == "grün\r\n☃\n"
    with manager.read(handle, mode="r") as file:
        assert list(file) == ["grün\r\n", "☃\n"]


def test_a_large_file_comes_back_by_pieces(manager, tmp_path):
    data = os.urandom(1024) * (LARGE // 1024)
    handle = manager.write(io.BytesIO(data), ext="bin")
    assert manager.read_data(handle) == data
    with manager.read(handle) as file:
        file.seek(-5, os.SEEK_END)
        assert file.read() == data[-5:]
    assert Path(manager.copy_handle_to_local_temp(handle)).read_bytes() == data
    manager.close()


def test_a_large_file_is_not_held_in_memory(tmp_path):
    code = f"""
import sys
sys.path.append({str(Path(__file__).parent)!r})
from peak import peak_kib
from foldlog.engine.artifacts.files import LocalFileManager
class Zeros:
    left = 300_000_000
    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        return bytes(size)
with LocalFileManager({str(tmp_path / "files")!r}) as manager:
    manager.read_data(manager.write_data(b"x"))
    before = peak_kib()
    handle = manager.write(Zeros())
    copy = manager.copy_handle_to_local_temp(handle)
    with manager.read(handle) as file:
        while file.read(1 << 20):
            pass
    print((peak_kib() - before) * 1024)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60_000_000


def test_another_process_and_another_manager_of_the_place_read_by_the_handle(place, manager):
    handle = manager.write_data(b"kept")
    assert place.make().read_data(handle) == b"kept"
    copy = pickle.loads(pickle.dumps(manager))
    assert copy.read_data(pickle.loads(pickle.dumps(handle))) == b"kept"
    if isinstance(handle, LocalFileHandle):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(manager.read_data, (handle,)) == b"kept"


def test_threads_share_a_manager(manager):
    found: dict[int, bytes] = {}

    def use(number: int) -> None:
        data = str(number).encode() * 1000
        handle = manager.write_data(data)
        copy = Path(manager.copy_handle_to_local_temp(handle))
        found[number] = manager.read_data(handle) if copy.read_bytes() == data else b""

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: str(number).encode() * 1000 for number in range(8)}
    manager.close()


# -- copies on this machine -------------------------------------------------------------------------------------------


def test_copies_keep_their_ending_and_go_together(manager):
    handle = manager.write_data(b"kept", ext="csv")
    first, second = (Path(manager.copy_handle_to_local_temp(handle)) for _ in range(2))
    assert first != second
    assert first.suffix == ".csv"
    first.write_bytes(b"changed")
    assert second.read_bytes() == manager.read_data(handle) == b"kept"
    manager.delete_local_temp()
    manager.delete_local_temp()
    assert not first.parent.exists()
    third = Path(manager.copy_handle_to_local_temp(handle))
    assert third.read_bytes() == b"kept"
    manager.close()
    manager.close()
    assert not third.exists()


def test_copies_go_with_the_process_and_not_with_a_child_of_it(local):
    code = f"""
import os, sys
from foldlog.engine.artifacts.files import LocalFileManager
manager = LocalFileManager({str(local.write_data(b"x").path.rpartition("/")[0])!r})
handle = manager.write_data(b"kept")
copy = manager.copy_handle_to_local_temp(handle)
if (child := os.fork()) == 0:
    own = manager.copy_handle_to_local_temp(handle)
    assert os.path.dirname(own) != os.path.dirname(copy)
    manager.close()
    assert not os.path.exists(own)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert os.path.exists(copy)
print(copy)
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert not Path(done.stdout.strip()).parent.exists()


def test_a_manager_is_a_context_manager(local):
    with local as manager:
        copy = Path(manager.copy_handle_to_local_temp(manager.write_data(b"x")))
    assert not copy.exists()


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_write_that_is_cut_leaves_nothing_and_raises_what_the_source_raised(place, manager, size):
    with pytest.raises(ConnectionResetError, match="the source has hung up") as caught:
        manager.write(Cut(size))
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert place.names() == []


def test_a_killed_writer_leaves_no_file_that_a_handle_could_name(tmp_path):
    code = f"""
import os, signal
from foldlog.engine.artifacts.files import LocalFileManager
class Source:
    reads = 0
    def read(self, size):
        self.reads += 1
        if self.reads == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return b"x" * size
LocalFileManager({str(tmp_path / "files")!r}).write(Source())
"""
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == -9
    left = os.listdir(tmp_path / "files")
    assert [(one[0], one[-4:]) for one in left] == [(".", ".tmp")]


def test_a_full_disk_is_told_and_leaves_nothing(local, tmp_path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    local_files = tmp_path / "files"
    local_files.mkdir()
    with pytest.raises(UnavailableError, match=r"a file cannot be written: .*/files: .*No space left") as caught:
        local.write_data(b"x")
    assert "has room" in caught.value.remedy
    assert os.listdir(local_files) == []


def test_a_file_that_is_gone_is_named(place, manager):
    handle = manager.write_data(b"x")
    gone = type(handle)(handle.path_desc.rpartition("/")[0] + "/" + "0" * 32 + ".csv")
    with pytest.raises(UsageError) as caught:
        manager.read_data(gone)
    assert str(caught.value) == f"there is no file {gone.path_desc}"
    assert "the step that wrote it" in caught.value.remedy
    for call in (manager.copy_handle_to_local_temp, lambda one: manager.read(one).__enter__()):
        with pytest.raises(UsageError, match="there is no file"):
            call(gone)


def test_a_file_that_goes_between_look_and_opening_is_one_that_is_gone(local, monkeypatch):
    handle = local.write_data(b"x")
    look = stores.LocalStore.look

    def remove_then(self, places):
        found = look(self, places)
        os.unlink(handle.path)
        return found

    monkeypatch.setattr(stores.LocalStore, "look", remove_then)
    with pytest.raises(UsageError, match="there is no file"):
        local.read_data(handle)


@pytest.mark.parametrize(
    "foreign",
    [
        "/etc/passwd",
        "{folder}/../files/{name}",
        "{folder}/inner/{name}",
        "{folder}/../other/{name}",
        "{folder}//{name}",
        "{folder}/notes.txt",
        "{folder}/",
        "",
    ],
)
def test_a_handle_of_another_place_is_refused_whatever_it_names(local, foreign):
    mine = local.write_data(b"x")
    folder, _, name = mine.path.rpartition("/")
    (Path(folder) / "notes.txt").write_text("not ours")
    handle = LocalFileHandle(foreign.format(folder=folder, name=name))
    with pytest.raises(UsageError, match=r"is no file of the file manager of .*/files") as caught:
        local.read_data(handle)
    assert "with the file manager that wrote it" in caught.value.remedy


def test_a_handle_of_another_manager_is_refused_with_its_place(local):
    other = FsspecFileManager(f"memory://{uuid4().hex}")
    handle = other.write_data(b"x")
    with pytest.raises(UsageError, match=f"^{handle.url} is no file of the file manager of /") as caught:
        local.read_data(handle)
    assert handle.url.rpartition("/")[0] in caught.value.remedy
    with pytest.raises(UsageError, match="is no file of the file manager of memory://"):
        other.read_data(local.write_data(b"x"))
    with pytest.raises(UsageError, match="is no file of"):  # of the right text and of the other kind
        other.read_data(LocalFileHandle(handle.url))


@pytest.mark.parametrize("given", ["/srv/a.csv", None, Path("/srv/a.csv"), 7])
def test_what_is_no_handle_is_refused(local, given):
    with pytest.raises(UsageError, match="is no handle of a file"):
        local.read_data(given)


@pytest.mark.parametrize("ext", ["../x", "a/b", "a\0b", ".", "..", "a..b", "c s v", "ü", "x" * 40, 7, "a\n"])
def test_an_ending_that_is_none_is_refused_and_nothing_is_written(local, tmp_path, ext):
    with pytest.raises(UsageError, match=r"^ext=.* is no ending of a file"):
        local.write_data(b"x", ext=ext)
    assert not (tmp_path / "files").exists()


def test_wrong_types_and_modes_are_refused_with_what_to_do(place, manager):
    for call, message, remedy in (
        (lambda: manager.write_data("text"), "write_data was given str", "text.encode()"),
        (lambda: manager.write(io.StringIO("text")), "the file gives str, and mode='wb' was asked for", "mode='w'"),
        (lambda: manager.write(io.BytesIO(b"b"), mode="w"), "the file gives bytes, and mode='w'", "mode='wb'"),
        (lambda: manager.write(b"bytes"), r"b'bytes' is no open file", "write_data takes bytes"),
        (lambda: manager.write(io.BytesIO(), mode="a"), "mode='a' is not known", "'wb' for bytes, 'w' for text"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            call()
        assert remedy in caught.value.remedy
    assert place.names() == []
    with pytest.raises(UsageError, match="mode='w' is not known"), manager.read(manager.write_data(b"x"), "w"):
        pass


def test_a_closed_manager_says_so_and_keeps_its_files(place, manager):
    handle = manager.write_data(b"x")
    manager.close()
    for call in (
        lambda: manager.write_data(b"y"),
        lambda: manager.write(io.BytesIO(b"y")),
        lambda: manager.read_data(handle),
        lambda: manager.copy_handle_to_local_temp(handle),
    ):
        with pytest.raises(UsageError, match=r"^the file manager of .* is closed"):
            call()
    assert place.make().read_data(handle) == b"x"


def test_what_is_raised_while_a_file_is_read_is_the_callers(manager):
    handle = manager.write_data(b"x")
    with pytest.raises(PermissionError, match="of my own"), manager.read(handle):
        raise PermissionError("of my own")


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=f"a file cannot be written: {tmp_path}/file/files: FileExistsError"):
        LocalFileManager(tmp_path / "file/files").write_data(b"x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")
def test_a_folder_that_may_not_be_written_is_named(local, tmp_path):
    (tmp_path / "files").mkdir(mode=0o500)
    with pytest.raises(UsageError, match="PermissionError"):
        local.write_data(b"x")


class Denying(fsspec.AbstractFileSystem):
    """A store that refuses everything, and tells its secrets in every error."""

    protocol = "denying"
    cachable = False

    def __init__(self, **options):
        super().__init__()
        self.options = options

    def info(self, path, **_):
        raise PermissionError(f"not with {self.options} at {path}")

    def pipe_file(self, path, value, **_):
        raise PermissionError(f"not with {self.options} at {path}")

    def makedirs(self, path, exist_ok=False):
        raise PermissionError(f"not with {self.options} at {path}")


@pytest.fixture
def denying() -> FsspecFileManager:
    fsspec.register_implementation("denying", Denying, clobber=True)
    return FsspecFileManager("denying://me:hunter2@place/files", {"secret": "s3cr3t", "deep": {"token": "t0ken"}})


def test_no_permission_is_told_without_credentials(denying):
    handle = UrlFileHandle("denying://me:***@place/files/" + "0" * 32)
    whole = repr(denying)
    for call in (
        lambda: denying.write_data(b"x"),
        lambda: denying.write(io.BytesIO(b"x")),
        lambda: denying.read_data(handle),
        lambda: denying.copy_handle_to_local_temp(handle),
        lambda: denying.read_data(UrlFileHandle("s3://other/" + "0" * 32)),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        whole += told(caught.value)
    assert whole.count("PermissionError: not with") >= 4
    assert "denying://me:***@place/files" in whole
    for secret in ("hunter2", "s3cr3t", "t0ken"):
        assert secret not in whole


def test_a_handle_of_a_url_with_a_password_shows_none_and_is_read():
    class Told(fsspec.implementations.memory.MemoryFileSystem):
        protocol = "told"

    fsspec.register_implementation("told", Told, clobber=True)
    manager = FsspecFileManager(f"told://me:hunter2@{uuid4().hex}/files")
    handle = manager.write_data(b"x")
    assert handle.url.startswith("told://me:***@")
    assert manager.read_data(handle) == b"x"


def test_a_missing_bucket_and_wrong_credentials_are_told(s3_bucket):
    missing = FsspecFileManager("s3://foldlog-test-is-not-there/files", s3_bucket.options)
    with pytest.raises(UsageError, match="foldlog-test-is-not-there") as caught:
        missing.write_data(b"x")
    assert s3_bucket.options["secret"] not in told(caught.value)


def test_options_of_the_environment_are_used_if_none_are_given(s3_bucket, monkeypatch):
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(s3_bucket.options))
    manager = FsspecFileManager(f"{s3_bucket.url}/files/")
    handle = manager.write_data(b"x")
    assert handle.url.startswith(f"{s3_bucket.url}/files/")
    assert manager.read_data(handle) == b"x"
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", "{hunter2")
    with pytest.raises(UsageError, match="FOLDLOG_STORAGE_OPTIONS is no JSON object") as caught:
        manager.read_data(handle)
    assert "hunter2" not in told(caught.value)


def test_places_that_are_none_are_refused():
    with pytest.raises(UsageError, match="base_url='files' is no URL") as caught:
        FsspecFileManager("files")
    assert "LocalFileManager" in caught.value.remedy
    with pytest.raises(UsageError, match="base_dir is empty"):
        LocalFileManager("")


def test_making_one_touches_nothing(tmp_path):
    assert "files" in repr(LocalFileManager(tmp_path / "files"))
    FsspecFileManager("s3://bucket-that-is-not-there/files", {"key": "k", "secret": "hunter2"})
    assert not (tmp_path / "files").exists()


def test_an_upload_that_fails_leaves_nothing_and_may_be_repeated(s3_bucket, monkeypatch):
    place = remote(f"{s3_bucket.url}/files", s3_bucket.options)
    manager = place.make()
    put = stores.RemoteStore.put

    def lose(self, name, filled):
        file = filled.file

        class Breaks:
            def seek(self, where):
                file.seek(where)

            def read(self):
                raise ConnectionResetError(f"gone, with {s3_bucket.options['secret']}")

        put(self, name, filled._replace(file=Breaks()))

    with monkeypatch.context() as patched:
        patched.setattr(stores.RemoteStore, "put", lose)
        with pytest.raises(UnavailableError, match=r"a file cannot be written: .*ConnectionResetError") as caught:
            manager.write_data(b"x")
        assert s3_bucket.options["secret"] not in told(caught.value)
    assert place.names() == []
    assert manager.read_data(manager.write_data(b"x")) == b"x"


def test_a_large_upload_that_is_cut_between_its_parts_leaves_no_object(s3_bucket, monkeypatch):
    import s3fs

    place = remote(f"{s3_bucket.url}/files", s3_bucket.options)
    call = s3fs.S3FileSystem._call_s3
    parts = []

    async def cut(self, method, *given, **more):
        if method == "upload_part":
            parts.append(more.get("PartNumber"))
            if len(parts) == 2:
                raise OSError("the line is cut")
        return await call(self, method, *given, **more)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", cut)
    monkeypatch.setattr(s3fs.core, "calculate_chunksize", lambda size, **_: 5 * 2**20)
    with pytest.raises(UnavailableError, match="the line is cut"):
        place.make().write_data(bytes(LARGE))
    assert len(parts) >= 2
    assert place.names() == []


# -- handles ----------------------------------------------------------------------------------------------------------


def test_handles_are_frozen_plain_values(tmp_path, local):
    handle = local.write_data(b"x")
    assert handle == LocalFileHandle(handle.path)
    assert len({handle, LocalFileHandle(handle.path), UrlFileHandle(handle.path)}) == 2
    assert Path(handle.path).parent == tmp_path / "files"
    with open(handle, "rb") as file:
        assert file.read() == b"x"
    with pytest.raises(AttributeError):
        handle.path = "elsewhere"
    assert isinstance(handle, FileHandle)
    assert isinstance(UrlFileHandle("s3://b/x"), FileHandle)
    assert not isinstance("/srv/x", FileHandle)


def test_a_file_url_is_a_folder(tmp_path):
    manager = FsspecFileManager(f"file://{tmp_path}/files")
    assert manager.write_data(b"x") in (LocalFileHandle(str(one)) for one in (tmp_path / "files").iterdir())


def test_the_bytes_of_handles_stay_as_they_are():
    handles = [LocalFileHandle("/srv/a.csv"), UrlFileHandle("s3://b/a.csv")]
    data = b'[{"file~":"local","path":"/srv/a.csv"},{"file~":"url","url":"s3://b/a.csv"}]'
    assert msgspec.json.encode(handles) == data
    assert revived(msgspec.json.decode(data)) == handles


@pytest.mark.parametrize("name", ["json", "msgpack", "auto", "pickle"])
def test_handles_come_back_from_an_io_manager(tmp_path, name):
    from test_io_managers import back

    local, remote = LocalFileHandle("/srv/a.csv"), UrlFileHandle("s3://b/a.csv")
    for value in (local, [local, remote, local], {"deep": {"er": [remote]}, "n": 1}):
        found = back(FilesIOManager(tmp_path, format=name), value)
        assert found == value
    assert type(back(FilesIOManager(tmp_path, format=name), remote)) is UrlFileHandle


def test_what_looks_like_a_handle_and_is_none_comes_back_as_it_was(tmp_path):
    from test_io_managers import back

    assert format_of(LocalFileHandle("/srv/a.csv")) == "json"
    assert format_of(LocalFileHandle("/srv/\udcff")) == "pickle"
    for value in ({"file~": "local", "path": "/srv/a.csv"}, [{"file~": 1}], "file~", {"a": '"file~"'}):
        found = back(FilesIOManager(tmp_path), value)
        assert found == value
        assert type(found) is type(value)
    with pytest.raises(UsageError, match=r"value\['a'\] back as it is: its key 'file~' stands for the handle"):
        back(FilesIOManager(tmp_path, format="json"), {"a": {"file~": "local"}})
    by_hand = [{"file~": "local", "path": 7}, {"file~": "other", "path": ""}, {"file~": "local", "path": "", "x": 1}]
    assert revived([dict(one) for one in by_hand]) == by_hand


def test_handles_are_metadata():
    class Own:
        path_desc = "ftp://host/file"

    class Odd:
        path_desc = 7

    assert to_metadata({"a": LocalFileHandle("/srv/a"), "b": UrlFileHandle("s3://b/a"), "c": Own()}) == {
        "a": PathMetadata("/srv/a"),
        "b": UrlMetadata("s3://b/a"),
        "c": UrlMetadata("ftp://host/file"),
    }
    with pytest.raises(EncodingError, match="Odd"):
        to_metadata({"a": Odd()})


# -- the instance -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket/logs/one", "s3://bucket/logs/one/files"),
        ("s3://bucket/logs/one/?x=1&y=a/b", "s3://bucket/logs/one/files"),
        ("gs://bucket", "gs://bucket/files"),
        ("abfss://box@account/log", "abfss://box@account/log/files"),
        ("file:///srv/log", "file:///srv/log/files"),
        ("file:///srv/a%20log?durability=process", "file:///srv/a log/files"),
        ("sqlite:////srv/log", None),
        ("postgresql://db/log", None),
        ("memory://", None),
        ("s3:", None),
        (None, None),
    ],
)
def test_which_logs_have_files_beside_their_objects(url, place):
    assert beside_objects(url, "files") == place


def test_by_default_files_lie_beside_the_artifacts(tmp_path):
    with Instance.local_temp(tmp_path) as instance:
        manager = instance.file_manager
        assert instance.file_manager is manager
        handle = manager.write_data(b"x")
        copy = manager.copy_handle_to_local_temp(handle)
        assert Path(handle.path).parent == tmp_path / "storage/files~"
    assert not Path(copy).exists()
    with pytest.raises(UsageError, match="is closed"):
        manager.read_data(handle)
    with Instance.local_temp(tmp_path) as again:
        assert again.file_manager.read_data(handle) == b"x"


def test_the_configuration_names_the_file_manager(tmp_path, monkeypatch):
    (tmp_path / "foldlog.yaml").write_text("file_manager: {class: LocalFileManager, config: {base_dir: kept}}")
    with Instance.from_config(tmp_path) as instance:
        assert Path(instance.file_manager.write_data(b"x").path).parent == tmp_path / "kept"
    monkeypatch.setenv("TOKEN", "hunter2")
    (tmp_path / "foldlog.yaml").write_text(
        "file_manager:\n  class: FsspecFileManager\n  config:\n    base_url: denying://place\n"
        "    storage_options: {token: {env: TOKEN}}\n"
    )
    fsspec.register_implementation("denying", Denying, clobber=True)
    with Instance.from_config(tmp_path) as instance:
        with pytest.raises(UsageError, match="PermissionError: not with") as caught:
            instance.file_manager.write_data(b"x")
        assert "hunter2" not in told(caught.value)
    (tmp_path / "foldlog.yaml").write_text("file_manager: {class: FsspecFileManager, config: {base_url: here}}")
    with (
        Instance.from_config(tmp_path) as instance,
        pytest.raises(UsageError, match=r"foldlog.yaml:1: file_manager.config: base_url='here' is no URL"),
    ):
        instance.file_manager  # noqa: B018


def test_the_check_of_the_configuration_knows_the_default_of_a_log_of_objects(tmp_path):
    from foldlog.engine.cli.config import _default
    from foldlog.engine.config.configuration import Configuration
    from foldlog.engine.config.ref import InstanceRef

    for url, name in (("s3://bucket/log", "FsspecFileManager"), ("sqlite:///history", "LocalFileManager")):
        configuration = Configuration(InstanceRef(root=str(tmp_path), config={"storage": url}))
        assert _default("file_manager", configuration) == name
        assert _default("scheduler", configuration) == "DaemonScheduler"


# -- steps ------------------------------------------------------------------------------------------------------------


@op(required_resource_keys={"file_manager"})
def fetch(context: StepExecutionContext, file_manager: FileManager):
    handle = file_manager.write_data(b"id\n1\n2\n", ext="csv")
    context.add_output_metadata({"raw": handle})
    return handle


@op(required_resource_keys={"file_manager"})
def count(file_manager: FileManager, raw: FileHandle) -> int:
    path = file_manager.copy_handle_to_local_temp(raw)
    with file_manager.read(raw, "r") as file, open(path) as copy:
        assert file.read() == copy.read()
        file.seek(0)
        return sum(1 for _ in file) - 1


@job
def load():
    count(fetch())


def raw_of(result) -> object:
    (event,) = (one.event for one in result.events("fetch") if "raw" in getattr(one.event.fact, "metadata", {}))
    return event.fact.metadata["raw"]


def test_a_step_hands_a_file_to_the_next(tmp_path):
    with Instance.local_temp(tmp_path) as instance:
        result = execute_job(load, instance=instance)
        assert result.output_for_node("count") == 2
        handle = result.output_for_node("fetch")
        assert raw_of(result) == PathMetadata(handle.path)
        assert next((tmp_path / "storage/values~").rglob("runs/*/fetch/result.json")).read_bytes() == (
            msgspec.json.encode(handle)
        )


def test_values_and_files_of_a_log_of_objects_lie_on_its_store(s3_bucket, monkeypatch):
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(s3_bucket.options))
    monkeypatch.delenv("FOLDLOG_HOME", raising=False)
    with Instance.from_url(f"{s3_bucket.url}/log") as instance:
        result = execute_job(load, instance=instance)
        assert result.output_for_node("count") == 2
        handle = result.output_for_node("fetch")
        log_id = instance.log.head().log_id
        assert raw_of(result) == UrlMetadata(handle.url)
    assert handle.url.startswith(f"{s3_bucket.url}/log/files/")
    fs, path = fsspec.core.url_to_fs(f"{s3_bucket.url}/log", **s3_bucket.options)
    fs.invalidate_cache()
    found = {one.removeprefix(f"{path}/") for one in fs.find(path)}
    assert sorted(one for one in found if one.startswith(("values/", "files/"))) == sorted(
        [
            f"files/{handle.url.rpartition('/')[2]}",
            *(f"values/{log_id}/runs/{result.run_id}/{one}/result.json" for one in ("count", "fetch")),
        ]
    )


@pytest.mark.parametrize("written", ["file://{}/a%20log", "file:///./a log?durability=process", "file:///../x/a%20log"])
def test_values_and_files_of_a_log_in_a_folder_of_objects_lie_in_it(tmp_path, monkeypatch, written):
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    with Instance.from_url(written.format(tmp_path / "x")) as instance:
        monkeypatch.chdir(tmp_path)
        result = execute_job(load, instance=instance)
        assert result.output_for_node("count") == 2
        log_id = str(instance.log.head().log_id)
    assert {one.name for one in tmp_path.iterdir()} == {"x"}
    assert {one.name for one in (tmp_path / "x").iterdir()} == {"a log"}
    assert {one.name for one in (tmp_path / "x/a log").iterdir()} >= {"files", "values", "order", "runs"}
    assert len(list((tmp_path / "x/a log/values" / log_id).rglob("result.json"))) == 2


def test_the_run_config_still_says_where_values_go(tmp_path):
    with Instance.from_url(f"file://{tmp_path}/log") as instance:
        given = {"file_manager": LocalFileManager(tmp_path / "files")}
        config = {"resources": {"io_manager": {"config": {"url": str(tmp_path / "values")}}}}
        result = execute_job(load, instance=instance, resources=given, run_config=config)
        assert result.output_for_node("count") == 2
    assert {one.name for one in tmp_path.iterdir()} >= {"files", "values"}
    assert not {one.name for one in (tmp_path / "log").iterdir()} & {"files", "values"}


def test_a_resource_and_a_hook_may_require_it_and_a_job_without_it_has_none(tmp_path):
    class ShelfConfig(Config):
        ext: str = "txt"

    @resource(required_resource_keys={"file_manager"})
    def shelf(config: ShelfConfig, file_manager: FileManager):
        return file_manager.write_data(b"from a resource", ext=config.ext)

    @op(required_resource_keys={"shelf"}, out=Out(io_manager_key="io_manager"), retry_policy=RetryPolicy(max_retries=1))
    def show(shelf):
        return Path(shelf.path).read_bytes()

    seen = []

    @foldlog.success_hook(required_resource_keys={"file_manager"})
    def tell(context):
        seen.append(context.resources.file_manager)

    @op
    def nothing():
        return 1

    @job(resource_defs={"shelf": shelf})
    def with_resource():
        show()

    @job(hooks={tell})
    def with_hook():
        nothing()

    @job
    def without():
        nothing()

    with Instance.local_temp(tmp_path) as instance:
        assert execute_job(with_resource, instance=instance).output_for_node("show") == b"from a resource"
        assert execute_job(with_hook, instance=instance).success
        assert seen == [instance.file_manager]
        execute_job(without, instance=instance)
        documents = [
            instance.get_job_snapshot(instance.get_run_record_by_id(one.run.run_id).run.job_snapshot_id)
            for one in instance.get_run_records()
        ]
    assert sorted(sorted(one.document["resources"]) for one in documents) == [
        ["file_manager", "io_manager"],
        ["file_manager", "io_manager", "shelf"],
        ["io_manager"],
    ]
    foldlog.Definitions(jobs=[with_resource, with_hook, load])
