"""All that another process needs to open the same instance."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from ..errors import UsageError
from .place import Source
from .values import masked

VARIABLE: Final = "FOLDLOG_INSTANCE_REF"
FORMAT: Final = 1


class InstanceType(StrEnum):
    """Whether an instance outlives the process that made it."""

    EPHEMERAL = "EPHEMERAL"  #: in memory; no other process can open it
    PERSISTENT = "PERSISTENT"


@dataclass(frozen=True, kw_only=True)
class InstanceRef:
    """An instance by its configuration: pickles, is JSON, and opens the same log with the same parts in any process.

    Holds what the configuration file holds: `{env: NAME}` stays as it is and is looked up where the instance is
    opened; a password that was written out in a URL is in it, though never in its `repr`.
    """

    root: str | None  #: absolute; the folder that relative paths are meant from, and of local files
    config: Mapping[str, Any] = field(default_factory=dict)  #: as foldlog.yaml has it; plain values
    read_only: bool = False
    source: Source | None = field(default=None, repr=False, compare=False)  #: for messages; not in the JSON

    def to_json(self) -> str:
        """As text, for an environment variable or a file."""
        document = {"format": FORMAT, "root": self.root, "config": self.config, "read_only": self.read_only}
        return json.dumps(document, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`. Raises UsageError for what is none, or of a newer release."""
        try:
            document = json.loads(text)
            ref = cls(root=document["root"], config=document["config"], read_only=document["read_only"])
            written = document["format"]
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                "this is no reference to an instance; make one with instance.get_ref().to_json()"
            ) from None
        if written != FORMAT:
            raise UsageError(f"the reference is of format {written!r}, this release reads {FORMAT}: use one release")
        return ref

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """The one in FOLDLOG_INSTANCE_REF, where a launcher puts it. Raises UsageError if there is none."""
        if not (text := environment.get(VARIABLE)):
            raise UsageError(f"{VARIABLE} is not set: this process was not started by a launcher")
        return cls.from_json(text)

    def __repr__(self) -> str:
        return f"<InstanceRef {self.root} {masked(dict(self.config))}{' (read only)' if self.read_only else ''}>"
