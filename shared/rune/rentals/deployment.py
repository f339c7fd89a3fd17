"""Which deployment this is: an id that is made once, kept in the table, and part of the label of every machine.

Two deployments of one stage may share an account of the provider. The stage does not tell their machines apart; the
id does.
"""

import secrets
from dataclasses import dataclass
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
    """

    deployment_id: str


class DeploymentStore(Protocol):
    """Where that is stored. Every method raises StoreUnavailableError when the store cannot be reached."""

    def read(self) -> Deployment:
        """Return the deployment as all earlier writes left it; the first call of all makes its id."""
        ...


def make_deployment_id() -> str:
    """Return a new id."""
    return secrets.token_hex(_ID_BYTES)
