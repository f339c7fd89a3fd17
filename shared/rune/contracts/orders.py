"""What other services send: a job's kind and the request that the API takes for that kind.

A field that is not named here is refused by name, as in a request.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from rune.contracts.document import Document
from rune.contracts.records import KindName


def _refuse_null(value: object) -> object:
    if value is None:
        raise ValueError("Leave the key out, or give one of 1 to 255 printable ASCII characters.")
    return value


type ProducersKey = Annotated[
    Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[ -~]+$")] | None,
    BeforeValidator(_refuse_null),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}),
]
"""The sender's own name for what it wants done; the same name is the same job. A null is a mistake, such as
a placeholder for what was absent: without a key it would become a second job."""


class JobOrder(Document):
    """A job that another service wants done."""

    kind: KindName
    """As in `POST /v1/jobs/{kind}`."""
    request: dict[str, Any]
    """The body of that request."""


class KeyedJobOrder(JobOrder):
    """A job with the sender's name for it."""

    idempotency_key: ProducersKey = None


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

    idempotency_key: ProducersKey = None
    """Requests with the same key make one job; without one, the `id` of the event on the bus is the key."""


class JobRequested(Document):
    """The `detail` of an event on the bus that asks for a job."""

    metadata: JobRequestedMetadata = JobRequestedMetadata.model_construct()
    data: JobOrder
