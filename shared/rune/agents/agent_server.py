"""Another agent's server, called with JSON: one request, one answer that is an object."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rune.errors import BadResponseError, RequestRejectedError, ServerAccessError
from rune.llm.failures import FailureContext
from rune.llm.fields import parse_json
from rune.llm.http_failures import describe_failure
from rune.net.addresses import AddressPolicy, parse_backend_url
from rune.net.calls import Reply, ServerConnection
from rune.net.client import open_client

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Of one answer, with all artifacts."""

_FIRST_ERROR = 400
_ACCESS = frozenset({401, 403})


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's status and its object, empty where it is none."""

    status: int
    members: Mapping[str, object]


class Secret:
    """A key or token, which a server or a proxy before it may echo; None for none."""

    def __init__(self, text: str | None) -> None:
        # As it is, and as JSON escapes it.
        self._forms = {text.encode(), json.dumps(text)[1:-1].encode()} if text else set()

    def taken_out_of(self, body: bytes) -> bytes:
        """Return the body without it."""
        for form in self._forms:
            body = body.replace(form, b"***")
        return body


class AgentServer:
    """A server at the address of an operator's setting.

    Parameters
    ----------
    name
        Of its kind, for sentences.
    headers
        Of every request; they may hold `secret`.
    secret
        Taken out of all that the server says.
    """

    def __init__(
        self, connection: ServerConnection, name: str, headers: Mapping[str, str], secret: str | None = None
    ) -> None:
        self._connection = connection
        self._name = name
        self._headers = headers
        self._secret = Secret(secret)

    @classmethod
    def open(
        cls,
        base_url: str,
        policy: AddressPolicy,
        *,
        name: str,
        headers: Mapping[str, str],
        secret: str | None = None,
    ) -> "AgentServer":
        """Return the server; nothing is sent yet. Raises AddressRefusedError where the policy does."""
        url = parse_backend_url(base_url, policy)
        return cls(ServerConnection(url, open_client(policy)), name, headers, secret)

    @property
    def base_url(self) -> str:
        """The address without a slash at its end."""
        return self._connection.url.url

    async def call(
        self,
        method: Literal["GET", "POST", "DELETE"],
        url: str,
        *,
        timeout_seconds: float,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        taken: frozenset[int] = frozenset(),
    ) -> Answer:
        """Return what the server answers.

        Parameters
        ----------
        taken
            Statuses of errors that are answers to the caller, and raise nothing.

        Raises
        ------
        ServerAccessError
            The server refuses the token.
        ModelServerError, AddressError
            Any other of them.
        """
        async with self._connection.call(
            method,
            url,
            body=body,
            headers={**self._headers, **(headers or {})},
            total_timeout_seconds=max(0.001, timeout_seconds),
        ) as reply:
            if reply.status in taken:
                return Answer(reply.status, {})
            if reply.status >= _FIRST_ERROR:
                raise await self._failure(reply)
            reader = reply.reader(max_bytes=MAX_ANSWER_BYTES)
            whole = bytearray()
            while (received := await reader.read()) is not None:
                whole += received.data
        try:
            value = parse_json(self._secret.taken_out_of(bytes(whole)))
        except ValueError as error:
            raise BadResponseError(f"{self._name} answered with something other than JSON.") from error
        if not isinstance(value, dict):
            raise BadResponseError(f"{self._name} answered with JSON that is not an object.")
        return Answer(reply.status, value)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connection.aclose()

    async def _failure(self, reply: Reply) -> Exception:
        body = self._secret.taken_out_of(await reply.body_head())
        if reply.status in _ACCESS:
            return ServerAccessError(f"{self._name} refused the token of this tenant.")
        if reply.status in {404, 405}:
            return RequestRejectedError(f"{self._name} does not know the path: is base_url right?")
        return describe_failure(reply.status, body, FailureContext(None, reply.retry_after_seconds))
