"""The simulated Vast.ai's record of a request."""

from dataclasses import dataclass, field
from typing import ClassVar

from local.simulators.request_log import RequestRecord
from local.simulators.vastai.endpoints import Endpoint


@dataclass(slots=True, kw_only=True)
class VastaiRequest(RequestRecord):
    """One request; neither keys nor texts are kept.

    Attributes
    ----------
    endpoint
        None where the path is unknown.
    contract_ids
        Instances that it names.
    key
        `account`, `scoped`, `instance`, `none` or `wrong`.
    body
        As sent, of searches, orders and changes.
    """

    filters: ClassVar[tuple[str, ...]] = ("method", "path", "endpoint")

    query: dict[str, str] = field(default_factory=dict)
    endpoint: Endpoint | None = None
    contract_ids: tuple[int, ...] = ()
    key: str = "none"
    body: object = None
