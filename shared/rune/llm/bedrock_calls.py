"""boto3's blocking calls to Bedrock, made in threads; every chunk is stamped there before anything reads it.

Stamps are taken in botocore's hooks `before-send` and `before-parse`, which see a request before it is sent and a
raw answer before it is parsed. So signing, connecting and decoding do not count as the model's time.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import cache
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import boto3
from botocore import exceptions as aws
from botocore.awsrequest import AWSPreparedRequest
from botocore.config import Config
from botocore.eventstream import ParserError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError, ReadTimeoutError

from rune.errors import (
    BadResponseError,
    ModelServerError,
    RequestRejectedError,
    ServerAccessError,
    ServerTimeoutError,
    ServerUnreachableError,
    StreamTruncatedError,
)
from rune.llm.bedrock_failures import describe_bedrock_failure
from rune.llm.failures import FailureContext

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

MAX_CONNECTIONS = 64
"""Calls at a time; further calls would wait. A workload's concurrency is at most as high."""

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Longest answer, its framing included."""

_CONNECT_TIMEOUT_SECONDS = 5.0
_LIST_TIMEOUT_SECONDS = 15.0
_READ_TIMEOUT_STEP_SECONDS = 30
_MAX_RETRY_AFTER_SECONDS = 3600
_NS_PER_SECOND = 1_000_000_000

_REFUSED_STATUSES = frozenset({400, 401, 403, 404, 429, 503})
"""Of calls that Bedrock did not begin to answer. After 408, 424 and 500 a model may have worked
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html#API_runtime_ConverseStream_Errors)."""

type TakeChunk = Callable[[Mapping[str, object], int], None]
"""Takes a chunk, which AWS calls an event, and when its last byte arrived."""


class _RawBody(Protocol):
    """The part of urllib3's response that is used."""

    def stream(self) -> Iterator[bytes]: ...

    def shutdown(self) -> None: ...

    def close(self) -> None: ...


