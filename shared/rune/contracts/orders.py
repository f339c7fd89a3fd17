"""What other services send: a job's kind and the request that the API takes for that kind.

A field that is not named here is refused by name, as in a request.
"""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from rune.contracts.document import Document
from rune.contracts.records import KindName

type ProducersKey = Annotated[str, Field(min_length=1, max_length=255)]
"""The sender's own name for what it wants done; the same name is the same job."""


class JobOrder(Document):
    """A job that another service wants done."""

    kind: KindName
    """As in `POST /v1/jobs/{kind}`."""
    request: dict[str, Any]
    """The body of that request."""


class KeyedJobOrder(JobOrder):
    """A job with the sender's name for it."""

    idempotency_key: ProducersKey | None = None


class WorkflowJobOrder(KeyedJobOrder):
    """A job whose end a task of a state machine waits for."""

    task_token: str = Field(min_length=1, max_length=2048)
    """`$$.Task.Token`. Its holder can end the workflow."""
    execution: str = Field(min_length=1, max_length=2048)
    """`$$.Execution.Id`."""
    state: str = Field(min_length=1, max_length=255)
    """`$$.State.Name`."""


class JobRequestedMetadata(Document):
    """What the sender of an event says of it; what RUNE does not know of it is ignored.

    The tenant is none of that: it follows from the event's source.
    """

    model_config = ConfigDict(extra="ignore")

    idempotency_key: ProducersKey | None = None
    """Requests with the same key make one job; without one, the `id` of the event on the bus is the key."""


class JobRequested(Document):
    """The `detail` of an event on the bus that asks for a job."""

    metadata: JobRequestedMetadata = JobRequestedMetadata.model_construct()
    data: JobOrder
