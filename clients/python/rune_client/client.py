"""The two clients: one waits, the other awaits. `rune_client.calls` has what they call, `rune_client.flows` how."""

from __future__ import annotations

import inspect
import platform
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Self

import anyio  # which httpx brings; its sleep knows asyncio and trio
import httpx

from rune_client import streams
from rune_client.calls import benchmarks as benchmark_calls
from rune_client.calls import jobs as job_calls
from rune_client.calls import knowledge
from rune_client.calls import rentals as rental_calls
from rune_client.calls import schedules as schedule_calls
from rune_client.calls import webhooks as webhook_calls
from rune_client.calls.call import Call, require_finite
from rune_client.errors import InvalidArgumentError, NetworkError
from rune_client.flows import Flow, Give, Pause, Policy, Reply, Send, Stream, sending
from rune_client.version import __version__

DEFAULT_RETRIES = 4
DEFAULT_DEADLINE_SECONDS = 90.0
DEFAULT_PATIENCE_SECONDS = 300.0

_TOKEN = re.compile(r"[\x21-\x7e]+")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_OF_TRANSPORT = frozenset({"content-encoding", "content-length", "transfer-encoding"})


# ------------------------------------------------------------------------------------------ how a client is set up


def _check_base_url(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, TypeError):
        raise InvalidArgumentError("The base URL cannot be read.") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidArgumentError(
            "The base URL is http://host or https://host, with a port and a path if needed."
        )
    if url.userinfo or url.query or url.fragment:
        raise InvalidArgumentError("The base URL has no user, no query and no fragment.")
    return base_url.rstrip("/")


def _headers(token: str | None, tenant: str | None, user_agent: str | None) -> dict[str, str]:
    """Return what every request has. A token that would make no header is refused here: others would repeat it."""
    if token is not None and _TOKEN.fullmatch(token) is None:
        raise InvalidArgumentError("The token is empty, or has characters that no header may have.")
    if tenant is not None and _TENANT.fullmatch(tenant) is None:
        raise InvalidArgumentError(
            "The tenant is 1 to 64 letters, digits, '_', '.' and '-', a letter or digit first."
        )
    own = f"rune-client/{__version__} python/{platform.python_version()}"
    headers = {"Accept": "application/json", "User-Agent": f"{user_agent} {own}" if user_agent else own}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if tenant is not None:
        headers["X-Tenant-ID"] = tenant
    return headers


class _Client:
    """What both clients keep."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float,
        retries: int,
        deadline_seconds: float,
        patience_seconds: float,
    ) -> None:
        self.base_url = _check_base_url(base_url)
        self._timeout_seconds = timeout_seconds
        self._policy = Policy(
            retries=retries,
            deadline_seconds=deadline_seconds,
            patience_seconds=patience_seconds,
            clock=time.monotonic,
            chance=random.random,  # spreads clients in time; no secret is made of it
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def _arguments(self, effect: Send) -> dict[str, Any]:
        call = effect.call
        require_finite(call.body)
        left = max(0.001, min(self._timeout_seconds, effect.ends_at - self._policy.clock()))
        body = {} if call.body is None else {"json": call.body}
        members = call.query_members
        return {
            "method": call.method,
            "url": f"{self.base_url}{call.path}",
            # An empty query would take away the one that a raw path has.
            **({"params": members} if members else {}),
            "headers": call.headers,
            "timeout": left,
            **body,
        }

    def _is_over(self, effect: Send) -> bool:
        return self._policy.clock() > effect.ends_at


def _whole(response: httpx.Response, chunks: list[bytes]) -> httpx.Response:
    """Return an answer that was read to its end."""
    kept = [
        (name, value) for name, value in response.headers.multi_items() if name.lower() not in _OF_TRANSPORT
    ]
    return httpx.Response(
        response.status_code, headers=kept, content=b"".join(chunks), request=response.request
    )


def _no_answer(effect: Send, cause: Exception | None) -> NetworkError:
    """Return why there is no answer. The query stays out, since a link's signature may be in it."""
    call = effect.call
    path = call.path.split("?", maxsplit=1)[0]
    if cause is None or isinstance(cause, httpx.TimeoutException):
        why = "took too long"
    elif isinstance(cause, httpx.ConnectError):
        why = f"found no connection ({cause})"
    else:
        why = f"was cut off ({type(cause).__name__})"
    error = NetworkError(f"{call.method} {path} {why}.", may_have_arrived=not isinstance(cause, _NOT_SENT))
    error.__cause__ = cause
    return error


