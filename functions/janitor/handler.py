"""The janitor, which runs once a minute."""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import TYPE_CHECKING, Protocol

from janitor.settings import JanitorSettings
from rune import logs
from rune.aws.wiring import Clients
from rune.clock import SystemClock
from rune.errors import StoreUnavailableError
from rune.jobs.admission import Admission
from rune.jobs.plan import Lane
from rune.schedules.due import MOST_AT_ONCE
from rune.services.late_jobs import LateJobSweep
from rune.services.notices import NoticeSweep
from rune.services.tick import JobTick

if TYPE_CHECKING:
    from collections.abc import Callable

    from rune.services.charge_reading import ChargeReading
    from rune.services.credit_check import CreditCheck
    from rune.services.late_webhooks import LateWebhooks
    from rune.services.leaving import Leaving
    from rune.services.orphan_sweep import OrphanSweep, SweepResult
    from rune.services.schedule_tick import ScheduleTick
    from rune.services.stopping import Stopping

logs.configure(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "janitor"))
log = logging.getLogger(__name__)

settings = JanitorSettings.from_environment(os.environ)
clients = Clients()
store = clients.telling_job_store(settings.table, None, settings.notice_queue_url)
queue = clients.step_queue(
    {
        Lane.MONEY: settings.money_queue_url,
        Lane.INFERENCE: settings.inference_queue_url,
        Lane.LOAD: settings.load_lane.queue_url,
    },
    sends_seldom=True,
)
clock = SystemClock()
admission = Admission(store, queue, clock, settings.running_jobs)
notice_sweep = NoticeSweep(
    clients.outbox(settings.table), clients.notice_queue(settings.notice_queue_url), clock
)
due_schedules = clients.due_schedules(settings.table)


def _make_late_webhooks() -> LateWebhooks | None:
    """Return what finds webhooks with something to do; None where the deployment has none."""
    if not settings.has_webhooks:
        return None
    from rune.services.late_webhooks import LateWebhooks  # noqa: PLC0415

    store = clients.webhook_store(settings.table)
    return LateWebhooks(store, clients.notice_queue(settings.notice_queue_url), clock)


late_webhooks = _make_late_webhooks()

LEAVE_EVENT = {"give_back": "all"}
"""Sent by an operator, by a call of the function (docs/deploy.md); no schedule sends it."""

RENT_AGAIN_EVENT = {"give_back": "none"}

STOP_EVENT = {"stop": "all"}
"""Sent by the operator's tool (docs/operations.md): stop everything, or go on with it."""

END_STOP_EVENT = {"stop": "none"}


def _make_orphan_sweep() -> OrphanSweep | None:
    """Return what destroys rented machines that should not be alive; None where the deployment has no account."""
    if not settings.vastai.is_present:
        return None
    # Imported here: without an account the tick needs nothing of renting.
    from asyncio import sleep  # noqa: PLC0415

    from rune.services.orphan_sweep import OrphanSweep  # noqa: PLC0415

    return OrphanSweep(
        provider=clients.provider(settings.table, settings.vastai, clock),
        rental_store=clients.rental_store(settings.table, settings.notice_queue_url),
        jobs=store,
        clock=clock,
        stage=settings.vastai.stage,
        deployments=clients.deployment_store(settings.table),
        pause=sleep,
    )


orphan_sweep = _make_orphan_sweep()


def _make_credit_check() -> CreditCheck | None:
    """Return what puts the row of reserved credit right; None where the deployment has no account."""
    if not settings.vastai.is_present:
        return None
    from rune.services.credit_check import CreditCheck  # noqa: PLC0415

    rental_store = clients.rental_store(settings.table)
    return CreditCheck(rental_store, clients.credit_store(settings.table), clock)


credit_check = _make_credit_check()


