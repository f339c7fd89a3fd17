"""How a cluster is read: one GET at a time. A live cluster and a recorded case answer alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ClusterAnswer:
    """What the API server answered to one GET, whatever its status.

    Attributes
    ----------
    content_type
        As sent, parameters included; empty where there is none.
    body
        As sent; a live cluster's is cut at the reader's bound, see `is_cut`.
    retry_after_seconds
        What the server asks to be waited, where it says so.
    """

    status: int
    content_type: str
    body: bytes
    retry_after_seconds: int | None = None
    is_cut: bool = False


class Cluster(Protocol):
    """One cluster, read with one credential. The caller closes it."""

    async def get(self, path: str, query: Mapping[str, str], *, accept: str) -> ClusterAnswer:
        """Return the answer to one GET.

        Parameters
        ----------
        path
            Below the server's own prefix, such as `/api/v1/namespaces/shop/pods`; each part is encoded.
        query
            Not yet encoded.

        Raises
        ------
        ModelServerError, AddressError
            There is no answer: of a live cluster alone.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
