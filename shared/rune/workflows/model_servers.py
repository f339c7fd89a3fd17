"""The model server of a job, and the steps that warm it up and hand it over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rune.contracts import BackendChoice, LlmInstanceRequest, Question, read_stored
from rune.errors import ModelServerError, ServerUnreachableError, SettingsUnavailableError
from rune.jobs.outcomes import Done, Next, Outcome
from rune.jobs.plan import CALL_HEADROOM_SECONDS
from rune.jobs.record import Job, StepName
from rune.jobs.step import Step, StepContext
from rune.tenants.backends import NamedBackend, api_key_for
from rune.tenants.document import BedrockSettings
from rune.tenants.settings import FixedTenants, TenantSource
from rune.workflows.acquaintance import acquaintance_in, wait_while_loading
from rune.workflows.benchmark.context_size import context_tokens_of
from rune.workflows.graph import Fact, parse_request, step_after

if TYPE_CHECKING:
    from rune.bench.process_messages import ServerAccess
    from rune.llm.dialects import Dialect
    from rune.llm.opener import OpenServer
    from rune.llm.protocol import ModelServer
    from rune.money.token_prices import TokenPrice
    from rune.rentals.store import RentalStore

IDLE_TIMEOUT_SECONDS = 60.0
"""Longest silence between two chunks of an answer, once the model is loaded."""


@dataclass(frozen=True, slots=True)
class Backend:
    """The model server of a job.

    Attributes
    ----------
    model
        The model on a rented machine; None for a server that the request names.
    api_key
        Of the credential that the request names, or of the rented machine; None where neither has one.
    parallel_count
        Requests that RUNE told a rented machine's server to answer at a time; None for another server.
    bedrock
        The tenant's share of Bedrock, which may state prices; None for other servers.
    """

    kind: str
    url: str
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    parallel_count: int | None = None
    bedrock: BedrockSettings | None = None


class Backends:
    """Finds the model server of a job: the one that its request names, or the one on its rented machine."""

    def __init__(
        self,
        open_server: OpenServer,
        rental_store: RentalStore | None,
        tenants: TenantSource | None = None,
    ) -> None:
        self._open_server = open_server
        self._rental_store = rental_store
        self._tenants = tenants or FixedTenants()

    def find(self, job: Job, choice: BackendChoice) -> Backend:
        """Return the job's server.

        Raises
        ------
        ServerUnreachableError
            The machine that the job rents does not run.
        InvalidRequestError
            As `find_named`.
        """
        if not job.rents or self._rental_store is None:
            model = choice.model if isinstance(choice, Question) else None
            return self.find_named(job, choice, model)
        from rune.rentals.record import RentalState  # noqa: PLC0415  # few jobs rent

        alive = self._rental_store.read_alive(job.tenant, needed_by=job.job_id)
        held = next((rental for rental in alive if rental.holder == job.job_id), None)
        if held is None or held.url is None or held.state is not RentalState.RUNNING:
            raise ServerUnreachableError("The rented machine is not there any more.")
        key = self._rental_store.read_key(held.rental_id) if held.is_guarded else None
        return Backend(choice.backend_type, held.url, held.model, key, held.parallel_count or None)

    def find_named(self, job: Job, choice: NamedBackend, model: str | None) -> Backend:
        """Return a server that the request names, such as that of a judge; also for a job that rents.

        Parameters
        ----------
        model
            What is to run on it; None leaves it unchecked.

        Raises
        ------
        InvalidRequestError
            The tenant may not use it; see `rune.tenants.backends.check_backend`.
        """
        backends = self._tenants.of(job.tenant).backends
        api_key = api_key_for(backends, choice, model=model)
        bedrock = backends.bedrock if choice.backend_type == "bedrock" else None
        return Backend(choice.backend_type, choice.backend_url or "", api_key=api_key, bedrock=bedrock)

    def reread_key(self, job: Job) -> None:
        """Look at the tenant's keys again, since a server has refused one; what is found serves the next call."""
        with suppress(SettingsUnavailableError):
            self._tenants.reread(job.tenant)

    def open(self, backend: Backend, context: StepContext, dialect: Dialect | None = None) -> ModelServer:
        """Return the server, which the caller closes; what it bills by the token is noted in the turn's account.

        Parameters
        ----------
        dialect
            What earlier turns have learnt of it.
        """
        server = self._open_server(backend.kind, backend.url, backend.api_key)
        if dialect is not None:
            server.speak(dialect)
        if backend.bedrock is None or context.tokens is None:
            return server
        from rune.workflows.token_meter import MeteredServer, find_price  # noqa: PLC0415  # few jobs use Bedrock

        bedrock, url = backend.bedrock, backend.url
        return MeteredServer(server, context.tokens, lambda model: find_price(bedrock, model, url))

    def token_price(self, backend: Backend, model: str) -> TokenPrice | None:
        """Return what tokens of a model cost on a server; None where they are not billed or not known."""
        if backend.bedrock is None:
            return None
        from rune.workflows.token_meter import find_price  # noqa: PLC0415  # as above

        return find_price(backend.bedrock, model, backend.url)

    def access(self, backend: Backend, dialect: Dialect) -> ServerAccess:
        """Return how another process opens the same server, where nothing is billed by the token."""
        from rune.bench.process_messages import ServerAccess  # noqa: PLC0415  # in one lane alone

        return ServerAccess(self._open_server, backend.kind, backend.url, backend.api_key, dialect)

    @asynccontextmanager
    async def using(
        self, backend: Backend, context: StepContext, dialect: Dialect | None = None
    ) -> AsyncIterator[ModelServer]:
        """Open the server as `open` does, and close it at the end."""
        server = self.open(backend, context, dialect)
        try:
            yield server
        finally:
            await server.aclose()


