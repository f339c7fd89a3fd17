"""The jobs of schedules: judged as the API judges requests, and posted under a key of their occasion."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from pydantic import ValidationError

from rune.clock import to_epoch_ms
from rune.contracts.problems import refuse_document
from rune.contracts.workloads import PROCESS_CONCURRENCY
from rune.errors import InvalidRequestError
from rune.jobs.record import Kind
from rune.jobs.store import Submitted
from rune.net.addresses import AddressPolicy
from rune.schedules.record import Schedule
from rune.services.admission.requests import Admitted, admit, normalize_sent
from rune.services.intake import ways
from rune.services.jobs import Caller, JobService
from rune.tenants.settings import TenantSettings
from rune.workflows.graph import REQUESTS, Request, parse_request

LARGEST_REQUEST_BYTES = 100_000
"""Of a schedule: it is kept in a row, of 400 KB at most, and read at each occurrence."""

KEY_PREFIX = f"{ways.KEY_PREFIX}schedule:"
"""Begins the idempotency keys of schedules."""


class ScheduleJobs:
    """Posts the jobs of schedules.

    Parameters
    ----------
    has_provider
        Whether the deployment has an account with a provider of GPUs.
    most_concurrency
        Most requests that the deployment has under way.
    """

    def __init__(
        self,
        jobs: JobService,
        policy: AddressPolicy,
        *,
        has_provider: bool,
        most_concurrency: int = PROCESS_CONCURRENCY,
    ) -> None:
        self._jobs = jobs
        self._policy = policy
        self._has_provider = has_provider
        self._most_concurrency = most_concurrency

    def check(
        self, kind: Kind, request: Mapping[str, object], caller: Caller, settings: TenantSettings
    ) -> str:
        """Return a request as a schedule keeps it.

        Raises
        ------
        InvalidDocumentError, InvalidRequestError
            It would be refused; the pointers are into the schedule.
        """
        understood = _parse(kind, request)
        try:
            self._jobs.judge(caller, self._admit(understood, settings))
        except InvalidRequestError as error:
            pointer = f"/request{error.pointer}"
            raise InvalidRequestError(error.sentence, pointer=pointer, code=error.specific_code) from None
        request_json = normalize_sent(understood)
        if len(request_json.encode()) > LARGEST_REQUEST_BYTES:
            raise InvalidRequestError(
                f"The request of a schedule has at most {LARGEST_REQUEST_BYTES:,} bytes.",
                pointer="/request",
                code="schedule_request_too_large",
            )
        return request_json

    def post(
        self,
        schedule: Schedule,
        request_json: str,
        caller: Caller,
        settings: TenantSettings,
        occasion: str | None,
    ) -> Submitted:
        """Post a job, or return the one that was posted on the same occasion, whatever its request was.

        Parameters
        ----------
        occasion
            See `occurrence` and `request_to_run`; None is like no other.

        Raises
        ------
        RequestError
            It is refused, as the API would refuse it.
        UnreadableRowError
            This version does not understand the request.
        """
        # A caller who asks for a run now has a token, and counts as the one who submits.
        caller = replace(caller, acting=actor_of(schedule))
        admitted = self._admit(parse_request(schedule.kind, request_json), settings)
        if occasion is None:
            return self._jobs.submit(caller, admitted)
        # The schedule may have another request since the job of this occasion was posted.
        return self._jobs.submit(caller, replace(admitted, sent_json=occasion), f"{KEY_PREFIX}{occasion}")

    def _admit(self, request: Request, settings: TenantSettings) -> Admitted:
        return admit(
            request,
            settings,
            self._policy,
            has_provider=self._has_provider,
            most_concurrency=self._most_concurrency,
        )


def actor_of(schedule: Schedule) -> str:
    """Return what is told of a schedule as the one who did something."""
    return f"schedule:{schedule.schedule_id}"


def occurrence(schedule: Schedule, due_at: datetime) -> str:
    """Return the occasion of an occurrence."""
    return f"{schedule.schedule_id}:{to_epoch_ms(due_at)}"


def request_to_run(schedule: Schedule, key: str) -> str:
    """Return the occasion of a caller's request to run a schedule now, which has an idempotency key."""
    return f"{schedule.schedule_id}:run:{key}"


def _parse(kind: Kind, request: Mapping[str, object]) -> Request:
    try:
        return REQUESTS[kind].model_validate(request)
    except ValidationError as error:
        raise refuse_document(error.errors(), REQUESTS[kind], inside="/request") from None