def _make_charge_reading() -> ChargeReading | None:
    """Return what writes down what the provider charged; None where the deployment has no account."""
    if not settings.vastai.is_present:
        return None
    from rune.services.charge_reading import ChargeReading  # noqa: PLC0415

    return ChargeReading(
        clients.provider(settings.table, settings.vastai, clock),
        clients.rental_store(settings.table),
        store,
        clock,
    )


charge_reading = _make_charge_reading()

TIME_TO_STOP_MS = 5_000
TIME_TO_LEAVE_MS = 15_000
"""A call of the provider takes up to 10 s."""

TIME_TO_CANCEL_MS = 30_000
"""In a call to stop everything, cancelling ends with so much time left: machines bill, waiting jobs do not."""

TIME_FOR_TICK_MS = 40_000
"""Reserved for all else of a tick while a stop cancels jobs, which goes on with what is left of the tick."""

TIME_FOR_TURNS_MS = 25_000
"""Reserved for late turns, which come after the machines: a late turn costs nothing, a machine bills."""


class Context(Protocol):
    """What Lambda says about the invocation."""

    @property
    def aws_request_id(self) -> str:
        """The invocation; Lambda's own lines about it have the same id."""
        ...

    def get_remaining_time_in_millis(self) -> int:
        """Return milliseconds until Lambda ends the invocation."""
        ...


def handle(event: dict[str, object], context: Context) -> dict[str, object]:
    """Do what is due, as far as the time allows.

    First comes what bills, then late turns, what waits, schedules, what is to be told others, and what was charged.

    For an operator's event, give back everything that is rented, or stop everything, or take that back.

    Raises
    ------
    ValueError
        An operator's event that is none of these.
    StoreUnavailableError
        A part of the tick failed, after all others were done. The next tick does its work.
    """
    with logs.about(request_id=context.aws_request_id):
        return _do_what_is_due(event, context)


def _do_what_is_due(event: dict[str, object], context: Context) -> dict[str, object]:
    if event in (LEAVE_EVENT, RENT_AGAIN_EVENT):
        return _leave(context, is_final=event == LEAVE_EVENT)
    if "give_back" in event:
        # An operator who mistypes it must not take a tick's answer for what was asked.
        raise ValueError('give_back must be "all" or "none", and stand alone in the event.')
    if event in (STOP_EVENT, END_STOP_EVENT):
        return _stop(context, is_begun=event == STOP_EVENT)
    if "stop" in event:
        raise ValueError('stop must be "all" or "none", and stand alone in the event.')

    def may_go_on() -> bool:
        return context.get_remaining_time_in_millis() > TIME_TO_STOP_MS

    tick = JobTick(LateJobSweep(store, queue, clock, admission), admission, notice_sweep, late_webhooks)
    tick.go_on_stopping(
        lambda: _go_on_stopping(lambda: context.get_remaining_time_in_millis() > TIME_FOR_TICK_MS)
    )
    tick.send_releases(may_go_on)
    swept = None if orphan_sweep is None else _sweep_orphans(orphan_sweep, context)
    tick.send_late_and_admit(may_go_on)
    if tick.is_stopping:
        tick.go_on_stopping(lambda: _go_on_stopping(may_go_on))
    if credit_check is not None:
        tick.check_credit(credit_check.check)
    tick.fire_schedules(lambda: _fire_schedules(may_go_on))
    tick.send_notices(may_go_on)
    if charge_reading is not None:
        tick.read_charges(lambda: _read_charges(charge_reading, context))
    done: dict[str, object] = {
        "sent": tick.result.sent_count,
        "ended": tick.result.ended_count,
        "left": tick.result.left_count,
        "freed": tick.result.freed_count,
        "admitted": tick.result.admitted_count,
        "notices": tick.result.notice_count,
        "fired": tick.result.fired_count,
        "charged": tick.result.charged_count,
        "destroyed": swept.destroyed_count if swept else 0,
        "proven": swept.proven_count if swept else 0,
    }
    log.info("tick.done", extra={**done, "failed": tick.result.failed})
    if tick.result.failed:
        raise StoreUnavailableError(f"Parts of the tick failed: {', '.join(tick.result.failed)}.")
    return done