class _StampedBody:
    """An answer's body, stamped at each read, and bounded."""

    def __init__(self, raw: _RawBody) -> None:
        self._raw = raw
        self._byte_count = 0
        self.arrived_ns = time.monotonic_ns()

    def stream(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive."""
        for data in self._raw.stream():
            self.arrived_ns = time.monotonic_ns()
            self._byte_count += len(data)
            if self._byte_count > MAX_STREAM_BYTES:
                raise BadResponseError(f"Bedrock's answer is longer than {MAX_STREAM_BYTES} bytes.")
            yield data

    def close(self) -> None:
        """Close the connection, unless the body was read to its end."""
        self._raw.close()

    def abort(self) -> None:
        """Wake the thread that reads, from another thread; it then closes the connection itself."""
        # `close` would wait for the read that is to be ended. urllib3 before 2.3 has no `shutdown`: there the
        # thread ends with its own read timeout.
        with suppress(AttributeError, OSError, RuntimeError, ValueError):
            self._raw.shutdown()


class _StampedRequestBody:
    """A request's body, stamped when it is sent: on a connection that is open by then."""

    def __init__(self, data: bytes, note_sending: Callable[[], None]) -> None:
        self._data = data
        self._note_sending = note_sending

    def read(self, _size: int = -1) -> bytes:
        """Return all of it, and then nothing, as urllib3 reads a file."""
        data, self._data = self._data, b""
        if data:
            self._note_sending()
        return data


class StreamedCall:
    """One streamed call: shared by the thread that makes it and the loop that waits for it."""

    def __init__(self) -> None:
        self.sent_ns = time.monotonic_ns()
        self.headers_ns = self.sent_ns
        self._body: _StampedBody | None = None
        self._is_abandoned = threading.Event()

    @property
    def heard_ns(self) -> int:
        """When the last bytes of the answer arrived; when the request was sent, if none did yet."""
        return self._body.arrived_ns if self._body else self.sent_ns

    def was_abandoned(self) -> bool:
        """Return whether the caller has left. A method, since another thread changes the answer."""
        return self._is_abandoned.is_set()

    def note_sending(self) -> None:
        """Stamp the request, whose head has been sent."""
        self.sent_ns = self.headers_ns = time.monotonic_ns()

    def note_head(self, response: dict[str, Any]) -> None:
        """Stamp the head of the answer, and replace its body by one that stamps each read."""
        self.headers_ns = time.monotonic_ns()
        if not isinstance(response["body"], bytes):
            self._body = response["body"] = _StampedBody(cast("_RawBody", response["body"]))

    def abandon(self) -> None:
        """End the call at any point; called in the event loop, and does not wait."""
        self._is_abandoned.set()
        if self._body:
            self._body.abort()


class BedrockCalls:
    """Calls to Bedrock in one region.

    Parameters
    ----------
    endpoint_url
        Where both of Bedrock's services are, instead of AWS's own addresses; None for those.
    """

    def __init__(self, region: str, endpoint_url: str | None = None) -> None:
        self._region = region
        self._endpoint_url = endpoint_url
        self._threads = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix="bedrock")
        self._opening = threading.Lock()
        self._runtimes: dict[int, BedrockRuntimeClient] = {}
        self._current = threading.local()

    async def list_models(self) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
        """Return the summaries of all foundation models and of all inference profiles, as Bedrock has them.

        Raises
        ------
        ModelServerError
            They cannot be listed.
        """
        return await asyncio.wrap_future(self._threads.submit(self._list_models))

    async def converse(
        self,
        arguments: Mapping[str, Any],
        open_answer: Callable[[StreamedCall], TakeChunk],
        *,
        total_timeout_seconds: float,
        idle_timeout_seconds: float,
    ) -> int:
        """Make a streamed call, and return when its last byte came, in nanoseconds.

        Parameters
        ----------
        open_answer
            Called in a thread as soon as the head has come; what it returns is called there with each chunk.

        Raises
        ------
        ModelServerError
            It failed; one of the two timeouts passed.
        """
        idle_seconds = min(total_timeout_seconds, idle_timeout_seconds)
        call = StreamedCall()
        began_ns = call.sent_ns
        ended = asyncio.wrap_future(
            self._threads.submit(self._converse, dict(arguments), call, open_answer, idle_seconds)
        )
        try:
            while not ended.done():
                now_ns = time.monotonic_ns()
                total_left = total_timeout_seconds - (now_ns - began_ns) / _NS_PER_SECOND
                idle_left = idle_seconds - (now_ns - call.heard_ns) / _NS_PER_SECOND
                if total_left <= 0:
                    raise ServerTimeoutError(
                        f"Bedrock's answer took longer than {total_timeout_seconds:g} seconds."
                    )
                if idle_left <= 0:
                    raise ServerTimeoutError(f"Bedrock was silent for {idle_seconds:g} seconds.")
                await asyncio.wait({ended}, timeout=min(total_left, idle_left))
            return ended.result()
        finally:
            if not ended.done():
                call.abandon()
                # The thread's result is not needed any more.
                ended.cancel()

    async def aclose(self) -> None:
        """Close the connections; a call that is still under way ends by itself, and closes its own."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._runtimes.values():
            client.close()

    # ------------------------------------------------------------------ in a thread

    def _list_models(self) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
        with _rune_errors(), self._opening:
            client = _session().client(
                "bedrock",
                region_name=self._region,
                endpoint_url=self._endpoint_url,
                config=_config(_LIST_TIMEOUT_SECONDS),
            )
        with _rune_errors(), closing(client) as bedrock:
            models = bedrock.list_foundation_models()["modelSummaries"]
            pages = bedrock.get_paginator("list_inference_profiles").paginate()
            profiles = [profile for page in pages for profile in page["inferenceProfileSummaries"]]
        return [dict(model) for model in models], [dict(profile) for profile in profiles]

    def _converse(
        self,
        arguments: dict[str, Any],
        call: StreamedCall,
        open_answer: Callable[[StreamedCall], TakeChunk],
        idle_seconds: float,
    ) -> int:
        with _rune_errors(arguments["modelId"]):
            client = self._runtime(idle_seconds)
            self._current.call = call
            response = client.converse_stream(**arguments)
            with closing(response["stream"]) as stream:
                take = open_answer(call)
                if call.was_abandoned():
                    # While this thread waited for the head, `abandon` could not wake it.
                    return call.heard_ns
                for chunk in stream:
                    arrived_ns = call.heard_ns
                    if call.was_abandoned():
                        break
                    take(cast("Mapping[str, object]", chunk), arrived_ns)
                return time.monotonic_ns()

    def _runtime(self, idle_seconds: float) -> "BedrockRuntimeClient":
        """Return a client whose reads end a little after the idle timeout.

        The event loop enforces the exact timeout. The client's own timeout only frees a thread that waits for the
        head, which the loop cannot wake. It is rounded up to a step, since a client has one timeout and takes 10 ms
        to make.
        """
        step = math.ceil(idle_seconds / _READ_TIMEOUT_STEP_SECONDS)
        with self._opening:
            if step not in self._runtimes:
                client = _session().client(
                    "bedrock-runtime",
                    region_name=self._region,
                    endpoint_url=self._endpoint_url,
                    config=_config(step * _READ_TIMEOUT_STEP_SECONDS),
                )
                client.meta.events.register("before-send.bedrock-runtime", self._before_send)
                client.meta.events.register("before-parse.bedrock-runtime", self._before_parse)
                self._runtimes[step] = client
            return self._runtimes[step]

    def _before_send(self, request: AWSPreparedRequest, **_: object) -> None:
        stamped = _StampedRequestBody(cast("bytes", request.body), self._call.note_sending)
        request.body = cast("IO[bytes]", stamped)

    def _before_parse(self, response_dict: dict[str, Any], **_: object) -> None:
        self._call.note_head(response_dict)

    @property
    def _call(self) -> StreamedCall:
        """The call that this thread makes."""
        return cast("StreamedCall", self._current.call)


@cache
def _session() -> boto3.session.Session:
    # One for all: reading the services' models takes 50 ms, and a server is opened per job step.
    return boto3.session.Session()


def _config(read_timeout_seconds: float) -> Config:
    return Config(
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        read_timeout=read_timeout_seconds,
        max_pool_connections=MAX_CONNECTIONS,
        # A retry by botocore would count as the model's time, and hide how often Bedrock refuses.
        retries={"total_max_attempts": 1, "mode": "standard"},
    )


@contextmanager
def _rune_errors(model: str | None = None) -> Iterator[None]:
    """Turn everything that boto3 raises into errors of RUNE's."""
    try:
        yield
    except aws.ClientError as error:
        raise _from_client_error(error, model) from error
    except (aws.BotoCoreError, aws.HTTPClientError, ResponseParserError, ParserError, HTTPError) as error:
        raise _from_sdk_error(error) from error


