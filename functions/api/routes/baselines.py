"""Routes of baselines: a benchmark's report under a name, for comparisons."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response

from api.auth import admitted_caller_of
from api.etags import matches
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts.baselines import BASELINE_NAME, BaselineList, BaselineRecord, BaselineRequest
from rune.errors import InvalidRequestError
from rune.jobs.baselines import Baseline
from rune.services.baselines import Expected, tag_of

router = APIRouter(
    route_class=StrictRoute,
    prefix="/v1/baselines",
    tags=["benchmarks"],
    responses=responses(401, 403, 422, 503),
)

type Name = Annotated[str, Path(pattern=BASELINE_NAME, description="Yours for it, such as `main`.")]
type IfMatch = Annotated[
    str | None, Header(max_length=1000, description="Only where the baseline has one of these `ETag`s.")
]
type IfNoneMatch = Annotated[
    str | None, Header(max_length=1000, description="`*`: only where there is no baseline of this name yet.")
]


_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing has changed."}}
_IS_NEW: dict[int | str, dict[str, Any]] = {201: {"model": BaselineRecord}}


@router.put("/{name}", responses=_IS_NEW | responses(400, 404, 409, 412, 413, 415))
async def set_baseline(  # noqa: PLR0917  # the request, one parameter each
    request: Request,
    name: Name,
    body: BaselineRequest,
    response: Response,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> BaselineRecord:
    """Let a name stand for a benchmark; 201 for a new name. The same request again changes nothing."""
    caller = admitted_caller_of(request)
    expected = _expected(if_match, if_none_match)
    baseline, is_new = services_of(request).baselines().put(caller, name, body.job_id, expected)
    if is_new:
        response.status_code = 201
        response.headers["Location"] = f"/v1/baselines/{name}"
    response.headers["ETag"] = tag_of(baseline)
    return _record(baseline)


@router.get("")
async def list_baselines(request: Request) -> BaselineList:
    """Return your tenant's baselines, by name; it may have 50."""
    tenant = admitted_caller_of(request).tenant
    found = services_of(request).baselines().list_baselines(tenant)
    return BaselineList(baselines=[_record(baseline) for baseline in found])


@router.get("/{name}", response_model=BaselineRecord, responses=_NOT_MODIFIED | responses(404))
async def get_baseline(
    request: Request,
    name: Name,
    response: Response,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of the last answer.")] = None,
) -> BaselineRecord | Response:
    """Return which benchmark a name stands for."""
    tenant = admitted_caller_of(request).tenant
    baseline = services_of(request).baselines().find(tenant, name)
    tag = tag_of(baseline)
    if matches(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return _record(baseline)


@router.delete("/{name}", status_code=204, responses=responses(404, 412))
async def delete_baseline(request: Request, name: Name, if_match: IfMatch = None) -> Response:
    """Delete a baseline; the benchmark stays as long as it is kept."""
    tenant = admitted_caller_of(request).tenant
    services_of(request).baselines().delete(tenant, name, _expected(if_match, None))
    return Response(status_code=204)


def _expected(if_match: str | None, if_none_match: str | None) -> Expected:
    if if_none_match is not None and if_none_match.strip() != "*":
        raise InvalidRequestError("If-None-Match may only be *.", pointer="/if-none-match")
    tags = None if if_match is None else frozenset(tag.strip() for tag in if_match.split(","))
    return Expected(tags, is_absent=if_none_match is not None)


def _record(baseline: Baseline) -> BaselineRecord:
    if baseline.job_id is None:
        raise AssertionError("the service shows none that was deleted")
    return BaselineRecord(
        name=baseline.name,
        job_id=baseline.job_id,
        model=baseline.model,
        created_at=baseline.created_at,
        updated_at=baseline.updated_at,
    )