class ModelServerSteps:
    """The steps `warm_up` and `verify`."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    @property
    def steps(self) -> Mapping[StepName, Step]:
        """Both steps by name."""
        return {StepName.WARM_UP: self.warm_up, StepName.VERIFY: self.verify}

    async def warm_up(self, context: StepContext) -> Outcome:
        """Load the model and let it write one token."""
        from rune.llm.protocol import WarmUpRequest  # noqa: PLC0415  # comes with the server that is opened

        request = parse_request(context.job.kind, context.request_json)
        timeout_seconds = min(float(request.backend_warmup_timeout), time_left_seconds(context))
        backend = self._backends.find(context.job, request)
        model = request.model or backend.model or ""
        known = acquaintance_in(context.state_json)
        try:
            async with self._backends.using(backend, context, known.dialect) as server:
                context_tokens = context_tokens_of(request, rents=context.job.rents)
                warm_up = await server.warm_up(WarmUpRequest(model, timeout_seconds, context_tokens))
                learnt = known.model_copy(update={"dialect": server.dialect})
        except ModelServerError as error:
            again = wait_while_loading(context, error, limit_seconds=request.backend_warmup_timeout)
            if again is None:
                raise
            return again
        phases_ms = {"load": round(warm_up.load_ms), "first_token": round(warm_up.first_token_ms)}
        state_json = None if learnt == known else learnt.state_json()
        return Next(step_after(context, Fact.MODEL_READY), phases_ms=phases_ms, state_json=state_json)

    async def verify(self, context: StepContext) -> Outcome:
        """Check that the server answers, and return its address as the result."""
        from rune.contracts import LlmInstanceResult  # noqa: PLC0415  # with all reports

        request = read_stored(LlmInstanceRequest, context.request_json)
        backend = self._backends.find(context.job, request)
        async with self._backends.using(backend, context) as server:
            await server.list_models()
        result = LlmInstanceResult(
            mode="vastai" if context.job.rents else "existing",
            backend_url=backend.url,
            model_name=backend.model,
        )
        return Done(result.model_dump_json())


def time_left_seconds(context: StepContext) -> float:
    """Return how long a call of this turn may take; at least one second."""
    return max(1.0, context.time_limit_seconds - CALL_HEADROOM_SECONDS)
