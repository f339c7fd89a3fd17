"""Routes of recurring schedules."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from api.auth import admitted_caller_of, tenant_settings_of
from api.idempotency import KEY_PARAMETER, accepted, key_of
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts import JobAccepted
from rune.contracts.schedules import (
    RunStatusName,
    ScheduleChange,
    ScheduleCreation,
    ScheduleList,
    ScheduleRecord,
    ScheduleRun,
    ScheduleStateName,
    ScheduleSummary,
)
from rune.schedules.record import MISSED, OVERLAP, Run, Schedule, ScheduleState
from rune.services.schedules import ShownSchedule

_STATES: Mapping[ScheduleState, ScheduleStateName] = {
    ScheduleState.ACTIVE: "active",
    ScheduleState.PAUSED: "paused",
    ScheduleState.ENDED: "ended",
}
"""A deleted one is not shown."""

router = APIRouter(
    route_class=StrictRoute,
    prefix="/v1/schedules",
    tags=["schedules"],
    responses=responses(401, 403, 422, 503),
)


@router.post("", status_code=201, responses=responses(400, 409, 413, 415))
async def create_schedule(request: Request, body: ScheduleCreation, response: Response) -> ScheduleRecord:
    """Post a job again and again, when a cron expression or a rate says so."""
    service, caller = services_of(request).schedules(), admitted_caller_of(request)
    created = service.create(caller, tenant_settings_of(request), body)
    response.headers["Location"] = f"/v1/schedules/{created.schedule_id}"
    return _record(service.describe(created))


@router.get("")
async def list_schedules(request: Request) -> ScheduleList:
    """Return your tenant's schedules, by name; it may have 50."""
    tenant = admitted_caller_of(request).tenant
    found = services_of(request).schedules().list_schedules(tenant)
    return ScheduleList(schedules=[_summary(schedule) for schedule in found])


@router.get("/{schedule_id}", responses=responses(404))
async def get_schedule(request: Request, schedule_id: str) -> ScheduleRecord:
    """Return a schedule with its request, its next five times, and what became of the last ten."""
    tenant = admitted_caller_of(request).tenant
    return _record(services_of(request).schedules().show(tenant, schedule_id))


@router.patch("/{schedule_id}", responses=responses(400, 404, 409, 413, 415))
async def update_schedule(request: Request, schedule_id: str, body: ScheduleChange) -> ScheduleRecord:
    """Change a schedule; what is left out stays. It holds from the next occurrence on."""
    service, caller = services_of(request).schedules(), admitted_caller_of(request)
    return _record(service.describe(service.change(caller, tenant_settings_of(request), schedule_id, body)))


@router.delete("/{schedule_id}", status_code=204, responses=responses(404))
async def delete_schedule(request: Request, schedule_id: str) -> Response:
    """Delete a schedule. The jobs that it has posted go on."""
    tenant = admitted_caller_of(request).tenant
    services_of(request).schedules().delete(tenant, schedule_id)
    return Response(status_code=204)


@router.post("/{schedule_id}/pause", responses=responses(404))
async def pause_schedule(request: Request, schedule_id: str) -> ScheduleRecord:
    """Post no more jobs, from the next occurrence on. The jobs that it has posted go on."""
    service, tenant = services_of(request).schedules(), admitted_caller_of(request).tenant
    return _record(service.describe(service.pause(tenant, schedule_id)))


@router.post("/{schedule_id}/resume", responses=responses(404))
async def resume_schedule(request: Request, schedule_id: str) -> ScheduleRecord:
    """Post jobs again, from the next occurrence on; what was due meanwhile is not made up for."""
    service, tenant = services_of(request).schedules(), admitted_caller_of(request).tenant
    return _record(service.describe(service.resume(tenant, schedule_id)))


@router.post(
    "/{schedule_id}/run", status_code=202, openapi_extra=KEY_PARAMETER, responses=responses(400, 404, 429)
)
async def run_schedule(request: Request, schedule_id: str, response: Response) -> JobAccepted:
    """Post a job of the schedule now, besides those that are due; also while it is paused, and whatever runs."""
    service, key = services_of(request).schedules(), key_of(request)
    caller = admitted_caller_of(request)
    submitted = service.run_now(caller, tenant_settings_of(request), schedule_id, key)
    return accepted(submitted, response)


def _record(shown: ShownSchedule) -> ScheduleRecord:
    return ScheduleRecord.model_validate(
        {
            **_summary(shown.schedule).model_dump(),
            "next_times": [*shown.next_times],
            "runs": [_run(shown, run) for run in reversed(shown.schedule.runs)],
            "request": shown.request,
        }
    )


def _summary(schedule: Schedule) -> ScheduleSummary:
    state = schedule.state
    reason = schedule.paused_because if state is ScheduleState.PAUSED else None
    return ScheduleSummary(
        schedule_id=schedule.schedule_id,
        name=schedule.name,
        kind=schedule.kind.value,
        state=_STATES[state],
        paused_reason=None if reason is None else reason.value,
        cron=schedule.cron,
        rate=schedule.rate,
        timezone=schedule.timezone,
        overlap=schedule.overlap.value,
        ends_at=schedule.ends_at,
        next_at=schedule.next_at,
        created_at=schedule.created_at,
        updated_at=schedule.updated_at,
    )


def _run(shown: ShownSchedule, run: Run) -> ScheduleRun:
    return ScheduleRun(
        due_at=run.due_at,
        decided_at=run.decided_at,
        status=_status(shown, run),
        reason=run.reason,
        job_id=run.job_id,
        job_url=None if run.job_id is None else f"/v1/jobs/{run.job_id}",
        manual=run.is_manual,
    )


def _status(shown: ShownSchedule, run: Run) -> RunStatusName:
    if run.job_id is None:
        return "skipped" if run.reason in {OVERLAP, MISSED} else "refused"
    if run.outcome is not None:
        return run.outcome.value
    status = shown.statuses.get(run.job_id)
    return "unknown" if status is None else status.value
