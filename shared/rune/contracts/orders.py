"""What other services send: a job's kind and the request that the API takes for that kind."""

from typing import Annotated, Any

from pydantic import Field

from rune.contracts.document import Document
from rune.contracts.records import KindName

type ProducersKey = Annotated[str, Field(min_length=1, max_length=255)]
"""The sender's own name for what it wants done; the same name is the same job."""


class JobOrder(Document):
    """A job that another service wants done."""

    kind: KindName
    """As in the path of the API's route."""
    request: dict[str, Any]
    """The body of that route."""


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


class RequestedMetadata(Document):
    """What the sender of an event says of it. A tenant is none of that."""

    idempotency_key: ProducersKey | None = None


class RequestedDetail(Document):
    """The detail of `rune.job.requested`."""

    metadata: RequestedMetadata = RequestedMetadata.model_construct()
    data: JobOrder
