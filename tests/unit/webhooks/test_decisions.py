"""Which events an endpoint wants, when a delivery is tried again, and what an answer means."""

from datetime import timedelta
from itertools import accumulate

import pytest

from rune.storage.change import apply
from rune.webhooks.answers import Answer, AttemptError
from rune.webhooks.attempts import conclude, is_too_old
from rune.webhooks.filters import is_filter, wants
from rune.webhooks.lifecycle import count_again, find_next, find_next_attempt, is_proven, revise
from rune.webhooks.record import DisabledReason, Endpoint, EndpointStatus, parse_key
from rune.webhooks.schedule import BACK_OFFS, DELAYS, find_back_off, find_delay
from tests.builders import NOW, after
from tests.webhook_builders import a_delivery, an_endpoint


@pytest.mark.parametrize(
    ("filters", "is_wanted"),
    [
        (["*"], True),
        (["rune.job.succeeded"], True),
        (["rune.job.*"], True),
        (["rune.*"], True),
        (["rune.rental.*", "rune.job.succeeded"], True),
        (["rune.job"], False),
        (["rune.job.succeede"], False),
        (["rune.jo.*"], False),
        (["rune.job.succeeded.*"], False),
        ([], False),
    ],
)
def test_filter(filters: list[str], is_wanted: bool) -> None:
    assert wants(filters, "rune.job.succeeded") is is_wanted


@pytest.mark.parametrize("text", ["*", "rune.job.succeeded", "rune.job.*", "rune_2.*"])
def test_filter_is_one(text: str) -> None:
    assert is_filter(text)


@pytest.mark.parametrize(
    "text", ["", ".", "rune.", "*.job", "rune.*.succeeded", "rune.job*", "rüne", "a" * 65]
)
def test_filter_is_none(text: str) -> None:
    assert not is_filter(text)


def test_tries_span_three_days() -> None:
    sums = list(accumulate(DELAYS, initial=timedelta(0)))

    assert (len(DELAYS), sums[-1]) == (10, timedelta(hours=75, minutes=35, seconds=5))


@pytest.mark.parametrize(
    ("tries", "asked_seconds", "jitter", "seconds"),
    [
        (1, None, 0.0, 5),
        (1, None, 1.0, 5.5),
        (1, 120, 0.0, 120),
        (1, 10**6, 0.0, 3600),
        (4, 120, 0.0, 7200),
        (9, None, 0.0, 86_400),
        (10, None, 0.0, None),
    ],
)
def test_delay(tries: int, asked_seconds: int | None, jitter: float, seconds: float | None) -> None:
    asked = None if asked_seconds is None else timedelta(seconds=asked_seconds)

    delay = find_delay(tries, asked, jitter)

    assert delay == (None if seconds is None else timedelta(seconds=seconds))


def test_receiver_is_never_left_alone_for_longer_than_a_single_delivery_would_wait() -> None:
    for failures in range(1, len(DELAYS)):
        assert find_back_off(failures, None) <= DELAYS[failures]
    assert find_back_off(1000, None) == BACK_OFFS[-1]


@pytest.mark.parametrize(("asked_seconds", "seconds"), [(0, 5), (7, 7), (1800, 1800), (7200, 3600)])
def test_receiver_is_left_alone_for_as_long_as_it_asks(asked_seconds: int, seconds: int) -> None:
    for step in (1, 9):
        assert find_back_off(step, timedelta(seconds=asked_seconds)) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("failures_before", "status", "seconds"),
    [(3, 500, None), (4, 500, 5), (5, 500, 60), (7, 500, 900), (0, 503, 5), (1, 503, 60)],
)
def test_failures_of_one_burst_are_one_step(failures_before: int, status: int, seconds: int | None) -> None:
    endpoint = an_endpoint(failures_in_row=failures_before, failing_since=NOW, last_failed_at=NOW)

    concluded = conclude(endpoint, a_delivery(), answered(status), NOW, 0)

    assert concluded.endpoint.sets["not_before"] == (None if seconds is None else after(seconds))


@pytest.mark.parametrize(
    ("endpoint", "seconds"),
    [
        (an_endpoint(), 5),
        (an_endpoint(not_before=after(3)), 5),
        (an_endpoint(not_before=after(900)), 900),
        (an_endpoint(status=EndpointStatus.DISABLED), None),
    ],
)
def test_next_attempt_is_not_told_for_a_moment_when_the_receiver_is_left_alone(
    endpoint: Endpoint, seconds: int | None
) -> None:
    expected = None if seconds is None else after(seconds)

    assert find_next_attempt(endpoint, a_delivery(due_at=after(5))) == expected
    assert find_next_attempt(endpoint, a_delivery()) is None


def answered(status: int | None = None, error: AttemptError | None = None) -> Answer:
    return Answer(NOW, 5, status=status, error=error)


