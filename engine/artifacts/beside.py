"""Where a log on object storage has what is no event: on the same store, below the log's prefix.

    URL/values/LOG_ID/…   values between steps, unless a job or a run says otherwise
    URL/files/…           files of the file manager, unless the configuration names another

No object of the log has a name that begins so. Other logs, as SQLite homes and those on servers, keep both in the
folder of the local artifacts.
"""

from __future__ import annotations

from urllib.parse import unquote

#: of URLs of logs that are made of objects
SCHEMES = frozenset(("s3", "gs", "gcs", "az", "abfs", "abfss", "file"))
VALUES = "values"
FILES = "files"


def beside_objects(url: str | None, name: str) -> str | None:
    """The URL of `name` on the store of the log at `url`, for fsspec; None if the log is none of objects."""
    scheme, mark, _ = (url or "").partition("://")
    if url is None or not mark or scheme.lower() not in SCHEMES:
        return None
    place = f"{url.partition('?')[0].rstrip('/')}/{name}"
    return unquote(place) if scheme.lower() == "file" else place  # fsspec takes paths as they are
