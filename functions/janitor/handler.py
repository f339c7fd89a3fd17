"""The minute tick."""

import logging
import os
from typing import Protocol

from rune import logs
from rune.clock import SystemClock
from rune.jobs.aws import Clients
from rune.jobs.plan import Lane
from rune.jobs.sweep import send_late_turns
from rune.settings import JanitorSettings

logs.configure()
log = logging.getLogger(__name__)

settings = JanitorSettings.from_environment(os.environ)
clients = Clients()
store = clients.job_store(settings.table, bucket=None)
queue = clients.step_queue(
    {Lane.CONTROL: settings.control_queue_url, Lane.INFERENCE: settings.inference_queue_url}
)
clock = SystemClock()

TIME_TO_STOP_MS = 5_000


class Context(Protocol):
    """What Lambda tells of the invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds until Lambda ends the invocation."""
        ...


def handle(_event: dict[str, object], context: Context) -> dict[str, int]:
    """Send the messages of late turns again, as many as the time allows."""
    sent_count = send_late_turns(
        store, queue, clock, lambda: context.get_remaining_time_in_millis() > TIME_TO_STOP_MS
    )
    log.info("tick.done", extra={"sent": sent_count})
    return {"sent": sent_count}
