"""A server of the Model Context Protocol, so that other agents can use RUNE. It needs the extra `mcp`.

It reads freely. It makes a job only with a cap, and only from a plan that was shown before: `mcp/spending.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rune_client.errors import SettingsError

if TYPE_CHECKING:
    from rune_client.client import AsyncRuneClient


def serve(client: AsyncRuneClient, *, limit_usd: float | None = None) -> None:
    """Serve on standard input and output until the other side ends.

    Parameters
    ----------
    limit_usd
        What the caps of all jobs made here may come to together; None is no limit besides each job's cap.

    Raises
    ------
    SettingsError
        The SDK is not installed.
    """
    try:
        from rune_client.mcp.server import make_server  # noqa: PLC0415  # loads a web server, which few need
    except ImportError as error:
        if (error.name or "").split(".")[0] not in {"mcp", "mcp_types"}:
            raise
        raise SettingsError("The SDK is missing: pip install 'rune-client[mcp]'.") from None
    make_server(client, limit_usd=limit_usd).run()