def _from_sdk_error(error: Exception) -> ModelServerError:
    made = (make() for kinds, make in _ERRORS if isinstance(error, kinds))
    failure: ModelServerError = next(made, None) or ServerUnreachableError("Bedrock could not be called.")
    failure.may_be_billed = not isinstance(error, _NEVER_SENT)
    return failure


def _from_client_error(error: aws.ClientError, model: str | None) -> ModelServerError:
    told = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    is_in_stream = isinstance(error, aws.EventStreamError)
    retry_after = metadata.get("HTTPHeaders", {}).get("retry-after", "")
    context = FailureContext(model, _read_seconds(retry_after))
    status = None if is_in_stream else metadata.get("HTTPStatusCode", 500)
    failure = describe_bedrock_failure(told.get("Code", ""), told.get("Message", ""), status, context)
    failure.may_be_billed = status not in _REFUSED_STATUSES
    return failure


def _read_seconds(text: str) -> int | None:
    return min(int(text[:9]), _MAX_RETRY_AFTER_SECONDS) if text.isascii() and text.isdigit() else None


_NEVER_SENT = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.ParamValidationError,
    aws.EndpointConnectionError,
    aws.ConnectTimeoutError,
    aws.ProxyConnectionError,
    aws.SSLError,
)

_ERRORS: tuple[tuple[tuple[type[Exception], ...], Callable[[], ModelServerError]], ...] = (
    (
        (aws.ReadTimeoutError, ReadTimeoutError),
        lambda: ServerTimeoutError("Bedrock was silent for too long."),
    ),
    (
        (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError),
        lambda: ServerAccessError("The deployment has no credentials for AWS."),
    ),
    (
        (aws.ParamValidationError,),
        lambda: RequestRejectedError("Bedrock's API does not accept the request."),
    ),
    (
        (ResponseParserError, ParserError),
        lambda: BadResponseError("The answer is not in Bedrock's format."),
    ),
    # urllib3's own errors come from reading the body; earlier ones are wrapped by botocore.
    (
        (HTTPError,),
        lambda: StreamTruncatedError("The connection broke before Bedrock's answer was complete."),
    ),
    ((aws.HTTPClientError,), lambda: ServerUnreachableError("No connection to Bedrock could be made.")),
)
