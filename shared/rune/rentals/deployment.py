"""Which deployment this is: an id that is made once, kept in the table, and part of the label of every machine.

Two deployments of one stage may share an account of the provider. The stage does not tell their machines apart; the
id does.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

_ID_BYTES = 5
"""A label then has at most 59 characters. 60 are known to be taken
(https://github.com/dstackai/dstack, core/backends/vastai); the reference allows 256."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The deployment to which the table belongs.

    Attributes
    ----------
    deployment_id
        Ten hexadecimal digits; never changes.
    closed_at
        Since when nothing may be rented any more; None while it may.
    """

    deployment_id: str
    closed_at: datetime | None = None


class DeploymentStore(Protocol):
    """Where that is stored. Every method raises StoreUnavailableError when the store cannot be reached."""

    def read(self) -> Deployment:
        """Return the deployment as all earlier writes left it; the first call of all makes its id."""
        ...

    def close(self, now: datetime) -> Deployment:
        """End renting, unless it has ended before; return the deployment as it then is."""
        ...

    def reopen(self) -> Deployment:
        """Let machines be rented again; return the deployment as it then is."""
        ...


def make_deployment_id() -> str:
    """Return a new id."""
    return secrets.token_hex(_ID_BYTES)
