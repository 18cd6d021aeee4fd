"""What a cloud store's error means, whichever package raised it: told by status and code, never by the message.

Packages translate errors of the ones they build on, so the status is looked for along the causes.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple


class Meaning(Enum):
    """What to do about it."""

    EXISTS = "there is such an object"
    MISSING = "there is no such object"
    EMPTY = "the object has no bytes from there on"
    AGAIN = "busy, or no answer"  #: it may have been done
    REFUSED = "access was refused"
    NOWHERE = "the bucket or container is not there"
    WRONG = "the store did not accept the request"
    UNFORESEEN = "an error of the program"


class Said(NamedTuple):
    """What a store answered."""

    status: int | None  #: of HTTP
    code: str  #: the store's own, or nothing


NOWHERE = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled", "InvalidBucketName"}
#: 409 and the like: two conditional writes of one name at once, of which this one did nothing
AT_ONCE = {"ConditionalRequestConflict", "OperationAborted"}
REFUSED = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "AccountProblem",
}
BUSY = {408, 429, 500, 502, 503, 504}

#: by name, since the packages are not imported for it
EXISTS_TYPES = {"FileExistsError", "ResourceExistsError"}
MISSING_TYPES = {"FileNotFoundError", "ResourceNotFoundError"}
REFUSED_TYPES = {
    "PermissionError",
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "ProfileNotFound",
    "TokenRetrievalError",
    "SSOError",
    "ClientAuthenticationError",
    "DefaultCredentialsError",
}
NO_ANSWER_TYPES = {
    "OSError",  # connections, timeouts, and whatever requests and aiohttp derive from it
    "TimeoutError",
    "HTTPClientError",
    "ConnectionError",  # of botocore, which is no OSError
    "ResponseParserError",
    "IncompleteReadError",
    "ClientError",  # of aiohttp; that of botocore has a status
    "ServiceRequestError",
    "ServiceResponseError",
    "RefreshError",
    "TransportError",
    "ChecksumError",
}
WRONG_TYPES = {"BotoCoreError", "AzureError", "GoogleAuthError"}


def meaning_of(error: BaseException) -> Meaning:
    """What an error of a store's package means."""
    said = said_by(error)
    if said.code in NOWHERE:
        return Meaning.NOWHERE
    if said.code in AT_ONCE or said.status in BUSY:
        return Meaning.AGAIN
    if said.code in REFUSED or said.status in (401, 403):
        return Meaning.REFUSED
    if said.status == 416:
        return Meaning.EMPTY
    names = {kind.__name__ for kind in type(error).__mro__}
    if said.status in (409, 412) or names & EXISTS_TYPES:
        return Meaning.EXISTS
    if said.status == 404 or names & MISSING_TYPES:
        return Meaning.MISSING
    if names & REFUSED_TYPES or str(error).startswith("Forbidden: "):  # gcsfs has no other sign of a 403
        return Meaning.REFUSED
    if said.status is not None or "ValueError" in names:
        return Meaning.WRONG
    if names & NO_ANSWER_TYPES:
        return Meaning.AGAIN
    return Meaning.WRONG if names & WRONG_TYPES else Meaning.UNFORESEEN


def said_by(error: BaseException) -> Said:
    """The status and the code of the first among an error and its causes that has them."""
    for one in _causes(error):
        response = getattr(one, "response", None)
        if isinstance(response, dict):  # botocore
            return Said(
                _number(response.get("ResponseMetadata", {}).get("HTTPStatusCode")),
                str(response.get("Error", {}).get("Code", "")),
            )
        for attribute in ("status_code", "status", "code"):  # azure, aiohttp, gcsfs
            if (status := _number(getattr(one, attribute, None))) is not None:
                return Said(status, str(getattr(one, "error_code", None) or ""))
    return Said(None, "")


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    for _ in range(10):  # a chain may be a circle
        if one is None:
            return
        yield one
        one = one.__cause__


def _number(value: Any) -> int | None:
    """An HTTP status, also one that is written as text."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    return number if 100 <= number <= 599 else None
