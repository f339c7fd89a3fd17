"""Failed authentications, twenty threads at once: ten are counted, and nothing after them costs a write."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.blocked import (
    ANY_PATH,
    REQUESTS_EACH,
    THREADS,
    WINDOW_SECONDS,
    Answer,
    BlockedAddress,
)

type RecordProperty = Callable[[str, object], None]


def test_exactly_ten_of_twenty_threads_requests_are_refused_before_the_block(
    blocked: BlockedAddress, record_property: RecordProperty
) -> None:
    wrong, refused = blocked.count("unauthorized"), blocked.count("rate_limit_exceeded")
    rows = {
        "threads / environments": f"{THREADS} / {blocked.environments}",
        "requests with a wrong token": THREADS * REQUESTS_EACH,
        "401 unauthorized": wrong,
        "401 rate limit exceeded": refused,
        "writes carried out (n)": blocked.row["n"]["N"],
        "failures the row remembers": sum(f"s{place}" in blocked.row for place in range(20)),
    }
    lines = [f"  {name:<28} {value:>7}" for name, value in rows.items()]
    record_property("figures", "\n".join(["Limiter, through the deployed stack", *lines]))

    assert {answer.status for answer in blocked.answers} == {401}
    assert (wrong, refused) == (10, THREADS * REQUESTS_EACH - 10)
    # Each write adds one, whichever environment makes it.
    assert blocked.row["n"] == {"N": "10"}


def test_blocked_answer_says_when_to_come_again(blocked: BlockedAddress) -> None:
    refused = [answer for answer in blocked.answers if answer.code == "rate_limit_exceeded"]

    assert {answer.error for answer in refused} == {"rate limit exceeded"}
    assert all(answer.retry_after and 1 <= answer.retry_after <= WINDOW_SECONDS for answer in refused)


def test_block_lasts_until_the_oldest_failure_leaves_the_window(blocked: BlockedAddress) -> None:
    blocked_until_ms = int(blocked.row["blocked_until"]["N"])

    assert blocked_until_ms - blocked.first_instant_ms == WINDOW_SECONDS * 1000


def test_blocked_caller_costs_no_write(blocked: BlockedAddress) -> None:
    with blocked.client("another-wrong-token-that-opens-nothing-at-all") as stranger:
        answers = [Answer.of(stranger.http.get(ANY_PATH)) for _ in range(20)]

    assert {answer.code for answer in answers} == {"rate_limit_exceeded"}
    assert blocked.read_row() == blocked.row


def test_valid_token_from_a_blocked_address_is_blocked_on_every_way(blocked: BlockedAddress) -> None:
    ways = [
        ("GET", "/v1/jobs"),
        ("GET", "/v1/jobs/0"),
        ("DELETE", "/v1/jobs/0"),
        ("GET", "/v1/jobs/0/events"),
        ("GET", "/v1/catalog/vastai-models"),
        ("GET", "/v1/llm/models?backend_url=http://127.0.0.1:9"),
        ("GET", "/v1/ollama/models?backend_url=http://127.0.0.1:9"),
        ("GET", "/v1/metrics/summary"),
        ("GET", "/v1/usage"),
        ("GET", "/v1/finops/simulate"),
        ("POST", "/v1/estimates"),
        ("POST", "/v1/jobs/benchmark"),
        ("POST", "/v1/jobs/agentic-agent"),
        ("POST", "/v1/jobs/llm-instance"),
        ("POST", "/v1/jobs/ollama-instance"),
        ("GET", "/v1/nothing"),
    ]
    with blocked.client() as caller:
        codes = {way: Answer.of(caller.http.request(*way)).code for way in ways}

    assert codes == dict.fromkeys(ways, "rate_limit_exceeded")


def test_what_needs_no_token_is_answered_all_the_same(blocked: BlockedAddress) -> None:
    with blocked.client() as caller:
        statuses = [caller.http.get(path).status_code for path in ("/healthz", "/openapi.json", "/docs")]

    assert statuses == [200, 200, 200]
