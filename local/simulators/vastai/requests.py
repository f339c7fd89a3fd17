"""The list of requests that the API has seen."""

import itertools
from collections import Counter, deque
from dataclasses import asdict, dataclass, field

from local.simulators.vastai.endpoints import Endpoint
from local.simulators.vastai.faults import FaultKind
from local.simulators.vastai.wire import Delivery

REMEMBERED_REQUEST_COUNT = 10_000


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """One request as the API saw it; neither keys nor texts are kept.

    Attributes
    ----------
    at
        Epoch seconds.
    endpoint
        None where the path is unknown.
    contract_ids
        Instances that it names.
    key
        `account`, `scoped`, `instance`, `none` or `wrong`.
    body
        As sent; only of search, create and changes, for tests that look at what a client sends.
    """

    number: int
    at: float
    method: str
    path: str
    query: dict[str, str]
    status: int = 0
    endpoint: Endpoint | None = None
    contract_ids: tuple[int, ...] = ()
    key: str = "none"
    fault: FaultKind | None = None
    delivery: Delivery = Delivery.NORMAL
    body: object = None

    def describe(self) -> dict[str, object]:
        """Return the record as the control route shows it."""
        return asdict(self)


@dataclass(slots=True)
class RequestLog:
    """The latest ten thousand requests, and counts of all."""

    records: deque[RequestRecord] = field(default_factory=lambda: deque(maxlen=REMEMBERED_REQUEST_COUNT))
    _counts: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def next_number(self) -> int:
        """Return the number of the request that comes in now."""
        return next(self._numbers)

    def add(self, record: RequestRecord) -> None:
        """Keep a request that has its status."""
        self.records.append(record)
        self._counts[record.method, record.endpoint or "", record.status] += 1

    def select(
        self,
        *,
        method: str | None = None,
        path: str | None = None,
        endpoint: Endpoint | None = None,
        status: int | None = None,
        contract_id: int | None = None,
    ) -> list[RequestRecord]:
        """Return what is remembered of the requests that fit, oldest first."""
        return [
            record
            for record in self.records
            if (method is None or record.method == method)
            and (path is None or record.path == path)
            and (endpoint is None or record.endpoint is endpoint)
            and (status is None or record.status == status)
            and (contract_id is None or contract_id in record.contract_ids)
        ]

    def count(
        self, *, method: str | None = None, endpoint: Endpoint | None = None, status: int | None = None
    ) -> int:
        """Return how many requests there have ever been that fit."""
        return sum(
            count
            for (a_method, an_endpoint, a_status), count in self._counts.items()
            if (method is None or a_method == method)
            and (endpoint is None or an_endpoint == endpoint)
            and (status is None or a_status == status)
        )

    def clear(self) -> None:
        """Forget them all."""
        self.records.clear()
        self._counts.clear()
