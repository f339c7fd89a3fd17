"""Routes of suites: cases on which models are tried as investigators."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response

from api.auth import admitted_caller_of
from api.etags import matches
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts.suites import (
    SUITE_NAME,
    SuiteDocument,
    SuiteList,
    SuiteRecord,
    SuiteRequest,
    SuiteSummary,
)
from rune.services.suites import FoundSuite, all_brought

router = APIRouter(
    route_class=StrictRoute, prefix="/v1/suites", tags=["benchmarks"], responses=responses(401, 403, 422, 503)
)

type Name = Annotated[str, Path(pattern=SUITE_NAME, description="Yours for it, such as `payments`.")]

_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing has changed."}}
_IS_NEW: dict[int | str, dict[str, Any]] = {201: {"model": SuiteRecord}}


@router.put("/{name}", responses=_IS_NEW | responses(400, 409, 413, 415))
async def set_suite(request: Request, name: Name, body: SuiteRequest, response: Response) -> SuiteRecord:
    """Let a name stand for these cases; 201 for a new name. The same request again changes nothing."""
    tenant = admitted_caller_of(request).tenant
    found, is_new = services_of(request).suites().put(tenant, name, body.cases)
    if is_new:
        response.status_code = 201
        response.headers["Location"] = f"/v1/suites/{name}"
    response.headers["ETag"] = _tag(found)
    return SuiteRecord(**_members(found))


@router.get("")
async def list_suites(request: Request) -> SuiteList:
    """Return the suites that RUNE brings, and your tenant's own by name; it may have 20."""
    own = services_of(request).suites().list_suites(admitted_caller_of(request).tenant)
    return SuiteList(
        suites=[
            *(
                SuiteSummary(
                    name=suite.name,
                    is_own=False,
                    version=suite.digest,
                    case_count=len(suite.cases),
                    updated_at=None,
                )
                for suite in all_brought()
            ),
            *(
                SuiteSummary(
                    name=suite.name,
                    is_own=True,
                    version=suite.digest or "",
                    case_count=suite.case_count or 0,
                    updated_at=suite.updated_at,
                )
                for suite in own
            ),
        ]
    )


@router.get("/{name}", response_model=SuiteDocument, responses=_NOT_MODIFIED | responses(404))
async def get_suite(
    request: Request,
    name: Name,
    response: Response,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of the last answer.")] = None,
) -> SuiteDocument | Response:
    """Return a suite with its cases."""
    found = services_of(request).suites().find(admitted_caller_of(request).tenant, name)
    tag = _tag(found)
    if matches(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return SuiteDocument(**_members(found), cases=[dict(case) for case in found.cases])


@router.delete("/{name}", status_code=204, responses=responses(404))
async def delete_suite(request: Request, name: Name) -> Response:
    """Delete an own suite. Jobs that were to run it still do."""
    services_of(request).suites().delete(admitted_caller_of(request).tenant, name)
    return Response(status_code=204)


def _members(found: FoundSuite) -> dict[str, Any]:
    record = found.record
    return {
        "name": found.name,
        "is_own": record is not None,
        "version": found.digest,
        "case_ids": list(found.case_ids),
        "created_at": None if record is None else record.created_at,
        "updated_at": None if record is None else record.updated_at,
    }


def _tag(found: FoundSuite) -> str:
    return f'"su{found.digest[:32]}"'