# ------------------------------------------------------------------------------------------ how methods are made


def _shown_as(made_from: Callable[..., object], method: Callable[..., object], *, drops: int = 0) -> None:
    """Give a method the signature that it has with `self`; the first `drops` parameters are the client's own.

    What it returns is shown as what comes in the end: `JobRecord`, where the description has `Call[JobRecord]`.
    """
    signature = inspect.signature(made_from)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    shown = [own, *list(signature.parameters.values())[drops:]]
    result = str(signature.return_annotation).partition("[")[2].removesuffix("]")
    method.__signature__ = signature.replace(parameters=shown, return_annotation=result)  # type: ignore[attr-defined]


def _sends[**P, T](make: Callable[P, Call[T]]) -> Callable[Concatenate[RuneClient, P], T]:
    @wraps(make)
    def method(self: RuneClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(sending(make(*args, **kwargs), self._policy))

    _shown_as(make, method)
    return method


def _awaits[**P, T](make: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncRuneClient, P], Awaitable[T]]:
    @wraps(make)
    async def method(self: AsyncRuneClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(sending(make(*args, **kwargs), self._policy))

    _shown_as(make, method)
    return method


type _Flowing[**P, T] = Callable[Concatenate[Policy, P], Flow[T]]
type _Streaming[**P, T] = Callable[Concatenate[Policy, P], Stream[T]]


def _runs[**P, T](flow: _Flowing[P, T]) -> Callable[Concatenate[RuneClient, P], T]:
    @wraps(flow)
    def method(self: RuneClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(flow(self._policy, *args, **kwargs))

    _shown_as(flow, method, drops=1)
    return method


def _awaits_flow[**P, T](flow: _Flowing[P, T]) -> Callable[Concatenate[AsyncRuneClient, P], Awaitable[T]]:
    @wraps(flow)
    async def method(self: AsyncRuneClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(flow(self._policy, *args, **kwargs))

    _shown_as(flow, method, drops=1)
    return method


def _iterates[**P, T](stream: _Streaming[P, T]) -> Callable[Concatenate[RuneClient, P], Iterator[T]]:
    @wraps(stream)
    def method(self: RuneClient, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._iterate(stream(self._policy, *args, **kwargs))

    _shown_as(stream, method, drops=1)
    return method


def _iterates_awaiting[**P, T](
    stream: _Streaming[P, T],
) -> Callable[Concatenate[AsyncRuneClient, P], AsyncIterator[T]]:
    @wraps(stream)
    def method(self: AsyncRuneClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._iterate(stream(self._policy, *args, **kwargs))

    _shown_as(stream, method, drops=1)
    return method


# ------------------------------------------------------------------------------------------ the clients


class RuneClient(_Client):
    """Calls RUNE, and waits for each answer.

    Parameters
    ----------
    base_url
        Where RUNE is, such as `http://localhost:8080`.
    token
        The tenant's token. It is in no representation, no message and no log.
    tenant
        Whose token it is; without it the server's default.
    timeout_seconds
        For one attempt of one call.
    retries
        How often a call is sent again at most, where that is safe: what reads, and what has a key.
    deadline_seconds
        For all attempts of one call together.
    patience_seconds
        How long `follow` and `wait` put up with a RUNE that does not answer.
    transport
        Of httpx, for tests.
    user_agent
        Stands before the client's own.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        tenant: str | None = None,
        timeout_seconds: float = 20,
        retries: int = DEFAULT_RETRIES,
        deadline_seconds: float = DEFAULT_DEADLINE_SECONDS,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
        transport: httpx.BaseTransport | None = None,
        user_agent: str | None = None,
    ) -> None:
        super().__init__(
            base_url,
            timeout_seconds=timeout_seconds,
            retries=retries,
            deadline_seconds=deadline_seconds,
            patience_seconds=patience_seconds,
        )
        self.tenant = tenant
        self._http = httpx.Client(headers=_headers(token, tenant, user_agent), transport=transport)
        self._sleep: Callable[[float], None] = time.sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def _do(self, effect: Send | Pause) -> Reply:
        if isinstance(effect, Pause):
            self._sleep(effect.seconds)
            return None
        try:
            with self._http.stream(**self._arguments(effect)) as response:
                chunks = []
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    if self._is_over(effect):
                        return _no_answer(effect, None)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            return _no_answer(effect, error)
        return _whole(response, chunks)

    def _run[T](self, flow: Flow[T]) -> T:
        reply: Reply = None
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = self._do(effect)

    def _iterate[T](self, stream: Stream[T]) -> Iterator[T]:
        reply: Reply = None
        while True:
            try:
                effect = stream.send(reply)
            except StopIteration:
                return
            if isinstance(effect, Give):
                reply = None
                yield effect.item
            else:
                reply = self._do(effect)

    submit = _sends(job_calls.submit)
    plan = _sends(job_calls.plan)
    job = _sends(job_calls.job)
    jobs = _iterates(streams.jobs)
    events = _sends(job_calls.events)
    follow = _iterates(streams.follow)
    wait = _runs(streams.wait)
    cancel = _sends(job_calls.cancel)
    artifacts = _sends(job_calls.artifacts)
    receipt = _sends(job_calls.receipt)
    receipt_page = _sends(job_calls.receipt_page)
    job_link = _sends(job_calls.job_link)
    report = _sends(benchmark_calls.report)
    benchmarks = _iterates(streams.benchmarks)
    compare = _sends(benchmark_calls.compare)
    records = _sends(benchmark_calls.records)
    benchmark_link = _sends(benchmark_calls.benchmark_link)
    baselines = _sends(benchmark_calls.baselines)
    baseline = _sends(benchmark_calls.baseline)
    set_baseline = _sends(benchmark_calls.set_baseline)
    delete_baseline = _sends(benchmark_calls.delete_baseline)
    suites = _sends(benchmark_calls.suites)
    suite = _sends(benchmark_calls.suite)
    set_suite = _sends(benchmark_calls.set_suite)
    delete_suite = _sends(benchmark_calls.delete_suite)
    rentals = _iterates(streams.rentals)
    rental = _sends(rental_calls.rental)
    extend_rental = _sends(rental_calls.extend_rental)
    stop_rental = _sends(rental_calls.stop_rental)
    rental_key = _sends(rental_calls.rental_key)
    stop_state = _sends(rental_calls.stop_state)
    stop_all = _sends(rental_calls.stop_all)
    resume_all = _sends(rental_calls.resume_all)
    schedules = _sends(schedule_calls.schedules)
    schedule = _sends(schedule_calls.schedule)
    create_schedule = _sends(schedule_calls.create_schedule)
    update_schedule = _sends(schedule_calls.update_schedule)
    delete_schedule = _sends(schedule_calls.delete_schedule)
    pause_schedule = _sends(schedule_calls.pause_schedule)
    resume_schedule = _sends(schedule_calls.resume_schedule)
    run_schedule = _sends(schedule_calls.run_schedule)
    webhooks = _sends(webhook_calls.webhooks)
    webhook = _sends(webhook_calls.webhook)
    create_webhook = _sends(webhook_calls.create_webhook)
    update_webhook = _sends(webhook_calls.update_webhook)
    delete_webhook = _sends(webhook_calls.delete_webhook)
    rotate_webhook_secret = _sends(webhook_calls.rotate_webhook_secret)
    test_webhook = _sends(webhook_calls.test_webhook)
    deliveries = _iterates(streams.deliveries)
    delivery = _sends(webhook_calls.delivery)
    redeliver = _sends(webhook_calls.redeliver)
    callback_secret = _sends(webhook_calls.callback_secret)
    rotate_callback_secret = _sends(webhook_calls.rotate_callback_secret)
    estimate = _sends(knowledge.estimate)
    finops = _sends(knowledge.finops)
    usage = _sends(knowledge.usage)
    models = _sends(knowledge.models)
    catalog = _sends(knowledge.catalog)
    agents = _sends(knowledge.agents)
    metrics = _sends(knowledge.metrics)
    health = _sends(knowledge.health)
    request = _sends(knowledge.request)


class AsyncRuneClient(_Client):
    """Calls RUNE as `RuneClient` does, for asyncio and trio: lists and updates come by `async for`."""

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        tenant: str | None = None,
        timeout_seconds: float = 20,
        retries: int = DEFAULT_RETRIES,
        deadline_seconds: float = DEFAULT_DEADLINE_SECONDS,
        patience_seconds: float = DEFAULT_PATIENCE_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
        user_agent: str | None = None,
    ) -> None:
        super().__init__(
            base_url,
            timeout_seconds=timeout_seconds,
            retries=retries,
            deadline_seconds=deadline_seconds,
            patience_seconds=patience_seconds,
        )
        self.tenant = tenant
        self._http = httpx.AsyncClient(headers=_headers(token, tenant, user_agent), transport=transport)
        self._sleep: Callable[[float], Awaitable[None]] = anyio.sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def _do(self, effect: Send | Pause) -> Reply:
        if isinstance(effect, Pause):
            await self._sleep(effect.seconds)
            return None
        try:
            async with self._http.stream(**self._arguments(effect)) as response:
                chunks = []
                async for chunk in response.aiter_bytes():
                    chunks.append(chunk)
                    if self._is_over(effect):
                        return _no_answer(effect, None)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            return _no_answer(effect, error)
        return _whole(response, chunks)

    async def _run[T](self, flow: Flow[T]) -> T:
        reply: Reply = None
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            reply = await self._do(effect)

    async def _iterate[T](self, stream: Stream[T]) -> AsyncIterator[T]:
        reply: Reply = None
        while True:
            try:
                effect = stream.send(reply)
            except StopIteration:
                return
            if isinstance(effect, Give):
                reply = None
                yield effect.item
            else:
                reply = await self._do(effect)

    submit = _awaits(job_calls.submit)
    plan = _awaits(job_calls.plan)
    job = _awaits(job_calls.job)
    jobs = _iterates_awaiting(streams.jobs)
    events = _awaits(job_calls.events)
    follow = _iterates_awaiting(streams.follow)
    wait = _awaits_flow(streams.wait)
    cancel = _awaits(job_calls.cancel)
    artifacts = _awaits(job_calls.artifacts)
    receipt = _awaits(job_calls.receipt)
    receipt_page = _awaits(job_calls.receipt_page)
    job_link = _awaits(job_calls.job_link)
    report = _awaits(benchmark_calls.report)
    benchmarks = _iterates_awaiting(streams.benchmarks)
    compare = _awaits(benchmark_calls.compare)
    records = _awaits(benchmark_calls.records)
    benchmark_link = _awaits(benchmark_calls.benchmark_link)
    baselines = _awaits(benchmark_calls.baselines)
    baseline = _awaits(benchmark_calls.baseline)
    set_baseline = _awaits(benchmark_calls.set_baseline)
    delete_baseline = _awaits(benchmark_calls.delete_baseline)
    suites = _awaits(benchmark_calls.suites)
    suite = _awaits(benchmark_calls.suite)
    set_suite = _awaits(benchmark_calls.set_suite)
    delete_suite = _awaits(benchmark_calls.delete_suite)
    rentals = _iterates_awaiting(streams.rentals)
    rental = _awaits(rental_calls.rental)
    extend_rental = _awaits(rental_calls.extend_rental)
    stop_rental = _awaits(rental_calls.stop_rental)
    rental_key = _awaits(rental_calls.rental_key)
    stop_state = _awaits(rental_calls.stop_state)
    stop_all = _awaits(rental_calls.stop_all)
    resume_all = _awaits(rental_calls.resume_all)
    schedules = _awaits(schedule_calls.schedules)
    schedule = _awaits(schedule_calls.schedule)
    create_schedule = _awaits(schedule_calls.create_schedule)
    update_schedule = _awaits(schedule_calls.update_schedule)
    delete_schedule = _awaits(schedule_calls.delete_schedule)
    pause_schedule = _awaits(schedule_calls.pause_schedule)
    resume_schedule = _awaits(schedule_calls.resume_schedule)
    run_schedule = _awaits(schedule_calls.run_schedule)
    webhooks = _awaits(webhook_calls.webhooks)
    webhook = _awaits(webhook_calls.webhook)
    create_webhook = _awaits(webhook_calls.create_webhook)
    update_webhook = _awaits(webhook_calls.update_webhook)
    delete_webhook = _awaits(webhook_calls.delete_webhook)
    rotate_webhook_secret = _awaits(webhook_calls.rotate_webhook_secret)
    test_webhook = _awaits(webhook_calls.test_webhook)
    deliveries = _iterates_awaiting(streams.deliveries)
    delivery = _awaits(webhook_calls.delivery)
    redeliver = _awaits(webhook_calls.redeliver)
    callback_secret = _awaits(webhook_calls.callback_secret)
    rotate_callback_secret = _awaits(webhook_calls.rotate_callback_secret)
    estimate = _awaits(knowledge.estimate)
    finops = _awaits(knowledge.finops)
    usage = _awaits(knowledge.usage)
    models = _awaits(knowledge.models)
    catalog = _awaits(knowledge.catalog)
    agents = _awaits(knowledge.agents)
    metrics = _awaits(knowledge.metrics)
    health = _awaits(knowledge.health)
    request = _awaits(knowledge.request)
