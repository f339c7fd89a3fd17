"""What every operation may answer: statuses, codes of problems, and headers."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from api.openapi import OpenApi
from api.openapi.codes import CODES, CODES_OF, PASSING
from api.openapi.schemas import PREFIX
from api.problems import MEDIA_TYPE

RESPONSES = "#/components/responses/"
HEADERS = "#/components/headers/"

CODES_MEMBER = "x-codes"
"""The member of a response that lists the `code`s of its problems."""

ALWAYS = (401, 403, 413, 415, 429, 500, 503)
"""What every call with a token may be answered."""

_TEXT: OpenApi = {"type": "string"}

COMPONENT_HEADERS: Mapping[str, OpenApi] = {
    "Location": {"description": "Path of what was made.", "schema": _TEXT},
    "Idempotency-Replayed": {
        "description": "`true` where the same request was accepted before under the same `Idempotency-Key`.",
        "schema": {"type": "string", "const": "true"},
    },
    "ETag": {"description": "Changes with the document. Send it back as `If-None-Match`.", "schema": _TEXT},
    "Retry-After": {
        "description": "In how many seconds to ask again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Cache-Control": {"description": "Who may keep the answer.", "schema": _TEXT},
    "Vary": {"description": "The header that chose the form of the answer.", "schema": _TEXT},
    "WWW-Authenticate": {"description": "The scheme of a token.", "schema": _TEXT},
    "Deprecation": {"description": "Since when the path is an old name (RFC 9745).", "schema": _TEXT},
    "Sunset": {"description": "Until when it works (RFC 8594).", "schema": _TEXT},
    "Link": {"description": "The path to call instead, as `successor-version`.", "schema": _TEXT},
    "X-Request-Id": {
        "description": "The request's id, by which the operator finds it in the logs.",
        "schema": _TEXT,
    },
    "Token-Expires-At": {"description": "Of a token that ends: when it does.", "schema": _TEXT},
    "Content-Security-Policy": {"description": "What the page may load.", "schema": _TEXT},
}

_UNSAID = "Successful Response"
"""What FastAPI says where a route says nothing."""

_ON_EVERY_ANSWER = ("X-Request-Id", "Token-Expires-At")
_OF_ALIASES = ("Deprecation", "Sunset", "Link")
_MADE = ("Location",)
_POLLED = ("ETag", "Retry-After", "Cache-Control")
_NEGOTIATED = ("Cache-Control", "Vary")

HEADERS_OF: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "submit_benchmark": {"202": (*_MADE, "Idempotency-Replayed")},
    "submit_agentic_agent": {"202": (*_MADE, "Idempotency-Replayed")},
    "submit_llm_instance": {"202": (*_MADE, "Idempotency-Replayed")},
    "submit_ollama_instance": {"202": (*_MADE, "Idempotency-Replayed")},
    "run_schedule": {"202": (*_MADE, "Idempotency-Replayed")},
    "get_job": {"200": _POLLED, "304": _POLLED},
    "get_job_events": {"200": (*_POLLED, "Vary"), "204": _NEGOTIATED, "304": (*_POLLED, "Vary")},
    "get_job_receipt": {"200": _NEGOTIATED},
    "get_benchmark_report": {
        "200": ("ETag", *_NEGOTIATED, "Content-Security-Policy"),
        "304": ("ETag", *_NEGOTIATED),
    },
    "compare_benchmarks": {"200": (*_NEGOTIATED, "Content-Security-Policy")},
    "set_baseline": {"200": ("ETag",), "201": (*_MADE, "ETag")},
    "get_baseline": {"200": ("ETag",), "304": ("ETag",)},
    "set_suite": {"200": ("ETag",), "201": (*_MADE, "ETag")},
    "get_suite": {"200": ("ETag",), "304": ("ETag",)},
    "create_schedule": {"201": _MADE},
    "create_webhook": {"201": _MADE},
}
"""Headers of answers, by operation and status, beside those of all problems of a status, and of all answers."""

PROBLEM_HEADERS: Mapping[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate", "Retry-After"),
    429: ("Retry-After",),
    503: ("Retry-After",),
}

REFUSED_BEFORE: OpenApi = {
    "description": "What API Gateway refuses by itself.",
    "type": "object",
    "properties": {"message": _TEXT},
    "required": ["message"],
}
"""More requests than the deployment takes, or an outage, is answered so, and not as a problem."""


def complete(operation: OpenApi, *, is_open: bool, is_secretive: bool) -> None:
    """Give an operation all its answers.

    Parameters
    ----------
    is_open
        Whether it needs no token.
    is_secretive
        Whether its answers hold a secret, so that no cache may keep them.
    """
    name, found = operation["operationId"], operation["responses"]
    statuses = set() if is_open else {*ALWAYS, *CODES_OF.get(name, {})}
    statuses |= {int(status) for status in found if int(status) >= HTTPStatus.BAD_REQUEST}
    for refused in statuses:
        found[str(refused)] = _problem(name, refused)
    for status, answer in found.items():
        if int(status) >= HTTPStatus.BAD_REQUEST:
            continue
        if answer.get("description") == _UNSAID:
            answer["description"] = f"{HTTPStatus(int(status)).phrase}."
        told = [
            *HEADERS_OF.get(name, {}).get(status, ()),
            *(["X-Request-Id"] if is_open else _ON_EVERY_ANSWER),
        ]
        told += ["Cache-Control"] if is_secretive else []
        told += _OF_ALIASES if operation.get("deprecated") else []
        answer["headers"] = _headers(told)
    operation["responses"] = dict(sorted(found.items()))


def add_components(document: OpenApi) -> None:
    """Add the answers and headers that operations share."""
    components = document["components"]
    components["headers"] = dict(COMPONENT_HEADERS)
    components["responses"] = {_name(status): _describe(status, codes) for status, codes in CODES.items()}
    components["schemas"]["RefusedBefore"] = REFUSED_BEFORE


def codes_of(name: str, status: int) -> tuple[str, ...]:
    """Return the codes of the problems that an operation may answer with a status."""
    return CODES_OF.get(name, {}).get(status, ()) + CODES.get(status, ())


def _problem(name: str, status: int) -> OpenApi:
    """Return what an operation answers with a status: by reference where it has no codes of its own."""
    if status in CODES and status not in CODES_OF.get(name, {}):
        return {"$ref": RESPONSES + _name(status)}
    return _describe(status, codes_of(name, status))


def _describe(status: int, codes: tuple[str, ...]) -> OpenApi:
    content: OpenApi = {}
    sentences = [f"{HTTPStatus(status).phrase}."]
    if codes:
        content[MEDIA_TYPE] = {"schema": {"$ref": f"{PREFIX}ProblemDocument"}}
        sentences.append(f"Codes: {', '.join(f'`{code}`' for code in codes)}.")
    if status in PASSING:
        content["application/json"] = {"schema": {"$ref": f"{PREFIX}RefusedBefore"}}
        sentences.append(PASSING[status])
    described: OpenApi = {"description": " ".join(sentences), "content": content, CODES_MEMBER: [*codes]}
    # Where a route's answers hold secrets, its problems are kept by no cache either.
    described["headers"] = _headers((*PROBLEM_HEADERS.get(status, ()), *_ON_EVERY_ANSWER, "Cache-Control"))
    return described


def _headers(names: Iterable[str]) -> OpenApi:
    return {name: {"$ref": HEADERS + name} for name in names}


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")