@pytest.mark.parametrize(
    ("answer", "failure", "goes_on"),
    [
        (answered(200), None, True),
        (answered(299), None, True),
        (answered(302), AttemptError.REDIRECTED, True),
        (answered(400), AttemptError.STATUS, True),
        (answered(500), AttemptError.STATUS, True),
        (answered(429), AttemptError.STATUS, False),
        (answered(503), AttemptError.STATUS, False),
        (answered(410), AttemptError.STATUS, False),
        (answered(error=AttemptError.TIMEOUT), AttemptError.TIMEOUT, False),
        (answered(error=AttemptError.ADDRESS_REFUSED), AttemptError.ADDRESS_REFUSED, False),
    ],
)
def test_answer(answer: Answer, failure: AttemptError | None, goes_on: bool) -> None:
    assert answer.failure is failure
    assert conclude(an_endpoint(), a_delivery(), answer, NOW, 0).goes_on is goes_on


@pytest.mark.parametrize(
    ("failing_days", "since_last_days", "status", "reason"),
    [
        (4.9, 0.1, 500, None),
        (5, 0.1, 500, DisabledReason.FAILURES),
        (30, 2.1, 500, None),
        (0, 0, 410, DisabledReason.GONE),
    ],
)
def test_endpoint_is_disabled(
    failing_days: float, since_last_days: float, status: int, reason: DisabledReason | None
) -> None:
    day = 86_400
    endpoint = an_endpoint(
        failures_in_row=9,
        failing_since=after(-failing_days * day),
        last_failed_at=after(-since_last_days * day),
    )

    assert conclude(endpoint, a_delivery(), answered(status), NOW, 0).disabled is reason


@pytest.mark.parametrize("status", [EndpointStatus.DISABLED, EndpointStatus.REMOVED])
def test_endpoint_that_a_caller_took_away_is_not_disabled(status: EndpointStatus) -> None:
    assert conclude(an_endpoint(status=status), a_delivery(), answered(410), NOW, 0).disabled is None


def test_callback_of_one_job_is_not_disabled_for_failures() -> None:
    endpoint = an_endpoint(endpoint_id="cb_1", failing_since=after(-6 * 86_400), last_failed_at=NOW)

    assert conclude(endpoint, a_delivery(), answered(500), NOW, 0).disabled is None


def test_delivery_is_given_up_after_five_days() -> None:
    assert not is_too_old(a_delivery(), after(5 * 86_400))
    assert is_too_old(a_delivery(), after(5 * 86_400 + 1))


@pytest.mark.parametrize(
    ("endpoint", "retries_seconds", "seconds"),
    [
        (an_endpoint(), [], None),
        (an_endpoint(last_position=1), [], 0),
        (an_endpoint(last_position=1, not_before=after(9)), [], 9),
        (an_endpoint(retrying_count=2), [300, 5], 5),
        (an_endpoint(retrying_count=2), [300], 60),
        (an_endpoint(retrying_count=2), [30], 30),
        (an_endpoint(retrying_count=1, not_before=after(900)), [5], 900),
    ],
)
def test_next_look(endpoint: object, retries_seconds: list[float], seconds: float | None) -> None:
    assert isinstance(endpoint, type(an_endpoint()))

    found = find_next(endpoint, [after(each) for each in retries_seconds], NOW)

    assert found == (None if seconds is None else after(seconds))


def test_deliveries_that_have_expired_are_waited_for_no_longer() -> None:
    old = an_endpoint(last_position=9, tried_position=3, retrying_count=2, last_failed_at=after(-90_000))

    assert count_again(old, has_pending=False, seen_count=0, now=NOW).open_count == 0
    assert count_again(old, has_pending=True, seen_count=1, now=NOW).open_count == 7


def test_deliveries_that_the_index_may_not_show_yet_are_waited_for() -> None:
    fresh = an_endpoint(last_position=9, tried_position=9, retrying_count=2, last_failed_at=after(-60))

    assert count_again(fresh, has_pending=False, seen_count=0, now=NOW) == fresh


@pytest.mark.parametrize("key", ["", "t", "t/", "/wh_1", "t/x", "t/other_1"])
def test_key_of_nothing(key: str) -> None:
    assert parse_key(key) is None


def test_key_names_tenant_and_endpoint() -> None:
    assert parse_key(an_endpoint().key) == ("default", an_endpoint().endpoint_id)


def test_receiver_is_proven_by_what_it_took_last() -> None:
    assert not is_proven(an_endpoint())
    assert is_proven(an_endpoint(last_succeeded_at=NOW))
    assert not is_proven(an_endpoint(last_succeeded_at=NOW, failures_in_row=1))


@pytest.mark.parametrize(
    ("url", "stays_proven"), [("https://a.example/", True), ("https://b.example/", False)]
)
def test_new_address_is_not_proven(url: str, stays_proven: bool) -> None:
    endpoint = an_endpoint(url="https://a.example/", last_succeeded_at=NOW)

    change = revise(endpoint, NOW, url=url, events=("*",), description=None, status=EndpointStatus.ENABLED)

    assert is_proven(apply(change, endpoint)) is stays_proven
