"""An order becomes a job by the rules of the API."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from rune.contracts.problems import refuse_document
from rune.contracts.workloads import PROCESS_CONCURRENCY
from rune.errors import TenantUnknownError
from rune.jobs.record import Callback, Kind
from rune.jobs.store import Submitted
from rune.net.addresses import AddressPolicy
from rune.services.admission.requests import admit
from rune.services.audit import tell_submitted
from rune.services.intake.envelopes import Order
from rune.services.intake.ways import Way, key_of
from rune.services.jobs import Caller, JobService
from rune.tenants.entries import TENANT
from rune.tenants.settings import TenantSettings, TenantSource
from rune.workflows.graph import REQUESTS, Request


class Orders:
    """Submits what came in, for the tenant of its intake.

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
        tenants: TenantSource,
        policy: AddressPolicy,
        *,
        has_provider: bool,
        most_concurrency: int = PROCESS_CONCURRENCY,
    ) -> None:
        self._jobs = jobs
        self._tenants = tenants
        self._policy = policy
        self._has_provider = has_provider
        self._most_concurrency = most_concurrency

    def submit(self, way: Way, tenant: str, order: Order, callback: Callback | None = None) -> Submitted:
        """Accept the order's job, or return the one that was accepted for the same order.

        Raises
        ------
        TenantUnknownError, TenantSuspendedError
            There is no such tenant, or it may not submit.
        InvalidDocumentError, InvalidRequestError, IdempotencyKeyReusedError
            The request is refused, as the API would refuse it.
        TooManyWaitingJobsError, StoreUnavailableError
            Another try may succeed.
        """
        settings = self._known(tenant)
        actor = f"trigger:{way}"
        caller = replace(Caller.of(tenant, settings), acting=actor)
        request = parse_request(order.kind, order.request)
        admitted = admit(
            request,
            settings,
            self._policy,
            has_provider=self._has_provider,
            most_concurrency=self._most_concurrency,
        )
        submitted = self._jobs.submit(caller, admitted, key_of(way, tenant, *order.identity), callback)
        tell_submitted(tenant, actor, order.kind, submitted)
        return submitted

    def _known(self, tenant: str) -> TenantSettings:
        if not TENANT.fullmatch(tenant):
            raise TenantUnknownError
        settings = self._tenants.of(tenant)
        # A name that is misspelt has default settings, and its jobs would be nobody's.
        if not settings.has_document:
            raise TenantUnknownError
        return settings


def parse_request(kind: Kind, request: Mapping[str, Any]) -> Request:
    """Return a request that another service sent, by the rules of the API; raises InvalidDocumentError."""
    try:
        return REQUESTS[kind].model_validate(request)
    except ValidationError as error:
        raise refuse_document(error.errors(), REQUESTS[kind]) from None
