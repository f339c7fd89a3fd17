"""Deprecated names of routes: they work, and announce when they end."""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from fastapi import Depends, Response

DEPRECATED_AT = datetime(2026, 11, 23, tzinfo=UTC)
SUNSET_AT = datetime(2027, 11, 23, tzinfo=UTC)


def deprecated_alias_of(path: str) -> Any:  # noqa: ANN401  # what fastapi.Depends returns
    """Return a dependency that marks the answer as that of a deprecated name for `path`.

    It sets `Deprecation` (RFC 9745), `Sunset` (RFC 8594), and `Link` with the path to call instead.
    """

    async def mark(response: Response) -> None:
        response.headers["Deprecation"] = f"@{int(DEPRECATED_AT.timestamp())}"
        response.headers["Sunset"] = format_datetime(SUNSET_AT, usegmt=True)
        response.headers["Link"] = f'<{path}>; rel="successor-version"'

    return Depends(mark)
