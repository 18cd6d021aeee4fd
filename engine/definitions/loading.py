"""Finding and loading the code that a person means: a module, a file, or what pyproject.toml names.

Promises: a file is loaded once in a process, under one name; an error says whose fault it is, with file and line of the
user's code, and keeps the cause.
Not here: what the code holds. `members` lists objects of any types, and knows none of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module, invalidate_caches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from ..config.place import meant
from ..errors import UsageError, fault
from .import_faults import import_fault, no_module
from .project import Entry, project_entry

WAYS: Final = (
    "Name a module with -m MODULE, or a file with -f FILE.py, or write [tool.foldlog] with "
    '`module = "acme.pipelines"` or `file = "jobs.py"` into the pyproject.toml of this folder or one above.'
)


_PACKAGE: Final = __name__.partition(".")[0]
_LISTED: Final = 20  #: names in a remedy, at most


@dataclass(frozen=True, kw_only=True)
class LoadedCode:
    """A module of the user's, loaded."""

    module: ModuleType
    name: str  #: under which it is imported
    found_by: str  #: in words of the user: `-m acme.pipelines`, `[tool.foldlog] of /srv/acme/pyproject.toml`
    attribute: Any = None  #: the object that was asked for by name, if one was
    attribute_name: str | None = None


def load_module(
    module: str | None = None,
    file: str | Path | None = None,
    attribute: str | None = None,
    folder: str | Path | None = None,
    *,
    stays_importable: bool = False,
) -> LoadedCode:
    """The code that is meant, imported, with the working directory importable while it loads.

    `module`: its dotted name. `file`: a .py file; in a package (its folder has an __init__.py) it is imported as the
    package's module, else under its own name with its folder importable. Neither: what [tool.foldlog] of the
    pyproject.toml in the working directory, or the nearest above that has it, says. `attribute`: the name of an object
    in it. `folder`: the working directory, if it is another. `stays_importable`: what lies beside the code can be
    imported later, too, as by a function of it; for processes that load one program, and then execute it.

    What is loaded already is not loaded again. Raises UsageError for what is not there, or fails while it is imported.
    """
    here = Path(folder or Path()).resolve()
    if module is not None and file is not None:
        raise fault("both a module and a file are given", "Give one of -m MODULE and -f FILE.py.")
    entry = Entry.given(module, file, attribute)
    if module is None and file is None:
        if (found := project_entry(here)) is None:
            raise fault(f"nothing says which code to load: no module, no file, and no [tool.foldlog] in {here}", WAYS)
        entry = found.naming(attribute)
    try:
        loaded, chosen = _loaded(entry, here, stays=stays_importable)
    except UsageError as error:
        if entry.folder is None:
            raise
        raise fault(f"{error} (named by {entry.found_by})", error.remedy) from error.__cause__
    return LoadedCode(
        module=loaded,
        name=loaded.__name__,
        found_by=entry.found_by,
        attribute=chosen,
        attribute_name=entry.attribute,
    )


def _loaded(entry: Entry, here: Path, *, stays: bool) -> tuple[ModuleType, Any]:
    """The module, and the object in it that was asked for."""
    folder = entry.folder or here
    with _importable(folder, here, stays=stays):
        loaded = (
            _by_name(entry.module) if entry.module is not None else _by_file(folder / (entry.file or ""), stays=stays)
        )
    return loaded, _attribute(loaded, entry.attribute) if entry.attribute else None


def members(module: ModuleType, types: type | tuple[type, ...]) -> dict[str, Any]:
    """The objects of these types that a module has names for, imported ones too, in the order they were defined in.

    An object with several names comes once, under the first.
    """
    found: dict[int, tuple[str, Any]] = {}
    for name, value in vars(module).items():
        if isinstance(value, types):
            found.setdefault(id(value), (name, value))
    return dict(found.values())


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError:
        public = [one for one in vars(module) if not one.startswith("_")]
        own = [one for one in public if type(getattr(module, one)).__module__.startswith(f"{_PACKAGE}.")]
        listed = ", ".join(own[:_LISTED]) + (f" and {len(own) - _LISTED} more" if len(own) > _LISTED else "")
        where = module.__file__ or module.__name__
        raise fault(
            f"the module {module.__name__} has no {name!r}{meant(name, public)}",
            f"Name an object of {where}: {listed}." if own else f"There is no definition in {where}.",
        ) from None


