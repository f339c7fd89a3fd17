"""Limits of a request's body: its size and its type."""

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import respond
from rune.contracts.problems import Problem

LARGEST_BODY_BYTES = 5 * 1024 * 1024
"""Of a benchmark, whose workload brings its prompts. Lambda refuses an event of more than 6 MB (Lambda quotas)."""

LARGEST_JOB_BYTES = 1024 * 1024
"""Of other jobs: a question of 100,000 characters takes 600 KB where each is escaped."""

LARGEST_OTHER_BYTES = 256 * 1024
"""Of all else. The largest is a schedule, whose request has 100,000 bytes at most."""

_BENCHMARK = "/v1/jobs/benchmark"
_JOBS = "/v1/jobs/"


def largest_of(path: str) -> int:
    """Return how long a body at the path may be, in bytes."""
    if path == _BENCHMARK:
        return LARGEST_BODY_BYTES
    return LARGEST_JOB_BYTES if path.startswith(_JOBS) else LARGEST_OTHER_BYTES


class BodyLimit:
    """Answers 413 to a longer body and 415 to one that is not JSON, before the body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        problem = _judge(scope) if scope["type"] == "http" else None
        await (respond(problem) if problem else self._app)(scope, receive, send)


def _judge(scope: Scope) -> Problem | None:
    headers = dict(scope["headers"])
    # A POST without an announced length counts as one with a body.
    unannounced = b"1" if scope["method"] == "POST" else b"0"
    announced = headers.get(b"content-length", unannounced).strip()
    if not announced.isdigit():
        return Problem(400, "bad_request", "Content-Length is not a number.")
    # int() refuses thousands of digits; so many are over the limit.
    length = int(announced[-20:]) if len(announced.lstrip(b"0")) <= 20 else LARGEST_BODY_BYTES + 1  # noqa: PLR2004
    largest = largest_of(scope["path"])
    if length > largest:
        return Problem(413, "body_too_large", f"The body is larger than {largest // 1024} KiB.")
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if coding not in {b"identity", b""}:
        # RFC 9110, 12.5.3: the answer says which codings the next request may have.
        return Problem(
            415,
            "unsupported_content_encoding",
            "The body is compressed (Content-Encoding); send it as it is.",
            headers={"Accept-Encoding": "identity"},
        )
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    is_json = media_type == b"application/json" or media_type.endswith(b"+json")
    if length and not is_json:
        return Problem(415, "unsupported_media_type", "The body must come as Content-Type: application/json.")
    return None
