"""Names of files: any text may name a thing, and no two names share a file.

Promises: a name never leaves its folder; it is at most 121 bytes long, so that an ending fits behind it; names that
differ in case only are two files also where the file system knows no case. The same name gives the same file for ever.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from ..errors import UsageError

PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.=+@-]{0,119}")  #: what stands on disk as it is; no upper case, no `~`
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")  #: no file of Windows can be called so


def file_name(name: str) -> str:
    """The name on disk: the name itself if that is safe, else what is readable of it, `~`, and a hash of it.

    Raises UsageError if it is not text, or empty.
    """
    if not isinstance(name, str) or not name:
        raise UsageError(f"{name!r:.80} names no file; wanted text that is not empty")
    if PLAIN.fullmatch(name) and not name.endswith(".") and not DEVICES.fullmatch(name):
        return name
    readable = re.sub(r"[^a-z0-9_=+@-]+", "-", name[:80].lower()).strip("-")
    return f"{readable}~{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