def _read_charges(reading: ChargeReading, context: Context) -> int:
    """Return of how many rentals it was written what the provider charged.

    Raises
    ------
    StoreUnavailableError
        What is not written is due again.
    """
    import asyncio  # noqa: PLC0415  # as above

    def may_go_on() -> bool:
        return context.get_remaining_time_in_millis() > TIME_TO_STOP_MS

    async def read() -> int:
        left_seconds = (context.get_remaining_time_in_millis() - TIME_TO_STOP_MS) / 1_000
        # Nothing but the provider's answer is waited for, so nothing is cut off between two writes.
        return (await asyncio.wait_for(reading.read(may_go_on), max(0.0, left_seconds))).noted_count

    try:
        return asyncio.run(read(), loop_factory=asyncio.new_event_loop)
    except TimeoutError:
        log.warning("charges.out_of_time")
        return 0


def _fire_schedules(may_go_on: Callable[[], bool]) -> tuple[int, int]:
    """Return how many jobs were posted for schedules, and how many schedules were left to the next tick.

    Raises
    ------
    StoreUnavailableError
        Some could not be dealt with; they stay due.
    """
    due = due_schedules.find_due(clock.now(), MOST_AT_ONCE)
    if not due:
        return 0, 0
    try:
        fired = _schedule_tick().fire(due, may_go_on)
    except StoreUnavailableError:
        raise
    except Exception as error:
        # The outermost edge: what comes after the schedules must be done.
        log.exception("schedules.failed")
        raise StoreUnavailableError("Schedules could not be dealt with.") from error
    return fired.fired_count, fired.left_count


@cache
def _schedule_tick() -> ScheduleTick:
    """Return what posts the jobs of schedules. Most ticks find none that is due, and load nothing of this."""
    from rune.contracts.workloads import most_concurrency  # noqa: PLC0415
    from rune.services.jobs import JobLimits, JobService  # noqa: PLC0415
    from rune.services.schedule_jobs import ScheduleJobs  # noqa: PLC0415
    from rune.services.schedule_tick import ScheduleTick  # noqa: PLC0415
    from rune.tenants.networks import read_networks  # noqa: PLC0415
    from rune.tenants.reading import DocumentContext  # noqa: PLC0415

    given = settings.schedules
    policy = read_networks(given.allowed_networks, settings.vastai.stage)
    job_store = clients.telling_job_store(settings.table, given.bucket, settings.notice_queue_url)
    limits = JobLimits.from_environment(os.environ)
    budgets = clients.budget_store(settings.table)
    jobs = JobService(job_store, queue, clock, limits, settings.running_jobs, budgets=budgets)
    context = DocumentContext(policy, given.bedrock.region, given.bedrock.is_allowed)
    return ScheduleTick(
        schedules=clients.schedule_store(settings.table),
        jobs=jobs,
        job_store=job_store,
        schedule_jobs=ScheduleJobs(
            jobs,
            policy,
            has_provider=settings.vastai.is_present,
            most_concurrency=most_concurrency(settings.load_lane.process_count),
        ),
        tenants=clients.tenants(given.tenants_path, clock, context, knows_all=True),
        clock=clock,
        notices=clients.notice_queue(settings.notice_queue_url),
    )


def _leave(context: Context, *, is_final: bool) -> dict[str, object]:
    """Return how far giving everything back has come; it is to be called again until it is done."""
    # Imported here: an operator asks for it once in the life of a deployment.
    import asyncio  # noqa: PLC0415

    from rune.jobs.record import RENTING_CLOSED  # noqa: PLC0415

    leaving = _leaving(RENTING_CLOSED)
    if not is_final:
        leaving.rent_again()
        log.info("renting.reopened")
        return {"renting": "open"}
    given_back = leaving.give_back_all(lambda: context.get_remaining_time_in_millis() > TIME_TO_LEAVE_MS)
    result = asyncio.run(given_back, loop_factory=asyncio.new_event_loop)
    log.info("renting.closed", extra={"destroyed": result.destroyed_count})
    return {
        "renting": "closed",
        "done": result.is_done,
        "destroyed": result.destroyed_count,
        "proven": result.proven_count,
        "left": result.left,
    }


