"""What finished benchmarks measured: a report, its requests one by one, and reports side by side."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response

from api import documents
from api.auth import admitted_caller_of, caller_of
from api.etags import matches
from api.job_filters import MetadataQuery, NameQuery, live_costs_micro_usd, wanted_of
from api.media_types import preferred
from api.problems import responses
from api.queries import StrictRoute
from api.services import services_of
from rune.contracts import BenchmarkList, BenchmarkReport, Comparison, RecordsLinks
from rune.contracts.baselines import BASELINE_NAME
from rune.errors import InvalidRequestError
from rune.jobs.record import Kind, Status

router = APIRouter(
    route_class=StrictRoute,
    prefix="/v1/benchmarks",
    tags=["benchmarks"],
    responses=responses(401, 403, 404, 409, 422, 503),
)

MARKDOWN = "text/markdown"

LEAST_COMPARED, MOST_COMPARED = 2, 10
"""More columns cannot be read; ten results are at most 3 MB, of the 16 that one batch read brings."""

HTML = "text/html"
JSON = "application/json"
XML = "application/xml"

type ToolFormat = Literal["rune", "vllm", "aiperf"]
type Format = Literal["rune", "vllm", "aiperf", "markdown", "html"]
type ComparisonFormat = Literal["json", "markdown", "html", "junit"]


_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_COMPARED: dict[int | str, dict[str, Any]] = {
    200: {"content": dict.fromkeys((MARKDOWN, HTML, XML), _TEXT)},
}
_REPORTED: dict[int | str, dict[str, Any]] = {200: {"content": dict.fromkeys((MARKDOWN, HTML), _TEXT)}}
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing has changed."}}


@router.get("")
async def list_benchmarks(  # noqa: PLR0917  # the query, one parameter each
    request: Request,
    status: Annotated[Status | None, Query(description="Only benchmarks with this status.")] = None,
    name: NameQuery = None,
    metadata: MetadataQuery = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Longest page.")] = 20,
    cursor: Annotated[
        str | None, Query(max_length=128, description="`next_cursor` of the page before.")
    ] = None,
) -> BenchmarkList:
    """Return own benchmarks, newest first. A page may be short and not the last: `next_cursor` tells."""
    before = None if cursor is None else documents.from_cursor(cursor)
    services, tenant = services_of(request), admitted_caller_of(request).tenant
    page = services.jobs.list_jobs(
        tenant,
        before=before,
        limit=limit,
        status=status,
        kind=Kind.BENCHMARK,
        wanted=wanted_of(name, metadata),
    )
    return documents.benchmark_list(page, live_costs_micro_usd(services, tenant, page.jobs))


# Before the routes that take any name for an id.
@router.get("/compare", response_model=Comparison, responses=_COMPARED)
async def compare_benchmarks(  # noqa: PLR0917  # the query, one parameter each
    request: Request,
    jobs: Annotated[
        str,
        Query(
            max_length=1000,
            description="Ids of 2 to 10 own benchmarks, comma separated. The others are held against the first. "
            "Beside a baseline 1 to 9.",
        ),
    ],
    baseline: Annotated[
        str | None,
        Query(pattern=BASELINE_NAME, description="Name of the baseline that all are held against."),
    ] = None,
    threshold: Annotated[
        float,
        Query(ge=0, le=1, allow_inf_nan=False, description="Differences below this ratio are none."),
    ] = 0.05,
    fail_on: Annotated[
        list[str] | None,
        Query(
            max_length=20,
            description="Limits as ratios of the first benchmark's numbers, such as `ttft_ms.p95:1.10` or "
            "`good_ratio:0.95`; comma separated, or repeated.",
        ),
    ] = None,
    format: Annotated[  # noqa: A002  # the parameter's name
        ComparisonFormat | None,
        Query(
            description="`json`, `markdown` for a pull request, `html`, a page for people, or `junit`, which needs "
            "limits. Without it, what `Accept` prefers of `application/json`, `text/markdown`, `text/html`, and "
            "with limits `application/xml`."
        ),
    ] = None,
    undecided: Annotated[
        Literal["skipped", "failure"], Query(description="What an undecided check is in JUnit XML.")
    ] = "skipped",
) -> Response:
    """Return benchmarks side by side, with a verdict on each difference, and whether limits are kept."""
    # Imported at the first call: comparing is rare, and no reason for a slower start of everything else.
    from rune.bench.comparison import compare  # noqa: PLC0415
    from rune.bench.gates import read_limits, with_gate  # noqa: PLC0415

    limits = None if fail_on is None else read_limits(fail_on)
    form = _form_of(request, format, has_limits=limits is not None)
    job_ids = _different_ids(jobs, beside=0 if baseline is None else 1)
    found = services_of(request).reports().find_many(caller_of(request), job_ids)
    benchmarks = [(each.job.job_id, each.report) for each in found]
    if baseline is not None:
        kept = services_of(request).baselines().read_report(caller_of(request).tenant, baseline)
        _require_different([kept[0], *job_ids], beside=1)
        benchmarks.insert(0, kept)
    comparison = compare(benchmarks, threshold_ratio=threshold, baseline=baseline)
    if limits is not None:
        comparison = with_gate(comparison, benchmarks, limits)
    return _answer_comparison(comparison, form, undecided)


def _form_of(
    request: Request,
    format: ComparisonFormat | None,  # noqa: A002  # as above
    *,
    has_limits: bool,
) -> ComparisonFormat:
    """Return the form of a comparison; raises InvalidRequestError for checks without limits."""
    if format == "junit" and not has_limits:
        raise InvalidRequestError(
            "JUnit XML shows checks: name at least one limit with fail_on.",
            pointer="/fail_on",
            code="gate_missing",
        )
    if format is not None:
        return format
    offered: dict[str, ComparisonFormat] = {JSON: "json", MARKDOWN: "markdown", HTML: "html"}
    if has_limits:
        offered |= {XML: "junit", "text/xml": "junit"}
    return offered[preferred(request.headers.get("accept"), *offered)]


def _answer_comparison(
    comparison: Comparison, form: ComparisonFormat, undecided: Literal["skipped", "failure"]
) -> Response:
    headers = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
    if form == "html":
        from api.report_pages import answer  # noqa: PLC0415
        from rune.pages.comparison_page import to_page  # noqa: PLC0415

        return answer(to_page(comparison))
    if form == "markdown":
        from rune.bench.markdown import to_markdown  # noqa: PLC0415

        return Response(to_markdown(comparison), media_type=f"{MARKDOWN}; charset=utf-8", headers=headers)
    if form == "junit":
        from rune.bench.junit import to_junit  # noqa: PLC0415

        text = to_junit(comparison, undecided)
        return Response(text, media_type=f"{XML}; charset=utf-8", headers=headers)
    return Response(comparison.model_dump_json(), media_type=JSON, headers=headers)


@router.get("/{job_id}", response_model=BenchmarkReport | dict[str, Any], responses=_NOT_MODIFIED | _REPORTED)
async def get_benchmark_report(
    request: Request,
    job_id: str,
    format: Annotated[  # noqa: A002  # the parameter's name
        Format | None,
        Query(
            description="`rune`: the whole report. `vllm`, `aiperf`: one run, as those tools would write it. "
            "`markdown`: tables for a pull request. `html`: a page for people. Without it, what `Accept` prefers "
            "of `application/json`, `text/markdown` and `text/html`."
        ),
    ] = None,
    run: Annotated[
        int | None,
        Query(
            ge=0, le=99, description="Which run, for `vllm` and `aiperf`; the best one where none is named."
        ),
    ] = None,
    if_none_match: Annotated[str | None, Header(description="The `ETag` of the last answer.")] = None,
) -> Response:
    """Return the report of an own benchmark that succeeded, as JSON, or as `Accept` prefers it."""
    offered: dict[str, Format] = {JSON: "rune", MARKDOWN: "markdown", HTML: "html"}
    preference = preferred(request.headers.get("accept"), *offered) if run is None else JSON
    form = format or offered[preference]
    if run is not None and form not in {"vllm", "aiperf"}:
        raise InvalidRequestError(
            "A report in RUNE's own form holds all runs; ask for format=vllm or format=aiperf.",
            pointer="/run",
            code="run_without_format",
        )
    reports = services_of(request).reports()
    found = reports.find(caller_of(request), job_id)
    if form == "html":
        # Pages are rare as well, and their modules are no reason for a slower start of everything else.
        from api.report_pages import answer_report  # noqa: PLC0415

        return answer_report(request, reports, found)
    # The row never changes again, but another version of RUNE may write the same report in another way.
    headers = {
        "ETag": f'"b{found.job.version}-{found.report.schema_version}-{form}-{run}"',
        "Cache-Control": "private, no-cache",
        "Vary": "Accept",
    }
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    if form == "markdown":
        from rune.bench.report_markdown import report_to_markdown  # noqa: PLC0415  # as for pages

        text = report_to_markdown(found.report)
        return Response(text, media_type=f"{MARKDOWN}; charset=utf-8", headers=headers)
    return Response(_written(found.report, form, run), media_type=JSON, headers=headers)


@router.get("/{job_id}/records")
async def get_benchmark_records(request: Request, job_id: str) -> RecordsLinks:
    """Return links to the requests of an own benchmark, one JSON document a line, one file a run."""
    reports = services_of(request).reports()
    found = reports.find(caller_of(request), job_id)
    return RecordsLinks(job_id=job_id, records=reports.link_records(found))


def _written(report: BenchmarkReport, form: ToolFormat, run: int | None) -> str:
    if form == "rune":
        return report.model_dump_json()
    index = run if run is not None else report.best_run or 0
    if index not in {each.index for each in report.runs}:
        raise InvalidRequestError(
            f"The report has {len(report.runs)} runs, numbered from 0.", pointer="/run", code="run_not_found"
        )
    from rune.bench.converters import to_aiperf, to_vllm  # noqa: PLC0415  # at the first call, as for comparing

    return json.dumps((to_vllm if form == "vllm" else to_aiperf)(report, index))


def _different_ids(jobs: str, beside: int = 0) -> list[str]:
    """Return the ids in a list of them; raises InvalidRequestError unless there are as many as can be compared.

    Parameters
    ----------
    beside
        How many benchmarks are compared with them that are not in the list.
    """
    job_ids = [job_id.strip() for job_id in jobs.split(",")]
    if not all(job_ids):
        raise _refuse_jobs(beside)
    _require_different(job_ids, beside)
    if not LEAST_COMPARED <= len(job_ids) + beside <= MOST_COMPARED:
        raise _refuse_jobs(beside)
    return job_ids


def _require_different(job_ids: Sequence[str], beside: int) -> None:
    if len(set(job_ids)) < len(job_ids):
        raise _refuse_jobs(beside)


def _refuse_jobs(beside: int) -> InvalidRequestError:
    least, most = LEAST_COMPARED - beside, MOST_COMPARED - beside
    other = ", other than the baseline's" if beside else ""
    return InvalidRequestError(
        f"Name {least} to {most} different jobs{other}, comma separated.",
        pointer="/jobs",
        code="jobs_to_compare",
    )
