"""The minute tick."""

import asyncio
import logging
import os
from typing import Protocol

from rune import logs
from rune.aws.wiring import Clients
from rune.clock import SystemClock
from rune.errors import StoreUnavailableError
from rune.jobs.plan import Lane
from rune.services.orphan_sweep import OrphanSweep, SweepResult
from rune.services.redispatch import redispatch_late_turns
from rune.settings import JanitorSettings

logs.configure(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "janitor"))
log = logging.getLogger(__name__)

settings = JanitorSettings.from_environment(os.environ)
clients = Clients()
store = clients.job_store(settings.table, bucket=None)
queue = clients.step_queue(
    {Lane.CONTROL: settings.control_queue_url, Lane.INFERENCE: settings.inference_queue_url}
)
clock = SystemClock()
reaper = None
if settings.vastai.is_present:
    reaper = OrphanSweep(
        provider=clients.provider(settings.table, settings.vastai, clock),
        rental_store=clients.rental_store(settings.table),
        jobs=store,
        clock=clock,
        stage=settings.vastai.stage,
        pause=asyncio.sleep,
    )

TIME_TO_STOP_MS = 5_000
TIME_FOR_TURNS_MS = 25_000
"""Kept for late turns, which are sent after the machines were looked at: they wait cheaply, machines do not."""


class Context(Protocol):
    """What Lambda tells of the invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds until Lambda ends the invocation."""
        ...


def handle(_event: dict[str, object], context: Context) -> dict[str, int]:
    """Destroy what should not be alive, and send the messages of late turns again, as far as the time allows."""
    reaped = _reap(context)
    sent_count = redispatch_late_turns(
        store, queue, clock, lambda: context.get_remaining_time_in_millis() > TIME_TO_STOP_MS
    )
    log.info("tick.done", extra={"sent": sent_count, "destroyed": reaped.destroyed_count})
    return {"sent": sent_count, "destroyed": reaped.destroyed_count, "proven": reaped.proven_count}


def _reap(context: Context) -> SweepResult:
    if reaper is None:
        return SweepResult()
    sweep = reaper.sweep(lambda: context.get_remaining_time_in_millis() > TIME_FOR_TURNS_MS)
    try:
        return asyncio.run(sweep, loop_factory=asyncio.new_event_loop)
    except StoreUnavailableError:
        # The other half of the tick may still get through.
        log.exception("rentals.store_unavailable")
        return SweepResult()
    except Exception:
        # The outermost edge: whatever nobody foresaw must not keep late turns from being sent.
        log.exception("rentals.sweep_failed", extra={"metric": "RentalListingsFailed"})
        return SweepResult()
