"""Reading the answers of model servers over HTTP."""

from collections.abc import Callable, Mapping

from pydantic import SecretStr

from rune.errors import BadResponseError, UnknownPathError
from rune.llm.failures import FailureContext
from rune.llm.fields import parse_json
from rune.llm.framing import Frame, FrameReader
from rune.llm.http_failures import describe_failure, is_failure
from rune.llm.protocol import ChatRequest, OnChunk
from rune.net.bodies import BodyReader
from rune.net.calls import Reply, drain

_OK = 200


async def read_object(reply: Reply, *, model: str | None = None) -> Mapping[str, object]:
    """Return the JSON object that a reply holds which is not a stream.

    Raises
    ------
    ModelServerError
        The status is not 200, the object is an error, or the body is not a JSON object.
    """
    value = await read_value(reply, model=model)
    if not isinstance(value, dict):
        raise BadResponseError("The server answered with JSON that is not an object.")
    return value


async def read_value(reply: Reply, *, model: str | None = None) -> object:
    """Return the JSON value that a reply holds which is not a stream.

    Raises
    ------
    UnknownPathError
        A page came instead.
    ModelServerError
        The status is not 200, the value is an error, or the body is not JSON.
    """
    context = await _require_ok(reply, model)
    body = await reply.body()
    try:
        value = parse_json(body)
    except ValueError as error:
        is_page = body.lstrip().startswith(b"<")
        kind = UnknownPathError if is_page else BadResponseError
        raise kind("The server answered with something other than JSON.") from error
    if is_failure(value):
        raise describe_failure(None, value, context)
    return value


async def open_answer(reply: Reply, *, model: str) -> BodyReader:
    """Return the body of an answer. Its media type is not looked at: `AnswerReader` tells what it is.

    Raises
    ------
    ModelServerError
        The status is not 200.
    """
    await _require_ok(reply, model)
    return reply.reader()


def bound_silence(body: BodyReader, request: ChatRequest, on_chunk: OnChunk) -> OnChunk:
    """Return an `on_chunk` after each of which the next may take as long as the request's idle timeout.

    Before the first chunk with content, a server may keep a request in its queue for as long as the call allows.
    """

    def tell(count: int) -> None:
        body.limit_silence(request.idle_timeout_seconds)
        on_chunk(count)

    return tell


async def read_frames(body: BodyReader, reader: FrameReader, take: Callable[[Frame], bool]) -> None:
    """Give every frame to `take` until it returns True for the end marker, or the stream ends.

    Raises
    ------
    ModelServerError
        A limit was passed; or an error of `take`.
    httpx.TransportError
        The connection broke; `ServerConnection.call` turns it into an error of RUNE's.
    """
    while (received := await body.read()) is not None:
        for frame in reader.feed(received):
            if take(frame):
                await drain(body)
                return
    for frame in reader.finish():
        if take(frame):
            return


def parse_frame(frame: Frame, *, model: str, api_key: SecretStr | None = None) -> Mapping[str, object]:
    """Return the frame's JSON object.

    Parameters
    ----------
    api_key
        The key that was sent to the server: no error repeats it.

    Raises
    ------
    ModelServerError
        The frame holds an error or is marked as one, or is not a JSON object.
    """
    context = FailureContext(model, api_key=api_key)
    if frame.is_error:
        raise describe_failure(None, frame.data, context)
    members = frame.parse()
    if is_failure(members):
        raise describe_failure(None, members, context)
    return members


async def _require_ok(reply: Reply, model: str | None) -> FailureContext:
    context = FailureContext(model, reply.retry_after_seconds, reply.api_key)
    if reply.status == _OK:
        return context
    if reply.status < 400:  # noqa: PLR2004 other successes; redirects ended earlier
        raise BadResponseError(f"The server answered with status {reply.status}, which RUNE did not expect.")
    raise describe_failure(reply.status, await reply.body_head(), context)
