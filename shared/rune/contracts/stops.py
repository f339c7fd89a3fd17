"""What callers get about a stop of everything."""

from datetime import datetime
from typing import Literal

from rune.contracts.document import Document


class StopRequest(Document):
    """Nothing: a stop has no options, and one that is asked for in another way is not what was meant."""


class StoppedMachine(Document):
    """A machine that is not proven gone, and so may bill."""

    rental_id: str
    state: str
    price_usd_per_hour: float


class StopReport(Document):
    """Whether everything of your tenant is stopped, and what has not ended yet."""

    stopped_by: Literal["tenant", "operator"] | None
    """Whose stop holds; null where none does."""
    since: datetime | None
    done: bool
    """Whether a stop holds and nothing is left: no active job, and each machine is proven gone."""
    running_job_count: int
    """Jobs that run, those that give a machine back among them."""
    waiting_job_count: int
    machines: list[StoppedMachine]
    usd_per_hour: float
    """What these machines cost an hour together, running."""
