"""The janitor, which runs once a minute."""

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
orphan_sweep = None
if settings.vastai.is_present:
    orphan_sweep = OrphanSweep(
        provider=clients.provider(settings.table, settings.vastai, clock),
        rental_store=clients.rental_store(settings.table),
        jobs=store,
        clock=clock,
        stage=settings.vastai.stage,
        pause=asyncio.sleep,
    )

TIME_TO_STOP_MS = 5_000
TIME_FOR_TURNS_MS = 25_000
"""Reserved for late turns, which come after the machines: a late turn costs nothing, a machine bills."""


class Context(Protocol):
    """What Lambda says about the invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds until Lambda ends the invocation."""
        ...


def handle(_event: dict[str, object], context: Context) -> dict[str, int]:
    """Destroy machines that should not be alive, then send late turns again, as far as the time allows."""
    swept = _sweep_orphans(context)
    sent_count = redispatch_late_turns(
        store, queue, clock, lambda: context.get_remaining_time_in_millis() > TIME_TO_STOP_MS
    )
    log.info("tick.done", extra={"sent": sent_count, "destroyed": swept.destroyed_count})
    return {"sent": sent_count, "destroyed": swept.destroyed_count, "proven": swept.proven_count}


def _sweep_orphans(context: Context) -> SweepResult:
    if orphan_sweep is None:
        return SweepResult()
    sweep = orphan_sweep.sweep(lambda: context.get_remaining_time_in_millis() > TIME_FOR_TURNS_MS)
    try:
        return asyncio.run(sweep, loop_factory=asyncio.new_event_loop)
    except StoreUnavailableError:
        # The late turns may still be sent.
        log.exception("rentals.store_unavailable")
        return SweepResult()
    except Exception:
        # The outermost edge: an unforeseen error must not keep late turns from being sent.
        log.exception("rentals.sweep_failed", extra={"metric": "RentalListingsFailed"})
        return SweepResult()
