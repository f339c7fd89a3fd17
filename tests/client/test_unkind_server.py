"""Over real connections to a server that breaks them in each way that networks do."""

from __future__ import annotations

import re
import socket
import time
from email.utils import formatdate

import anyio.lowlevel
import pytest

from rune_client import AsyncRuneClient, NetworkError, RuneClient, ServerError
from tests.client import unkind
from tests.client.scripted import JOB_ID, TOKEN
from tests.client.unkind import Deed, an_unkind_server, answers

ACCEPTED = answers({"job_id": JOB_ID, "status": "accepted"}, "202 Accepted")
HTML = answers("<html>Back soon</html>", "503 Service Unavailable", Content_Type="text/html")
EMPTY = answers("", "200 OK")
FAULTS: dict[str, Deed] = {
    "hangs up": unkind.hangs_up,
    "resets": unkind.resets,
    "stops in the middle": unkind.stops_in_the_middle,
    "is not what it says": unkind.says_what_it_is_not,
    "is no HTTP": unkind.speaks_another_language,
    "has a page of a proxy": HTML,
    "is empty": EMPTY,
}


def a_quick_client(url: str, **options: float) -> RuneClient:
    """Return a client that does not sleep."""
    client = RuneClient(url, TOKEN, **options)  # type: ignore[arg-type]  # numbers of its own
    client._sleep = lambda _: None
    return client


@pytest.mark.parametrize("fault", FAULTS)
def test_submission_is_one_job_however_its_answer_is_lost(fault: str) -> None:
    with (
        an_unkind_server(FAULTS[fault], FAULTS[fault], ACCEPTED) as server,
        a_quick_client(server.url) as rune,
    ):
        answer = rune.submit("benchmark", {"question": "2 + 2?"})

    keys = {re.search(rb"(?i)idempotency-key: (\S+)", request)[1] for request in server.requests}  # type: ignore[index]
    bodies = {request.partition(b"\r\n\r\n")[2] for request in server.requests}
    assert answer["job_id"] == JOB_ID
    assert (len(server.requests), len(keys), len(bodies)) == (3, 1, 1)


@pytest.mark.parametrize("fault", FAULTS)
def test_async_client_does_the_same(fault: str) -> None:
    async def submit(url: str) -> str:
        async with AsyncRuneClient(url, TOKEN) as rune:
            rune._sleep = lambda _: anyio.lowlevel.checkpoint()
            answer = await rune.submit("benchmark", {"question": "2 + 2?"})
            return str(answer["job_id"])

    with an_unkind_server(FAULTS[fault], ACCEPTED) as server:
        assert anyio.run(submit, server.url) == JOB_ID
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_that_stays_is_an_error_of_the_client(fault: str) -> None:
    with (
        an_unkind_server(FAULTS[fault]) as server,
        a_quick_client(server.url, retries=1) as rune,
        pytest.raises((NetworkError, ServerError)) as raised,
    ):
        rune.job(JOB_ID)

    assert f"GET /v1/jobs/{JOB_ID}" in str(raised.value)
    assert len(server.requests) == 2


def test_answer_that_drips_is_not_waited_for() -> None:
    started = time.monotonic()

    with (
        an_unkind_server(unkind.drips) as server,
        a_quick_client(server.url, deadline_seconds=0.3) as rune,
        pytest.raises(NetworkError, match="took too long"),
    ):
        rune.job(JOB_ID)

    assert time.monotonic() - started < 3


def test_connection_that_is_refused_did_not_arrive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with a_quick_client(f"http://127.0.0.1:{port}", retries=0) as rune, pytest.raises(NetworkError) as raised:
        rune.submit("benchmark", {}, idempotency_key="k1")

    assert not raised.value.may_have_arrived
    assert raised.value.idempotency_key == "k1"


def test_date_of_retry_after_counts_by_the_servers_clock() -> None:
    pauses: list[float] = []
    years_ago = time.time() - 1e8
    busy = answers(
        {"code": "too_many_polls", "detail": "Too many."},
        "429 Too Many Requests",
        Date=formatdate(years_ago, usegmt=True),
        Retry_After=formatdate(years_ago + 30, usegmt=True),
    )

    with an_unkind_server(busy, answers({"job_id": JOB_ID})) as server, RuneClient(server.url, TOKEN) as rune:
        rune._sleep = pauses.append
        rune.job(JOB_ID)

    assert [round(pause) in {30, 31} for pause in pauses] == [True]


def test_job_that_has_ended_is_told_although_no_time_is_left() -> None:
    ended = answers({"job_id": JOB_ID, "status": "succeeded"})

    with an_unkind_server(ended) as server, a_quick_client(server.url) as rune:
        assert rune.wait(JOB_ID, timeout_seconds=0)["status"] == "succeeded"
