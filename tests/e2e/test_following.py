"""A job is followed through the gateway without a token, and kept in the archive."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from local.stack import Stack
from tests.e2e.client import RuneClient
from tests.e2e.environment import TENANT
from tests.e2e.model_server import ModelServer
from tests.e2e.waiting import wait_until
from tests.event_source import EventSource

LONGEST_PAUSE_SECONDS = 1.0
"""Between two visits: what the stream asks for, or less, as the test has seconds."""


@pytest.fixture(scope="module")
def browser(stack: Stack) -> Iterator[httpx.Client]:
    """A client that sends no token."""
    with httpx.Client(base_url=stack.state.base_url, timeout=60.0, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def job_id(rune: RuneClient, ollama: ModelServer) -> str:
    """A job that has just been posted."""
    return rune.post_benchmark({"question": "Why?", "model": "llama3.1:8b", "backend_url": ollama.url})


def make_link(rune: RuneClient, job_id: str, what: str) -> str:
    response = rune.http.post(f"/v1/jobs/{job_id}/links", json={"what": what})
    assert response.status_code == 200, response.text
    return str(response.json()["url"])


def visit(browser: httpx.Client, source: EventSource, url: str, cut: int | None) -> None:
    """Read one answer, of which the connection breaks off after so many events."""
    answer = browser.get(url, headers=source.headers)
    body = answer.content
    if cut is not None:
        body = b"\n\n".join(body.split(b"\n\n")[: cut + 1]) + b"\n\ndata: brok"
    source.take(answer.status_code, answer.headers.get("content-type", ""), body)


def test_event_source_that_is_cut_off_at_every_event_sees_the_whole_job(
    rune: RuneClient, browser: httpx.Client, job_id: str
) -> None:
    url, source = make_link(rune, job_id, "events"), EventSource()
    deadline = time.monotonic() + 90

    while not source.is_closed and time.monotonic() < deadline:
        # One event a visit; the end of the job is seen before there is nothing more.
        visit(browser, source, url, cut=1)
        time.sleep(min(source.retry_ms / 1000, LONGEST_PAUSE_SECONDS))

    history = rune.get_events(job_id)
    assert source.is_closed
    assert source.ids_of("job.event") == [event.id for event in history]
    assert source.dispatched[-1].document["event"] == "job.succeeded"


def test_link_opens_its_own_document_alone(rune: RuneClient, browser: httpx.Client, job_id: str) -> None:
    url = make_link(rune, job_id, "job")

    assert browser.get(url).json()["job_id"] == job_id
    assert browser.get(f"/v1/jobs/{job_id}/events?{urlsplit(url).query}").status_code == 401
    assert browser.delete(url).status_code == 401


def test_no_log_line_of_the_functions_holds_a_link(stack: Stack, rune: RuneClient, job_id: str) -> None:
    url = make_link(rune, job_id, "job")
    signature = url.rpartition("~")[2]
    rune.http.get(url, headers={"Authorization": ""})

    logs = stack.aws.client("logs")
    for group in stack.state.log_groups.values():
        found = logs.filter_log_events(logGroupName=group, filterPattern=f'"{signature}"')
        assert [event["message"] for event in found["events"] if signature in event["message"]] == []


def test_job_that_has_ended_is_a_line_in_the_archive_however_often_it_is_told(
    stack: Stack, rune: RuneClient, job_id: str
) -> None:
    job = rune.wait_for_end(job_id)
    bucket, s3, sqs = stack.state.archive_bucket, stack.aws.client("s3"), stack.aws.client("sqs")
    assert job.finished_at is not None
    key = f"archive/{TENANT}/benchmark/{job.finished_at.date().isoformat()}/{job_id}.json"

    def find() -> bytes | None:
        if not s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents"):
            return None
        text: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return text

    for _ in range(2):
        sqs.send_message(
            QueueUrl=stack.state.notice_queue_url, MessageBody=json.dumps({"subject": f"job:{job_id}"})
        )
    text = wait_until(find, f"{key} is there", limit_seconds=60)

    (line,) = text.decode().splitlines()
    archived = json.loads(line)
    assert (archived["job_id"], archived["status"], archived["tenant"]) == (job_id, "succeeded", TENANT)
    assert json.loads(archived["result"]) == job.result
