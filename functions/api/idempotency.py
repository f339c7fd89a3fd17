"""Idempotency keys, as callers send them, and the answer to what was accepted under one."""

import re
from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response

from rune.contracts import JobAccepted
from rune.errors import IdempotencyKeysDifferError, InvalidRequestError
from rune.jobs.store import Submitted

_KEY = re.compile(
    r'"([\x21\x23-\x7e][\x20\x21\x23-\x7e]{0,254})"|([\x21\x23-\x7e][\x20\x21\x23-\x7e]{0,254})'
)

_NAMES = ("Idempotency-Key", "X-Idempotency-Key")
"""The second is what some clients call the first."""

KEY_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Your own name for this request, up to 255 printable characters, bare or quoted (with a "
            "comma: quoted). The same key with the same request is the same job, for as long as the "
            "job is kept and a day more.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 257},
        }
    ]
}
"""Documented here and read from the request: resolving a parameter takes FastAPI longer than all that RUNE does."""


def key_of(request: Request) -> str | None:
    """Return the request's key, by either name of the header; None where it has none.

    Raises
    ------
    InvalidRequestError
        It is no key.
    IdempotencyKeysDifferError
        It has two, by two names or in a header that came twice.
    """
    offered = [(name, value) for name in _NAMES for value in request.headers.getlist(name)]
    keys = {_bare(name, key) for name, value in offered for key in _split(value)}
    if len(keys) > 1:
        raise IdempotencyKeysDifferError
    return keys.pop() if keys else None


def accepted(submitted: Submitted, response: Response, warnings: Sequence[str] = ()) -> JobAccepted:
    """Return the answer to a job that was accepted, now or earlier under the same key.

    Parameters
    ----------
    warnings
        What is done otherwise than asked, by name.
    """
    response.headers["Location"] = f"/v1/jobs/{submitted.job_id}"
    if submitted.is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    return JobAccepted(job_id=submitted.job_id, warnings=list(warnings) or None)


def _split(value: str) -> list[str]:
    """Return the keys of a header that may have come more than once, which API Gateway joins with commas.

    So a key without quotes has no comma.
    """
    return re.split(r",(?=\s*\")" if value.lstrip().startswith('"') else ",", value)


def _bare(name: str, key: str) -> str:
    """Return the key without the quotes that the IETF's draft asks for and most clients leave out."""
    match = _KEY.fullmatch(key.strip())
    if match is None:
        raise InvalidRequestError(
            f"{name} must be 1 to 255 printable ASCII characters.",
            pointer=f"/header/{name}",
            code="invalid_idempotency_key",
        )
    return match[1] or match[2]
