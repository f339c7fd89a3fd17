"""Client of RUNE: submit jobs, follow them, read what was measured and what it cost.

Names are loaded when they are first used, as the command line's help needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rune_client.version import __version__

if TYPE_CHECKING:
    from rune_client.client import AsyncRuneClient, RuneClient
    from rune_client.errors import (
        ApiError,
        BudgetError,
        ConflictError,
        InvalidArgumentError,
        NetworkError,
        NotAuthorizedError,
        NotFoundError,
        RateLimitedError,
        RefusedError,
        RuneError,
        ServerError,
        UnreadableAnswerError,
        WaitTimedOutError,
    )
    from rune_client.flows import Update

_CLIENTS = ("AsyncRuneClient", "RuneClient")
_FLOWS = ("Update",)

__all__ = [
    "ApiError",
    "AsyncRuneClient",
    "BudgetError",
    "ConflictError",
    "InvalidArgumentError",
    "NetworkError",
    "NotAuthorizedError",
    "NotFoundError",
    "RateLimitedError",
    "RefusedError",
    "RuneClient",
    "RuneError",
    "ServerError",
    "UnreadableAnswerError",
    "Update",
    "WaitTimedOutError",
    "__version__",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "client" if name in _CLIENTS else "flows" if name in _FLOWS else "errors"
    return getattr(import_module(f"{__name__}.{home}"), name)
