"""The log on object storage, or in a plain folder: `s3://`, `gs://`, `az://`, `file:///`.

One thing is asked of a store: of two who create one name, one is refused. Writers put segments of their own shards;
whoever sequences adds a step to the order. docs/backends.md and docs/decisions/0028 say how, and what it costs.
"""

from __future__ import annotations

from ...engine.log.port import Backend


def open_url(url: str, *, read_only: bool = False) -> Backend:
    """The log below a prefix, made on first use unless `read_only`. Raises UsageError for a URL that cannot be one, and
    for a store that does not refuse the second of two creates."""
    from .backend import ObjectBackend
    from .stores import open_objects

    return ObjectBackend(open_objects(url, create=not read_only), read_only=read_only, probes=True)


def check_url(url: str) -> None:
    """Raise UsageError for a URL that is none of a store of objects; nothing is opened."""
    from .stores import check_url

    check_url(url)
