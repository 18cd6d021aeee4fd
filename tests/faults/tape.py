"""A tape of all that a process does to the files of a folder, and the disks a crash may leave of it.

SQLite's writes, truncations, syncs and removals are recorded through a VFS shim made with ctypes in the very library
that the `sqlite3` module uses; Python's own through patched functions of `os`. What is written through shared memory
(the doorbell) is read back before each step. `disk_after` is the folder after kill -9; `disk_lost` one of those that a
power loss may leave: what no sync has made durable may be there, or not, or in part; a name is durable only once its
folder was synced.

Needs no compiler, no strace and no rights. Linux only, like the rest of these tests.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import random
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

SECTOR = 512


class Step(NamedTuple):
    """One thing done to the folder; paths are relative to it."""

    deed: str  #: create write content truncate sync syncdir link rename unlink mkdir mark
    path: str
    offset: int = 0
    data: bytes = b""
    other: str = ""
    mark: Any = None


class Tape:
    """The steps in the order they were done. `before(index)` is called before each, for whoever wants to die there."""

    def __init__(self, root: Path, before: Callable[[int], None] = lambda index: None) -> None:
        self.root = os.path.realpath(root)
        self.steps: list[Step] = []
        self._before = before
        self._lock = threading.RLock()
        self._shared: dict[str, bytes] = {}

    def mark(self, mark: Any) -> None:
        """Note what the caller knows by now: an acknowledgement."""
        self.add(Step("mark", "", mark=mark))

    def add(self, step: Step) -> None:
        with self._lock:
            self._look_at_shared_memory()
            self._before(len(self.steps))
            self.steps.append(step)

    def inside(self, path: str | bytes | os.PathLike[str] | None) -> str | None:
        """The path within the folder; None if it lies elsewhere."""
        if path is None:
            return None
        full = os.path.join(os.path.realpath(os.path.dirname(os.path.abspath(os.fsdecode(path)))),
                            os.path.basename(os.fsdecode(path)))  # fmt: skip
        if full == self.root:
            return "."
        return full[len(self.root) + 1 :] if full.startswith(self.root + "/") else None

    def content(self, path: str) -> None:
        """Note what a file holds that was written without passing by here."""
        self.add(Step("content", path, data=Path(self.root, path).read_bytes()))

    def _look_at_shared_memory(self) -> None:
        for path in list(self._shared):
            try:
                now = Path(self.root, path).read_bytes()
            except FileNotFoundError:
                del self._shared[path]
                continue
            if now != self._shared[path]:
                self._shared[path] = now
                self.steps.append(Step("content", path, data=now))

    def share(self, path: str) -> None:
        """A file that is written through shared memory from now on."""
        self._shared.setdefault(path, b"")


# -- SQLite's side: a VFS that is the default one but for a few methods ------------------------------------------------

_P, _INT, _I64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_OPEN = ctypes.CFUNCTYPE(_INT, _P, _P, _P, _INT, _P)
_DELETE = ctypes.CFUNCTYPE(_INT, _P, _P, _INT)
_WRITE = ctypes.CFUNCTYPE(_INT, _P, _P, _INT, _I64)
_TRUNCATE = ctypes.CFUNCTYPE(_INT, _P, _I64)
_SYNC = ctypes.CFUNCTYPE(_INT, _P, _INT)
_OPEN_CREATE, _OPEN_WAL, _OPEN_JOURNAL = 0x4, 0x80000, 0x800


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", _INT), ("size", _INT), ("longest", _INT), ("next", _P), ("name", ctypes.c_char_p), ("data", _P),
        ("open", _P), ("delete", _P), ("rest", _P * 14),
    ]  # fmt: skip


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", _INT), ("close", _P), ("read", _P), ("write", _P), ("truncate", _P), ("sync", _P),
        ("rest", _P * 13),
    ]  # fmt: skip


def sqlite_library() -> ctypes.CDLL:
    """The SQLite that the `sqlite3` module calls: its own dependency, or linked into it, or into Python."""
    for name in (getattr(_sqlite3, "__file__", None), None):
        library = ctypes.CDLL(name)
        if hasattr(library, "sqlite3_vfs_find"):
            library.sqlite3_vfs_find.restype = _P
            library.sqlite3_vfs_find.argtypes = [ctypes.c_char_p]
            library.sqlite3_vfs_register.argtypes = [_P, _INT]
            library.sqlite3_vfs_unregister.argtypes = [_P]
            return library
    raise RuntimeError("this Python hides the functions of its SQLite: the tape cannot record what it writes")


class _Shim:
    """Registered once for the process; does nothing while there is no tape."""

    def __init__(self) -> None:
        self.tape: Tape | None = None
        self.lock = threading.RLock()
        self._library = sqlite_library()
        default = self._library.sqlite3_vfs_find(None)
        self._original = _Vfs.from_address(default)
        self._vfs = _Vfs.from_buffer_copy(self._original)
        self._vfs.name = b"foldlog-tape"
        self._keep = [_OPEN(self._open), _DELETE(self._delete)]
        self._vfs.open, self._vfs.delete = (ctypes.cast(deed, _P).value for deed in self._keep)
        self._really_open = _OPEN(self._original.open)
        self._really_delete = _DELETE(self._original.delete)
        self._methods: dict[int, _Methods] = {}
        self._paths: dict[int, tuple[str, bool]] = {}  #: file -> path, and whether its folder is still to be synced

    def register(self) -> None:
        self._library.sqlite3_vfs_register(ctypes.addressof(self._vfs), 1)

    def unregister(self) -> None:
        self._library.sqlite3_vfs_unregister(ctypes.addressof(self._vfs))
        self._library.sqlite3_vfs_register(ctypes.addressof(self._original), 1)

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        tape = self.tape
        path = tape.inside(ctypes.string_at(name)) if tape and name else None
        if tape is None or path is None:
            return self._really_open(vfs, name, file, flags, out)
        new = not os.path.exists(os.path.join(tape.root, path))
        result = self._really_open(vfs, name, file, flags, out)
        if result == 0:
            if new:
                tape.add(Step("create", path))
            # SQLite syncs the folder of a log or journal it may have made with the first sync of the file.
            self._paths[file] = path, bool(flags & _OPEN_CREATE and flags & (_OPEN_WAL | _OPEN_JOURNAL))
            pointer = ctypes.c_void_p.from_address(file)
            pointer.value = ctypes.addressof(self._patched(pointer.value or 0))
        return result

    def _delete(self, vfs: int, name: int, sync_folder: int) -> int:
        tape = self.tape
        path = tape.inside(ctypes.string_at(name)) if tape else None
        if tape is not None and path is not None and os.path.exists(os.path.join(tape.root, path)):
            tape.add(Step("unlink", path))
            if sync_folder:
                tape.add(Step("syncdir", os.path.dirname(path) or "."))
        return self._really_delete(vfs, name, sync_folder)

    def _patched(self, original: int) -> _Methods:
        if original in self._methods:
            return self._methods[original]
        theirs = _Methods.from_address(original)
        mine = _Methods.from_buffer_copy(theirs)
        write, truncate, sync = _WRITE(theirs.write), _TRUNCATE(theirs.truncate), _SYNC(theirs.sync)

        def on_write(file: int, data: int, size: int, offset: int) -> int:
            self._note(file, "write", offset, ctypes.string_at(data, size))
            return write(file, data, size, offset)

        def on_truncate(file: int, size: int) -> int:
            self._note(file, "truncate", size)
            return truncate(file, size)

        def on_sync(file: int, flags: int) -> int:
            result = sync(file, flags)
            self._note(file, "sync")
            path, new = self._paths.get(file, ("", False))
            if new and self.tape is not None:
                self.tape.add(Step("syncdir", os.path.dirname(path) or "."))
                self._paths[file] = path, False
            return result

        deeds = [_WRITE(on_write), _TRUNCATE(on_truncate), _SYNC(on_sync)]
        self._keep += deeds
        mine.write, mine.truncate, mine.sync = (ctypes.cast(deed, _P).value for deed in deeds)
        self._methods[original] = mine
        self._methods[ctypes.addressof(mine)] = mine
        return mine

    def _note(self, file: int, deed: str, offset: int = 0, data: bytes = b"") -> None:
        if self.tape is not None and file in self._paths:
            self.tape.add(Step(deed, self._paths[file][0], offset, data))


_shim: _Shim | None = None


@contextmanager
def recording(root: Path, before: Callable[[int], None] = lambda index: None) -> Iterator[Tape]:
    """Record what this process does to the files under `root`. Open nothing there before, keep nothing open after."""
    global _shim
    _shim = _shim or _Shim()
    tape = Tape(root, before)
    with _shim.lock, _patched_os(tape):
        _shim.tape = tape
        _shim.register()
        try:
            yield tape
        finally:
            _shim.unregister()
            _shim.tape = None
            with tape._lock:
                tape._look_at_shared_memory()


@contextmanager
def _patched_os(tape: Tape) -> Iterator[None]:
    kept = {name: getattr(os, name) for name in ("open", "fsync", "link", "rename", "unlink", "mkdir")}

    def on_open(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        inside = tape.inside(path) if isinstance(path, (str, bytes, os.PathLike)) else None
        new = inside is not None and flags & os.O_CREAT and not os.path.exists(path)
        handle: int = kept["open"](path, flags, mode, **options)
        if new and inside is not None:
            tape.add(Step("create", inside))
            if flags & os.O_RDWR:
                tape.share(inside)
        return handle

    def on_fsync(handle: int) -> None:
        kept["fsync"](handle)
        path = tape.inside(os.readlink(f"/proc/self/fd/{handle}"))
        if path is not None and stat.S_ISDIR(os.fstat(handle).st_mode):
            tape.add(Step("syncdir", path))
        elif path is not None:
            tape.content(path)
            tape.add(Step("sync", path))

    def on_two(name: str) -> Callable[..., None]:
        def deed(source: Any, target: Any, **options: Any) -> None:
            first, second = tape.inside(source), tape.inside(target)
            if first is not None and second is not None and not (name == "link" and os.path.exists(target)):
                tape.add(Step(name, first, other=second))
            kept[name](source, target, **options)

        return deed

    def on_one(name: str) -> Callable[..., None]:
        def deed(path: Any, *arguments: Any, **options: Any) -> None:
            inside = tape.inside(path) if isinstance(path, (str, bytes, os.PathLike)) else None
            there, above = os.path.lexists(path), os.path.isdir(os.path.dirname(os.path.abspath(path)))
            if inside is not None and above and there == (name == "unlink"):
                tape.add(Step(name, inside))
            kept[name](path, *arguments, **options)

        return deed

    os.open, os.fsync, os.link, os.rename = on_open, on_fsync, on_two("link"), on_two("rename")  # type: ignore
    os.unlink, os.mkdir = on_one("unlink"), on_one("mkdir")  # type: ignore[assignment]
    try:
        yield
    finally:
        for name, deed in kept.items():
            setattr(os, name, deed)


# -- the other side: what is left -------------------------------------------------------------------------------------


class Inode:
    """A file: what is durable of it, and what was done to it since its last sync."""

    def __init__(self) -> None:
        self.durable = b""
        self.pending: list[Step] = []
        self.now = bytearray()

    def do(self, step: Step) -> None:
        _apply(self.now, step)
        self.pending.append(step)

    def sync(self) -> None:
        self.durable = bytes(self.now)
        self.pending = []


def _apply(data: bytearray, step: Step) -> None:
    if step.deed == "content":
        data[:] = step.data
    elif step.deed == "write":
        data.extend(bytes(max(0, step.offset - len(data))))
        data[step.offset : step.offset + len(step.data)] = step.data
    elif step.deed == "truncate":
        del data[step.offset :]
        data.extend(bytes(step.offset - len(data)))


class Disk:
    """The folder at one moment, as the system shows it and as it would come back after a power loss."""

    def __init__(self) -> None:
        self.files: dict[str, Inode] = {}
        self.folders: set[str] = {"."}
        self.durable_files: dict[str, Inode] = {}
        self.durable_folders: set[str] = {"."}
        self.pending: list[Step] = []  #: names given, changed and removed since their folder was last synced
        self._linked: dict[int, Inode] = {}

    def do(self, step: Step) -> None:
        """Take in one step."""
        match step.deed:
            case "create":
                self._name(step, Inode())
            case "content" | "write" | "truncate":
                if step.path not in self.files:
                    self._name(Step("create", step.path), Inode())
                self.files[step.path].do(step)
            case "sync":
                self.files[step.path].sync()
            case "rename" if step.path in self.folders:
                _move(self.files, self.folders, step)
                self.pending.append(step._replace(deed="move"))
            case "link" | "rename":
                self._name(step, self.files[step.path])
            case "unlink":
                self.files.pop(step.path, None)
                self.pending.append(step)
            case "mkdir":
                self.folders.add(step.path)
                self.pending.append(step)
            case "syncdir":
                kept = []
                for waiting in self.pending:
                    if _folder_of(waiting) == step.path:
                        self._commit(waiting, self.durable_files, self.durable_folders)
                    else:
                        kept.append(waiting)
                self.pending = kept

    def _name(self, step: Step, inode: Inode) -> None:
        if step.deed == "rename":
            del self.files[step.path]
        self.files[step.other or step.path] = inode
        waiting = step._replace(mark=inode)
        self.pending.append(waiting)

    @staticmethod
    def _commit(step: Step, files: dict[str, Inode], folders: set[str]) -> None:
        if step.deed == "mkdir":
            folders.add(step.path)
        elif step.deed == "move":
            _move(files, folders, step)
        elif step.deed == "unlink":
            files.pop(step.path, None)
        else:
            if step.deed == "rename":
                files.pop(step.path, None)
            files[step.other or step.path] = step.mark

    def after_kill(self) -> dict[str, bytes]:
        """What other processes see, and a killed one leaves."""
        return {path: bytes(inode.now) for path, inode in self.files.items()}

    def after_power_loss(self, dice: random.Random | None) -> dict[str, bytes]:
        """What may come back: durable things, and of the rest what the dice say (without dice: nothing)."""
        files, folders = dict(self.durable_files), set(self.durable_folders)
        for step in self.pending:
            if dice is not None and dice.random() < 0.5:
                self._commit(step, files, folders)
        return {
            path: _survivor(inode, dice)
            for path, inode in files.items()
            if all(str(folder) in folders for folder in Path(path).parents)
        }


def _move(files: dict[str, Inode], folders: set[str], step: Step) -> None:
    """Give a folder, with all that is in it, another name."""
    for path in [path for path in files if path.startswith(f"{step.path}/")]:
        files[step.other + path.removeprefix(step.path)] = files.pop(path)
    for path in [path for path in folders if f"{path}/".startswith(f"{step.path}/")]:
        folders.remove(path)
        folders.add(step.other + path.removeprefix(step.path))


def _folder_of(step: Step) -> str:
    return os.path.dirname(step.other or step.path) or "."


def _survivor(inode: Inode, dice: random.Random | None) -> bytes:
    data = bytearray(inode.durable)
    for step in inode.pending if dice is not None else ():
        fate = dice.random()
        if fate < 0.4:
            _apply(data, step)
        elif fate < 0.6 and step.deed == "write":  # torn: some of its sectors
            for at in range(0, len(step.data), SECTOR):
                if dice.random() < 0.5:
                    _apply(data, step._replace(offset=step.offset + at, data=step.data[at : at + SECTOR]))
    return bytes(data)


def lay_out(files: dict[str, bytes], folder: Path) -> Path:
    """Put a disk's files into a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def telling(tape: Tape, index: int) -> bool:
    """Whether the disk after a step differs from the one before in more than one more page of an open transaction."""
    if not 2 <= index <= len(tape.steps):
        return True
    one, two = tape.steps[index - 2 : index]
    return not (one.deed == two.deed == "write" and one.path == two.path) or index % 7 == 0


def disks(tape: Tape) -> Iterator[tuple[int, Disk]]:
    """The disk before the first step, and after each; one object that goes on changing."""
    disk = Disk()
    yield 0, disk
    for index, step in enumerate(tape.steps, start=1):
        disk.do(step)
        yield index, disk