def _by_name(name: str) -> ModuleType:
    is_file = name.endswith(".py") or "/" in name
    if is_file or not all(part.isidentifier() for part in name.split(".")):
        remedy = f"Load a file with -f {name}." if is_file else "Write a module's name with dots: acme.pipelines."
        raise fault(f"{name!r} is no name of a module", remedy)
    return _imported(name, lambda: import_module(name))


def _by_file(path: Path, *, stays: bool) -> ModuleType:
    file = path.resolve()
    _check_file(file)
    root, name = _name_in_package(file)
    if (loaded := _loaded_from(file)) is not None:
        with _importable(root, stays=stays):
            return loaded
    top = name.partition(".")[0]
    taken = sys.modules.get(top)
    if "." in name or file.name == "__init__.py":
        if taken is not None and _file_of(taken) != root / top / "__init__.py":
            raise _taken(file, top, taken)
        with _importable(root, stays=stays):
            return _imported(name, lambda: import_module(name))
    if taken is not None or top in sys.stdlib_module_names:
        raise _taken(file, top, taken)
    with _importable(root, stays=stays):
        return _imported(name, lambda: _executed(name, file))


def _check_file(file: Path) -> None:
    if file.is_dir():
        raise fault(f"{file} is a folder", "Name a file in it with -f, or a package with -m.")
    if not file.exists():
        near = [other.name for other in sorted(file.parent.glob("*.py"))]
        raise fault(f"there is no file {file}{meant(file.name, near)}", "Correct the path.")
    if file.suffix != ".py":
        raise fault(f"{file} is no Python file: its name does not end in .py", "Name a .py file, or a module with -m.")


def _name_in_package(file: Path) -> tuple[Path, str]:
    """The folder that a file's module is imported from, and its dotted name there."""
    root, parts = file.parent, [] if file.name == "__init__.py" else [file.stem]
    while (root / "__init__.py").exists() and root.name.isidentifier():
        root, parts = root.parent, [root.name, *parts]
    return root, ".".join(parts) or file.stem


def _loaded_from(file: Path) -> ModuleType | None:
    """The module that was loaded from the file, under whatever name."""
    for module in list(sys.modules.values()):
        shown = getattr(module, "__file__", None)
        if isinstance(shown, str) and shown.endswith(file.name) and _file_of(module) == file:
            return module
    return None


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None


def _taken(file: Path, name: str, by: ModuleType | None) -> UsageError:
    owner = _file_of(by) if by is not None else None
    return fault(
        f"{file} cannot be loaded as {name!r}: {owner or 'a module of Python itself'} has that name",
        f"Give {name} another name.",
    )


def _executed(name: str, file: Path) -> ModuleType:
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"nothing can load {file}")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # as Python's own import does: half a module must not be found by the next one
        raise
    return module


def _imported(name: str, load: Callable[[], ModuleType]) -> ModuleType:
    invalidate_caches()  # a file that was written a moment ago is seen
    try:
        return load()
    except ModuleNotFoundError as error:
        raise no_module(name, error) from error
    except (Exception, SystemExit) as error:  # whatever the user's code does while it loads
        raise import_fault(name, error) from error


@contextmanager
def _importable(*folders: Path, stays: bool = False) -> Iterator[None]:
    """What lies in the folders can be imported inside, the first before the others and before all else. `stays`: later,
    too, if nothing was raised."""
    added = list(dict.fromkeys(map(str, folders)))
    sys.path[:0] = added
    keep = False
    try:
        yield
        keep = stays
    finally:
        for folder in [] if keep else added:
            if folder in sys.path:  # the user's code may have changed it
                sys.path.remove(folder)
