"""Values as files: in a folder, or in any store that fsspec has a URL for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args, get_origin

from ...config.place import meant
from ...errors import UsageError
from ...events.metadata import PathMetadata, UrlMetadata
from ...secrecy import Secrecy, options_for, shown_url
from ..store_errors import translated
from ..stores import Store, local_folder, open_store
from . import newest
from .contexts import InputContext, OutputContext
from .formats import FORMATS, Unfit, prepare
from .io_manager import IOManager
from .loading import load_each, missing
from .newest import Found
from .pickled import OfScript
from .places import place_of
from .tables import NotInstalled
from .value_id import ValueId

LOOKS = 10  #: how often a value is looked for whose file goes away between finding and opening it


class FilesIOManager(IOManager):
    """Keeps each value in a file below `base`: a folder, or a URL of fsspec, as `s3://bucket/values`.

    `format`: one for all values (json, msgpack, parquet, pickle), which refuses a value that would not come back equal;
        or "auto", which chooses for each: tables of pandas, polars and pyarrow as parquet; what JSON gives back
        exactly as json; the same with bytes in it as msgpack; all else as pickle. Reading finds the format by the
        file's ending. Unpickling runs code: load only what you have written.
    `storage_options`: what fsspec wants to know to open the store, credentials too; shown nowhere. If none are given,
        the environment's FOLDLOG_STORAGE_OPTIONS, a JSON object, is used for stores other than local ones.

    A value is whole or not there, also after a crash, and one that is written anew replaces the former at once (see
    ../stores.py and newest.py for what that means in each kind of store, and when the format changes). Large values are
    not copied in memory as pickle and parquet; as json and msgpack once. Thread-safe; pickles; making one touches
    nothing. Raises UsageError for a value that does not go into the format, one that is not there and a file that is
    damaged; UnavailableError if the store does not answer.
    """

    def __init__(
        self, base: str | Path, *, format: str = "auto", storage_options: Mapping[str, Any] | None = None
    ) -> None:
        if format != "auto" and format not in FORMATS:
            error = UsageError(f"format={format!r} is not known{meant(format, ['auto', *FORMATS])}")
            error.remedy = f"Choose auto, {', '.join(FORMATS)}."
            raise error
        if not str(base):
            raise UsageError("base is empty; give a folder or a URL, as s3://bucket/values")
        folder = base.expanduser() if isinstance(base, Path) else local_folder(base)  # which knows `~`, too
        self._base = str(base) if folder is None else str(folder.absolute())  # wherever the process goes later
        self._is_local = folder is not None
        self._format = format
        self._options = None if storage_options is None else dict(storage_options)

    def handle_output(self, context: OutputContext, value: Any) -> None:
        place = place_of(context.value_id)
        try:
            name, prepared = prepare(value, self._format, lambda text: context.log.info("%s: %s", context.shown, text))
            with self._store(f"{context.shown} cannot be written") as store:
                file, size = newest.replace(store, place, name, prepared.write)
        except Unfit as unfit:
            error = UsageError(f"{context.shown}: {unfit}")
            error.remedy = unfit.remedy
            raise error from unfit.__cause__
        address = shown_url(store.address(file))
        path = PathMetadata(address) if store.is_local else UrlMetadata(address)
        context.add_output_metadata({"path": path, "bytes": size, "format": name, **prepared.metadata})

    def load_input(self, context: InputContext) -> Any:
        with self._store(f"{context.shown} cannot be loaded") as store:
            return load_each(
                context,
                lambda value_ids: _found(store, value_ids),
                lambda value_id, found: self._load(store, context, value_id, found),
            )

    def _load(self, store: Store, context: InputContext, value_id: ValueId, found: Found) -> Any:
        for _ in range(LOOKS):
            try:
                with store.open(found.place, found.stat) as file:
                    return self._read(file, store, context, value_id, found)
            except FileNotFoundError:  # written anew meanwhile, in another format
                again = _found(store, [value_id])
                if value_id not in again:
                    break
                found = again[value_id]
        raise missing(context, [value_id])

    def _read(self, file: Any, store: Store, context: InputContext, value_id: ValueId, found: Found) -> Any:
        try:
            return FORMATS[found.format].read(file, _hint(context))
        except MemoryError:
            raise
        except Exception as error:  # each format has errors of its own, and pickle those of any code
            problem = f"{shown_url(store.address(found.place))} cannot be read as {found.format}"
            place = f"{context.shown}: {value_id}: {problem}"
            if isinstance(error, OfScript):
                told = UsageError(f"{place}: {error}")
                told.remedy = error.remedy.format(maker=value_id.maker)
                raise told from None
            told = UsageError(f"{place}: {type(error).__name__}: {error}")
            told.remedy = (
                f"If the file is damaged, {value_id.maker}; if it needs code or a package, make it importable."
            )
            if isinstance(error, NotInstalled):
                told.remedy = "Install the package, or annotate the input with the type of table that you want."
            raise told from error

    @contextmanager
    def _store(self, problem: str) -> Iterator[Store]:
        options = options_for(self._options, is_local=self._is_local)
        with translated(problem, Secrecy(self._base, options), Unfit):
            yield open_store(self._base, options)

    def __repr__(self) -> str:
        return f"<FilesIOManager {shown_url(self._base)}, format {self._format}>"


def _found(store: Store, value_ids: Sequence[ValueId]) -> dict[ValueId, Found]:
    places = {value_id: place_of(value_id) for value_id in value_ids}
    found = newest.find(store, list(places.values()))
    return {value_id: found[place] for value_id, place in places.items() if place in found}


def _hint(context: InputContext) -> Any:
    """The type that is wanted of one value: of several partitions, that of the values of the dict."""
    hint = context.type_hint
    if len(context.value_ids) != 1 and get_origin(hint) is dict:
        return get_args(hint)[1]
    return hint