def _leaving(warning: str) -> Leaving:
    """Return what gives all machines back; the jobs that it cancels tell the warning."""
    import asyncio  # noqa: PLC0415  # as above

    from rune.services.leaving import Leaving  # noqa: PLC0415

    return Leaving(
        rental_store=clients.rental_store(settings.table, settings.notice_queue_url),
        deployments=clients.deployment_store(settings.table),
        jobs=store,
        queue=queue,
        clock=clock,
        sweep=orphan_sweep,
        pause=asyncio.sleep,
        warning=warning,
    )


def _stopping() -> Stopping:
    """Return what stops a tenant, or all."""
    from rune.services.stopping import Stopping  # noqa: PLC0415  # as above

    return Stopping(
        jobs=store,
        queue=queue,
        clock=clock,
        admission=admission,
        rental_store=clients.rental_store(settings.table, settings.notice_queue_url),
    )


def _go_on_stopping(may_go_on: Callable[[], bool]) -> bool:
    """Go on with the stops that hold; return whether jobs are left to be cancelled.

    Most ticks find no stop, and load nothing of this.

    Raises
    ------
    StoreUnavailableError
        The next tick goes on.
    """
    places = store.read_places()
    if not places.stops:
        return False
    from rune.jobs.record import STOPPED  # noqa: PLC0415  # as above

    if places.find_stop(None) is not None:
        # The sweep of this tick destroys them.
        _leaving(STOPPED).end_all()
    return not _stopping().go_on(may_go_on)


def _stop(context: Context, *, is_begun: bool) -> dict[str, object]:
    """Return how far stopping everything has come; it is to be called again until it is done."""
    import asyncio  # noqa: PLC0415  # as above

    from rune.jobs.record import STOPPED  # noqa: PLC0415  # as above

    stopping = _stopping()
    if not is_begun:
        stopping.end(None)
        return {"stopped": False}
    stopping.begin(None, "operator")
    leaving = _leaving(STOPPED)
    # Machines first: to ask for their release takes no time.
    leaving.end_all()
    stopping.go_on(lambda: context.get_remaining_time_in_millis() > TIME_TO_CANCEL_MS)
    stop = store.read_places().find_stop(None)
    given_back = leaving.give_back(
        None if stop is None else stop.stopped_at,
        lambda: context.get_remaining_time_in_millis() > TIME_TO_LEAVE_MS,
    )
    result = asyncio.run(given_back, loop_factory=asyncio.new_event_loop)
    places = store.read_places()
    running_count, waiting_count = len(places.slots), sum(share.waiting for share in places.shares)
    return {
        "stopped": True,
        "done": result.is_done and not running_count and not waiting_count,
        "destroyed": result.destroyed_count,
        "proven": result.proven_count,
        "running": running_count,
        "waiting": waiting_count,
        "left": result.left,
    }


def _sweep_orphans(orphans: OrphanSweep, context: Context) -> SweepResult | None:
    """Return what the sweep came to; None if it failed, which is logged."""
    import asyncio  # noqa: PLC0415  # as above

    sweep = orphans.sweep(lambda: context.get_remaining_time_in_millis() > TIME_FOR_TURNS_MS)
    try:
        return asyncio.run(sweep, loop_factory=asyncio.new_event_loop)
    except StoreUnavailableError:
        # The late turns may still be sent.
        log.exception("rentals.store_unavailable")
        return None
    except Exception:
        # The outermost edge: an unforeseen error must not keep late turns from being sent.
        log.exception("rentals.sweep_failed", extra={"metric": "RentalListingsFailed"})
        return None
