"""A link opens one document of one tenant with GET for a while, and is no way around anything."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from rune.contracts.links import LinkTargetName
from rune.jobs.record import Kind
from rune.logs import JsonFormatter
from rune.services.links import PAGES, PATHS, is_linkable
from tests.benchmark_builders import a_report
from tests.builders import JOB_ID, TENANT, TOKEN, FakeClock, a_claimed_job, a_job, after, an_http_event
from tests.event_source import EventSource
from tests.functional.functions.asking import (
    ACMES_TOKEN,
    BENCHMARK,
    JOB,
    NO_TOKEN,
    OF_ACME,
    a_problem,
    a_wrong_field,
    ask,
    assert_blocked,
    assert_problem,
    get,
    post,
    put,
    put_benchmark,
)
from tests.functional.functions.loading import loaded
from tests.parameters import Ssm, a_hash

if TYPE_CHECKING:
    from tests.cloud import Cloud
    from tests.functional.functions.asking import Response

LINKS, EVENTS = f"{JOB}/links", f"{JOB}/events"
TENANTS, KEY = "/rune/links/tenants", "/rune/links/signing-key"
MASTER = "m" * 40
OTHER_TOKEN = "another-token-of-the-same-tenant-0123456789"
REFUSED = "The link does not open this: it was made for another path or changed, or its token or key is gone."


@pytest.fixture(scope="module")
def handler(shared_cloud: Cloud) -> Iterator[ModuleType]:
    environment = {
        **shared_cloud.environment,
        "RUNE_API_TOKENS": "",
        "RUNE_TENANTS_PATH": TENANTS,
        "RUNE_SIGNING_KEY_PARAMETER": KEY,
    }
    with loaded("api.handler", environment) as handler:
        yield handler


@pytest.fixture
def api(handler: ModuleType, cloud: Cloud) -> ModuleType:
    """An API that has read nothing yet: one remembers the settings of the test before."""
    remembered = handler.app.state.services.tenants._cache
    for memory in (remembered._found, remembered._missing, remembered._never_read):
        memory.clear()
    handler.find_link_service.cache_clear()
    write_tenant(TOKEN, OTHER_TOKEN)
    Ssm.write(f"{TENANTS}/acme", {"tokens": {"t": a_hash(ACMES_TOKEN)}})
    Ssm.write(KEY, MASTER)
    put(cloud, a_claimed_job())
    return handler


def write_tenant(*tokens: str, **members: object) -> None:
    hashes = {f"t{number}": a_hash(token) for number, token in enumerate(tokens)}
    Ssm.write(f"{TENANTS}/{TENANT}", {"tokens": hashes, **members})


def make(api: ModuleType, what: str = "events", **options: Any) -> str:  # noqa: ANN401  # of an_http_event
    """Return the address of a new link."""
    response = post(api, {"what": what}, path=LINKS, **options)
    assert response.status == 200
    url: str = response.document["url"]
    return url


def open_link(
    api: ModuleType,
    url: str,
    headers: dict[str, str] | None = None,
    **options: Any,  # noqa: ANN401  # of an_http_event
) -> Response:
    return get(api, url, headers, token=None, **options)


# ---------------------------------------------------------------- what a link opens


def test_link_is_given_out_with_its_end(api: ModuleType) -> None:
    response = post(api, {"what": "events"}, path=LINKS)

    url = response.document.pop("url")
    assert (response.status, response.headers["cache-control"]) == (200, "no-store")
    assert response.document == {"job_id": JOB_ID, "what": "events", "expires_at": "2026-11-23T12:10:00Z"}
    assert re.fullmatch(rf"{EVENTS}\?link=1~{int(after(600).timestamp())}~{TENANT}~[A-Za-z0-9_-]{{43}}", url)


def test_link_takes_one_read_once_the_key_is_known(api: ModuleType, cloud: Cloud) -> None:
    make(api)
    cloud.calls.clear()

    url = make(api)
    assert cloud.operations == ["BatchGetItem"]
    cloud.calls.clear()
    open_link(api, url)
    assert cloud.operations == ["GetItem", "Query"]


def test_link_opens_a_stream_that_an_event_source_reads(api: ModuleType) -> None:
    source = EventSource()
    response = open_link(api, make(api), source.headers)

    source.take(response.status, response.headers["content-type"], response.document.encode())

    assert source.ids_of("job.event") == [1]


def test_link_opens_the_history_the_job_and_its_report(api: ModuleType, cloud: Cloud) -> None:
    with_token = {path: get(api, path).document for path in (JOB, EVENTS)}

    assert open_link(api, make(api, "job")).document == with_token[JOB]
    assert open_link(api, make(api, "events")).document == with_token[EVENTS]
    assert open_link(api, make(api, "report")).document["code"] == "job_not_finished"
    cloud.empty()
    put_benchmark(cloud)
    assert open_link(api, make(api, "report")).status == 200


@pytest.mark.parametrize("what", PATHS)
def test_link_opens_what_the_document_says_that_it_opens(what: LinkTargetName, api: ModuleType) -> None:
    operation = api.app.openapi()["paths"][PATHS[what]]["get"]

    assert {"link": []} in operation["security"]
    assert is_linkable(PATHS[what].format(job_id=JOB_ID))


def test_document_names_links_for_nothing_else(api: ModuleType) -> None:
    paths = api.app.openapi()["paths"].items()
    linked = {
        (path, method)
        for path, operations in paths
        for method, operation in operations.items()
        if {"link": []} in operation.get("security", [])
    }

    assert linked == {(path, "get") for path in (*PATHS.values(), *PAGES.values())}


def test_members_of_the_query_can_be_added_to_a_link(api: ModuleType) -> None:
    assert open_link(api, f"{make(api)}&after=1").document["events"] == []


def test_link_may_come_escaped(api: ModuleType) -> None:
    path, _, query = make(api).partition("?link=")

    assert open_link(api, f"{path}?link={quote(query, safe='').replace('~', '%7E')}").status == 200


@pytest.mark.parametrize("seconds", [10, 3600])
def test_lifetime_is_the_callers_within_an_hour(seconds: int, api: ModuleType) -> None:
    response = post(api, {"what": "job", "lifetime_seconds": seconds}, path=LINKS)

    assert response.document["expires_at"] == after(seconds).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("seconds", "bound"), [(9, "greater than or equal to 10"), (3601, "less than or equal to 3600")]
)
def test_other_lifetimes_are_refused(seconds: int, bound: str, api: ModuleType) -> None:
    response = post(api, {"what": "job", "lifetime_seconds": seconds}, path=LINKS)

    assert_problem(
        response, a_wrong_field("/lifetime_seconds", f"Input should be {bound}; you sent {seconds}.")
    )


def test_job_of_another_tenant_gets_no_link(api: ModuleType) -> None:
    response = post(api, {"what": "job"}, OF_ACME, path=LINKS, token=ACMES_TOKEN)

    assert_problem(response, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))


def test_report_of_what_is_no_benchmark_gets_no_link(api: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(job_id="agent", kind=Kind.AGENTIC_AGENT))

    response = post(api, {"what": "report"}, path="/v1/jobs/agent/links")

    assert_problem(response, a_problem(404, "not_a_benchmark", "Job 'agent' is not a benchmark."))


# ---------------------------------------------------------------- what it does not open


def elsewhere(url: str) -> dict[str, str]:
    """Return addresses with the link of another one."""
    query = url.partition("?")[2]
    paths = {
        "another document": JOB,
        "another job": "/v1/jobs/other/events",
        "a list": "/v1/jobs",
        "another route": "/v1/rentals",
        "a slash": f"{EVENTS}/",
        "a path that is not there": "/v1/nothing",
        "escaped": EVENTS.replace("events", "%65vents%2F"),
    }
    return {name: f"{path}?{query}" for name, path in paths.items()}


@pytest.mark.parametrize("name", elsewhere(""))
def test_link_opens_no_other_path(name: str, api: ModuleType, cloud: Cloud, address: str) -> None:
    put(cloud, a_job(job_id="other"))

    response = open_link(api, elsewhere(make(api))[name], address=address)

    assert (response.status, response.document["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", JOB), ("POST", LINKS), ("HEAD", EVENTS), ("PUT", EVENTS)]
)
def test_link_opens_with_get_alone(
    method: str, path: str, api: ModuleType, cloud: Cloud, address: str
) -> None:
    query = make(api, "job" if path == JOB else "events").partition("?")[2]
    body = {"what": "events"} if method == "POST" else None

    response = ask(api, an_http_event(method, f"{path}?{query}", body, token=None, address=address))

    assert response.status == 401
    assert cloud.row(JOB_ID)["status"] == {"S": "running"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda url: url.replace("~default~", "~acme~"),
        lambda url: url[:-1] + ("A" if url[-1] != "A" else "E"),
        lambda url: url.replace("link=1~", "link=2~"),
        lambda url: url.replace(f"~{int(after(600).timestamp())}~", "~9999999999~"),
        lambda url: url.partition("=")[0] + "=",
    ],
    ids=["tenant", "signature", "version", "end", "empty"],
)
def test_changed_link_opens_nothing_and_counts(
    spoil: Callable[[str], str], api: ModuleType, cloud: Cloud, address: str
) -> None:
    url = spoil(make(api))

    responses = [open_link(api, url, address=address) for _ in range(11)]

    assert [response.document["code"] for response in responses[:10]] == ["unauthorized"] * 10
    assert_blocked(responses[10], 60)


def test_two_links_are_none(api: ModuleType, cloud: Cloud, address: str) -> None:
    refused = open_link(api, f"{make(api)}&link=1", address=address)

    assert_problem(refused, a_problem(401, "unauthorized", NO_TOKEN))


def test_link_of_another_tenant_than_the_header_names_opens_nothing(api: ModuleType, address: str) -> None:
    url = make(api)

    assert_problem(open_link(api, url, OF_ACME, address=address), a_problem(401, "unauthorized", REFUSED))
    assert open_link(api, url, {"x-tenant-id": TENANT}).status == 200


def test_link_never_stands_beside_a_token(api: ModuleType, address: str) -> None:
    url = make(api)

    for headers in (
        {"authorization": "Bearer wrong"},
        {"x-api-key": "wrong"},
        {"authorization": "Basic eA=="},
    ):
        assert open_link(api, url, headers, address=address).status == 401
    assert get(api, url.replace("~default~", "~acme~")).status == 200


# ---------------------------------------------------------------- its end


def test_link_says_that_its_time_is_over_and_does_not_count(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    url = make(api)
    clock.advance(599)
    assert open_link(api, url, address=address).status == 200
    clock.advance(1)
    cloud.calls.clear()

    responses = [open_link(api, url, address=address) for _ in range(12)]

    problem = a_problem(401, "link_expired", "The time of this link is over; ask for a new one.")
    for response in responses:
        assert_problem(response, problem)
    assert not {"PutItem", "UpdateItem"} & set(cloud.operations)
    assert get(api, JOB, address=address).status == 200


def test_link_ends_with_the_token_that_asked_for_it(api: ModuleType, clock: FakeClock, address: str) -> None:
    first, second = make(api), make(api, token=OTHER_TOKEN)
    write_tenant(OTHER_TOKEN)
    clock.advance(30)

    assert open_link(api, first, address=address).status == 401
    assert open_link(api, second, address=address).status == 200


def test_link_ends_with_the_keys_version(api: ModuleType, clock: FakeClock, address: str) -> None:
    url = make(api)
    Ssm.write(KEY, f"1:{MASTER} 2:{MASTER[::-1]}x")
    clock.advance(30)
    assert open_link(api, url, address=address).status == 200
    assert "link=2~" in make(api)
    Ssm.write(KEY, f"2:{MASTER[::-1]}x")
    clock.advance(30)

    assert_problem(open_link(api, url, address=address), a_problem(401, "unauthorized", REFUSED))


def test_suspended_tenants_links_open_nothing(api: ModuleType, clock: FakeClock, address: str) -> None:
    url = make(api)
    write_tenant(TOKEN, suspended=True)
    clock.advance(30)

    responses = [
        open_link(api, url, headers, address=address) for headers in ({}, {"accept": "text/event-stream"})
    ]

    for response in responses:
        assert_problem(
            response, a_problem(403, "tenant_suspended", "The operator has suspended this tenant.")
        )


def test_links_of_a_tenant_whose_document_is_not_understood_open_nothing_and_do_not_count(
    api: ModuleType, cloud: Cloud, clock: FakeClock, address: str
) -> None:
    url = make(api)
    Ssm.write(f"{TENANTS}/{TENANT}", "{")
    clock.advance(30)
    cloud.calls.clear()

    for _ in range(12):
        assert open_link(api, url, address=address).document["code"] == "unauthorized"
    assert "PutItem" not in cloud.operations


def test_links_of_a_tenant_that_is_gone_open_nothing(api: ModuleType, clock: FakeClock, address: str) -> None:
    url = make(api)
    Ssm()  # which takes everything away
    Ssm.write(KEY, MASTER)
    clock.advance(30)

    assert open_link(api, url, address=address).status == 401


def test_blocked_address_opens_no_link(api: ModuleType, address: str) -> None:
    url = make(api)
    for _ in range(10):
        get(api, JOB, token="wrong", address=address)

    assert_blocked(open_link(api, url, address=address), 60)
    stream = open_link(api, url, {"accept": "text/event-stream"}, address=address)
    assert (stream.status, stream.document) == (200, "retry: 60000\n: rate_limit_exceeded\n\n")


# ---------------------------------------------------------------- deployments without a key, or without tokens


def test_deployment_without_a_key_gives_no_links(api: ModuleType, cloud: Cloud, address: str) -> None:
    url = make(api)
    with loaded("api.handler", cloud.environment) as without:
        response = post(without, {"what": "events"}, path=LINKS)
        opened = open_link(without, url, address=address)

    sentence = "This deployment has no key to sign with, so it cannot do that."
    assert_problem(response, a_problem(409, "signing_key_missing", sentence))
    assert opened.status == 401


def test_deployment_without_tokens_gives_links_that_name_the_tenant(api: ModuleType, cloud: Cloud) -> None:
    of_a_token = make(api)
    put(cloud, a_claimed_job(job_id="of-acme", tenant="acme"))
    environment = {
        **cloud.environment,
        "RUNE_API_AUTH_DISABLED": "true",
        "RUNE_SIGNING_KEY_PARAMETER": KEY,
    }
    with loaded("api.handler", environment) as anybodys:
        response = post(anybodys, {"what": "job"}, OF_ACME, path="/v1/jobs/of-acme/links", token=None)
        opened = open_link(anybodys, response.document["url"])
        refused = open_link(anybodys, of_a_token)

    assert (opened.status, opened.document["job_id"]) == (200, "of-acme")
    assert refused.status == 401


def test_link_opens_nothing_while_the_key_cannot_be_read(
    api: ModuleType, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make(api)
    environment = {**cloud.environment, "RUNE_SIGNING_KEY_PARAMETER": KEY}
    with loaded("api.handler", environment) as other:
        ssm = Ssm.__new__(Ssm)
        ssm.is_down, ssm.asked = True, []
        monkeypatch.setitem(vars(other.clients), "_ssm", ssm)

        assert open_link(other, url).status == 503
        stream = open_link(other, url, {"accept": "text/event-stream"})

    assert stream.document == "retry: 10000\n: store_unavailable\n\n"


# ---------------------------------------------------------------- what is told of it


def test_no_log_line_holds_a_signature(
    api: ModuleType, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    url = make(api)
    signature = url.rpartition("~")[2]

    def crash(*_: object) -> None:
        raise RuntimeError(url)

    with caplog.at_level(logging.DEBUG):
        open_link(api, url)
        open_link(api, url.replace("~default~", "~acme~"), address=address)
        open_link(api, url, {"host": "[::1"})
        monkeypatch.setattr(api.jobs._store, "read_events", crash)
        assert open_link(api, url).status == 500

    lines = [JsonFormatter("api").format(record) for record in caplog.records]
    assert any("request.crashed" in line for line in lines)
    assert not [line for line in lines if signature in line]


def test_problem_repeats_no_link(api: ModuleType, address: str) -> None:
    url = make(api)

    response = open_link(api, url.replace("~default~", "~acme~"), address=address)

    assert url.rpartition("~")[2] not in str(response.document)


# ---------------------------------------------------------------- pages

PAGE_LINKS = f"{BENCHMARK}/links"
OTHER = "b" * 32
BROWSER = {"accept": "text/html,*/*;q=0.8"}


@pytest.fixture
def pages(api: ModuleType, cloud: Cloud) -> ModuleType:
    """An API with two benchmarks that have reports."""
    cloud.empty()
    put_benchmark(cloud)
    put_benchmark(cloud, a_report(OTHER), job_id=OTHER)
    return api


def make_page_link(api: ModuleType, **body: object) -> dict[str, Any]:
    response = post(api, body, path=PAGE_LINKS)
    assert (response.status, response.headers["cache-control"]) == (200, "no-store")
    document: dict[str, Any] = response.document
    return document


@pytest.mark.parametrize("body", [{}, None])
def test_page_link_needs_no_member_and_no_body(body: dict[str, object] | None, pages: ModuleType) -> None:
    response = post(pages, body, path=PAGE_LINKS)

    assert (response.status, response.document["job_id"]) == (200, JOB_ID)


def test_page_link_opens_the_page_whatever_is_accepted(pages: ModuleType) -> None:
    link = make_page_link(pages)

    assert (link["job_id"], link["comparison_url"]) == (JOB_ID, None)
    assert link["expires_at"] == after(86_400).isoformat().replace("+00:00", "Z")
    for headers in (BROWSER, {}, {"accept": "application/json"}):
        response = open_link(pages, link["url"], headers)
        assert response.status == 200
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "noindex" in response.headers["x-robots-tag"]
        assert "~" not in response.document


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda url: url.replace("?format=html&", "?") + "&format=html",
        lambda url: url.replace("~", "%7E"),
        lambda url: url.replace("=html", "=%68tml"),
    ],
)
def test_page_link_may_come_in_another_way_of_writing(
    rewritten: Callable[[str], str], pages: ModuleType
) -> None:
    assert open_link(pages, rewritten(make_page_link(pages)["url"])).status == 200


@pytest.mark.parametrize(
    "changed",
    [
        lambda url: url.replace("format=html&", ""),
        lambda url: url.replace("format=html", "format=rune"),
        lambda url: url.replace("format=html", "format=vllm"),
        lambda url: f"{url}&format=rune",
        lambda url: f"{url}&run=0",
        lambda url: f"{url}&x=1",
        lambda url: url.replace(f"{JOB_ID}?", f"{JOB_ID}/records?"),
        lambda url: url.replace("/v1/benchmarks/", "/v1/jobs/"),
        lambda url: url.replace(JOB_ID, OTHER),
        lambda url: url.replace("?", "%3F").replace("&link", "?link"),
        lambda url: url.replace(f"/{JOB_ID}?", f"/compare?jobs={JOB_ID},{OTHER}&"),
    ],
)
def test_page_link_opens_nothing_but_the_page(
    changed: Callable[[str], str], pages: ModuleType, address: str
) -> None:
    url = changed(make_page_link(pages)["url"])

    response = open_link(pages, url, BROWSER, address=address)

    assert (response.status, response.document["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    "path", [JOB, EVENTS, f"{JOB}/receipt", f"{BENCHMARK}/records", "/v1/usage", "/v1/jobs"]
)
def test_page_link_is_no_key_to_other_documents(path: str, pages: ModuleType, address: str) -> None:
    query = make_page_link(pages)["url"].partition("?")[2]

    assert open_link(pages, f"{path}?{query}", address=address).document["code"] == "unauthorized"


def test_comparison_link_opens_just_that_comparison(pages: ModuleType, address: str) -> None:
    url = make_page_link(pages, compared_with=[OTHER], threshold=0.1)["comparison_url"]

    assert open_link(pages, url).headers["content-type"] == "text/html; charset=utf-8"
    for changed in (
        url.replace("threshold=0.1", "threshold=0.2"),
        url.replace(f"jobs={JOB_ID}%2C{OTHER}", f"jobs={OTHER}%2C{JOB_ID}"),
        url.replace("format=html&", ""),
        url.replace(f"compare?format=html&jobs={JOB_ID}%2C{OTHER}&threshold=0.1", f"{JOB_ID}?format=html"),
    ):
        assert open_link(pages, changed, address=address).status == 401


def test_page_of_a_benchmark_that_runs_says_so_and_of_one_that_is_gone_too(
    api: ModuleType, cloud: Cloud
) -> None:
    url = make_page_link(api)["url"]
    running = open_link(api, url, BROWSER)
    cloud.empty()
    gone = open_link(api, url, BROWSER)

    assert (running.status, running.document["code"]) == (409, "job_not_finished")
    assert_problem(gone, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))


def test_page_link_ends(pages: ModuleType, clock: FakeClock, address: str) -> None:
    link = make_page_link(pages, lifetime_seconds=60)
    clock.advance(60)

    response = open_link(pages, link["url"], BROWSER, address=address)

    problem = a_problem(401, "link_expired", "The time of this link is over; ask for a new one.")
    assert_problem(response, problem)


def test_page_link_ends_with_its_token_and_with_the_key(
    pages: ModuleType, clock: FakeClock, address: str
) -> None:
    of_token = make_page_link(pages)["url"]
    write_tenant(OTHER_TOKEN)
    clock.advance(30)
    assert open_link(pages, of_token, address=address).status == 401

    response = post(pages, {}, path=PAGE_LINKS, token=OTHER_TOKEN)
    Ssm.write(KEY, f"2:{MASTER[::-1]}x")
    clock.advance(30)
    assert open_link(pages, response.document["url"], address=address).status == 401


LINKS_REFUSED: dict[str, tuple[dict[str, object], int, str]] = {
    "itself": ({"compared_with": [JOB_ID]}, 422, "jobs_to_compare"),
    "one twice": ({"compared_with": [OTHER, OTHER]}, 422, "jobs_to_compare"),
    "ten others": ({"compared_with": [f"{number:032x}" for number in range(10)]}, 422, "invalid_request"),
    "one that is not there": ({"compared_with": ["c" * 32]}, 404, "job_not_found"),
    "too short": ({"lifetime_seconds": 59}, 422, "invalid_request"),
    "too long": ({"lifetime_seconds": 604_801}, 422, "invalid_request"),
    "a threshold above one": ({"threshold": 1.1}, 422, "invalid_request"),
    "another member": ({"what": "page"}, 422, "invalid_request"),
}


@pytest.mark.parametrize("name", LINKS_REFUSED)
def test_page_link_is_refused_for_what_no_page_can_show(name: str, pages: ModuleType) -> None:
    body, status, code = LINKS_REFUSED[name]

    response = post(pages, body, path=PAGE_LINKS)

    assert (response.status, response.document["code"]) == (status, code)


def test_page_of_another_tenants_benchmark_gets_no_link(pages: ModuleType) -> None:
    response = post(pages, {}, OF_ACME, path=PAGE_LINKS, token=ACMES_TOKEN)

    assert_problem(response, a_problem(404, "job_not_found", f"There is no job '{JOB_ID}'."))


def test_page_of_what_is_no_benchmark_gets_no_link(pages: ModuleType, cloud: Cloud) -> None:
    put(cloud, a_job(job_id="agent", kind=Kind.AGENTIC_AGENT))

    response = post(pages, {}, path="/v1/benchmarks/agent/links")

    assert_problem(response, a_problem(404, "not_a_benchmark", "Job 'agent' is not a benchmark."))
