"""What the document says in prose: of the whole, of each group of calls, and of parameters."""

from collections.abc import Mapping

from api.openapi import HEALTH_PATHS, OpenApi

DESCRIPTION = """\
Send a question and a model, and get back an answer with numbers: how good, how fast, how dear. A job may use a
model server that runs already, or rent a GPU on Vast.ai for itself.

**How a job goes.** `POST /v1/jobs/benchmark` answers 202 with a `job_id`. `GET /v1/jobs/{job_id}` tells where it
stands; ask again after `Retry-After` seconds, with the last `ETag` as `If-None-Match`. `status` ends as
`succeeded`, `failed` or `cancelled`. A benchmark that succeeded has a report: `GET /v1/benchmarks/{job_id}`.

**Who calls.** `X-Tenant-ID` names the tenant; without it the tenant is `default`. Send the token as
`Authorization: Bearer <token>` or as `X-API-Key: <token>`.

**Sending twice.** With an `Idempotency-Key` of your own, the same request again is the same job.

**Errors** are `application/problem+json` with a stable `code` to compare. Each answer lists its codes.

**Compatibility.** A field that a request has not is refused by name. Answers get new fields, and `code` gets new
values, without notice: ignore what you do not know.
"""

SERVERS: list[dict[str, object]] = [
    {"url": "/", "description": "Where this document comes from."},
    {"url": "http://localhost:8080", "description": "The local stack (`make local`)."},
]

TAGS: list[dict[str, object]] = [
    {"name": "jobs", "description": "Hand in work, follow it, cancel it."},
    {"name": "benchmarks", "description": "What finished benchmarks measured, and how they compare."},
    {"name": "rentals", "description": "Rented machines: what they cost, how long they stay."},
    {"name": "models", "description": "Models that fit on rented GPUs, and models that a server offers."},
    {"name": "money", "description": "What work would cost, has cost, and may still cost."},
    {"name": "schedules", "description": "Jobs that are posted again and again."},
    {"name": "webhooks", "description": "Where your tenant's events are sent."},
    {
        "name": "stop",
        "description": "Stop everything of your tenant's: refuse, cancel, give back. And take it back.",
    },
    {"name": "metrics", "description": "Counts and durations of what your jobs did."},
    {"name": "health", "description": "Whether the API answers."},
]

BEARER = "`Authorization: Bearer <token>`: a token of the tenant that `X-Tenant-ID` names."

API_KEY = "The same token in another header. Where both are sent, they must be equal."

LINK = (
    "Of `POST /v1/jobs/{job_id}/links`, and for the path that it was made for alone; or of "
    "`POST /v1/benchmarks/{job_id}/links`, and for the page that it was made for alone."
)

PATH_PARAMETERS: Mapping[str, str] = {
    "job_id": "The job's id, as its submission answered.",
    "rental_id": "The rental's id, as `GET /v1/rentals` or the job tells.",
    "schedule_id": "The schedule's id, as its creation answered.",
    "event_id": "The event's id, as the list of deliveries tells.",
}
"""Of parameters that mean the same on every path."""

HEADER_NAMES: Mapping[str, str] = {"if-none-match": "If-None-Match", "if-match": "If-Match"}
"""As they are usually written; FastAPI writes them in small letters."""


def complete_parameters(path: str, operation: OpenApi) -> None:
    """Describe an operation's parameters where its route does not, and give it a group."""
    if path in HEALTH_PATHS:
        operation["tags"] = ["health"]
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        parameter["name"] = HEADER_NAMES.get(name, name)
        # FastAPI describes a parameter in its schema too.
        parameter["schema"].pop("description", None)
        if parameter["in"] == "path" and name in PATH_PARAMETERS:
            parameter.setdefault("description", PATH_PARAMETERS[name])
