"""Open a log by URL: the one place where a backend and the codec are put together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..backends import check_url, open_backend
from ..serdes import Codec
from .errors import UsageError
from .log.log import EventLog

if TYPE_CHECKING:
    import sqlalchemy as sa

    from ..backends.postgres.address import Address
    from .config.configuration import Configuration
    from .config.storage import Storage


def open_log(url: str, *, read_only: bool = False) -> EventLog:
    """The log at a URL, created on first use.

    `memory://` · `sqlite:///DIR` (`?layout=consolidated`, `?durability=process`) · `postgresql://…` ·
    `mysql://…` · objects in a bucket, `s3://BUCKET/PREFIX`, `gs://…` or `az://…`, with credentials from
    FOLDLOG_STORAGE_OPTIONS or as the store's own tools find them · objects in a folder, `file:///DIR`
    (`?durability=process`). `sqlite:///./DIR` and `file:///./DIR` are relative.
    `read_only`: answers as of what others have sequenced, and needs no right to write.

    Raises UsageError for a URL no backend knows, CorruptLogError for a store that is damaged or of another program,
    UnavailableError if a server gives no answer.
    """
    return EventLog(open_backend(url, read_only=read_only), Codec(), read_only=read_only)


def open_storage(configuration: Configuration, storage: Storage, *, read_only: bool = False) -> EventLog:
    """The log of a configuration: by URL, or by a class. Raises what `open_log` raises, with the place in the file."""
    if storage.views is not None:
        with _told_of(storage):  # before the log is made, and with the line; the first question would have neither
            views_place(storage.views)
    if storage.data is not None:
        from .config.storage import LogStorage

        made = storage.data.rehydrate(LogStorage, context=configuration.context, role="storage")
        return EventLog(made.open_backend(read_only=read_only), Codec(), read_only=read_only)
    with _told_of(storage):
        return open_log(storage.url or "", read_only=read_only)


def check_storage_urls(storage: Storage) -> None:
    """Raise UsageError, with the place in the file, for a URL of log or views that cannot be one. Nothing is opened."""
    with _told_of(storage):
        if storage.data is None:
            check_url(storage.url or "")
        if storage.views is not None:
            place = views_place(storage.views)
            if place is not None and not isinstance(place, Path):
                from ..backends.postgres.address import Address, check_options

                if isinstance(place, Address):
                    check_options(place)


@contextmanager
def _told_of(storage: Storage) -> Iterator[None]:
    place = storage.place
    try:
        yield
    except UsageError as error:
        if type(error) is UsageError and (place.where or place.hidden):
            # What comes from the environment is masked; the cause would show it.
            raise place.fault(str(error), error.remedy) from (None if place.hidden else error)
        raise


class Server(NamedTuple):
    """A database on a server, for views."""

    target: sa.URL  #: with the password, which SQLAlchemy hides when it is printed
    schema: str
    shown: str  #: the URL without a password


def views_place(url: str) -> Path | Address | Server | None:
    """Where `views=URL` keeps them: in a file, on a server, or in memory (None). Raises UsageError for another URL."""
    scheme, mark, rest = url.partition("://")
    if scheme == "memory" and not rest:
        return None
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        path = Path(rest[1:])
        if path.is_dir():
            raise UsageError(f"views={url!r} names a folder; name a file, as sqlite:///./views.db")
        return path
    if scheme in ("postgresql", "postgres", "postgresql+psycopg2"):
        from ..backends.postgres.address import parse

        return parse(url)
    if scheme in ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"):
        return _in_mysql(url)
    given = f"{scheme}://…" if mark else "… with no scheme"  # the rest may be a password
    raise UsageError(f"views={given}: write memory://, sqlite:///FILE, postgresql://… or mysql://…")


def _in_mysql(url: str) -> Server:
    import sqlalchemy as sa

    from ..backends.mysql.address import parse

    address, given = parse(url), sa.make_url(url)
    if "ssl_mode" in given.query:
        raise UsageError("views=mysql://…: ssl_mode is for logs alone; give ssl_ca, ssl_cert and ssl_key")
    target = given.difference_update_query(["durability"]).set(drivername="mysql+pymysql")
    return Server(target, address.database, address.shown)
