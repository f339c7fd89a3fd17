from datetime import timedelta

import pytest

from rune.rentals.hosts import UNKNOWN_HOST, HostRecord, HostReport, make_report
from rune.rentals.record import EndReason, Rental
from tests.builders import NOW, after
from tests.rental_builders import (
    RENTAL_ID,
    a_kept_rental,
    a_released_rental,
    a_rental,
    a_running_rental,
)


@pytest.mark.parametrize(
    ("failures", "hours"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 24), (1000, 24)]
)
def test_host_is_left_alone_twice_as_long_after_each_failure(failures: int, hours: int) -> None:
    assert HostRecord(failures, NOW).excluded_until() == NOW + timedelta(hours=hours)


@pytest.mark.parametrize("record", [UNKNOWN_HOST, HostRecord(0, NOW), HostRecord(2, None)], ids=repr)
def test_host_is_not_left_alone_when_no_failure_is_known(record: HostRecord) -> None:
    assert record.excluded_until() is None


@pytest.mark.parametrize(("failures", "odds"), [(0, 1.0), (1, 2 / 3), (2, 0.5), (8, 0.2)])
def test_odds_fall_with_each_failure_in_a_row(failures: int, odds: float) -> None:
    assert HostRecord(failures).odds_ratio == pytest.approx(odds)


@pytest.mark.parametrize(
    ("measured", "stated", "believed"),
    [
        (None, 900.0, 900.0),
        (8.0, 900.0, 8.0),
        (449.0, 900.0, 449.0),
        (450.0, 900.0, 900.0),
        (1200.0, 900.0, 900.0),
        (None, 0.0, 0.1),
        (0.0, 5.0, 0.1),
    ],
)
def test_host_s_bandwidth_is_believed_as_far_as_it_was_seen(
    measured: float | None, stated: float, believed: float
) -> None:
    assert HostRecord(mbit_per_second=measured).believable_mbit_per_second(stated) == believed


SERVED = a_released_rental(end_reason=EndReason.JOB_ENDED)


@pytest.mark.parametrize(
    "rental", [SERVED, a_kept_rental(), a_running_rental()], ids=["gone", "kept", "in use"]
)
def test_machine_that_got_its_model_reports_how_fast(rental: Rental) -> None:
    # 4.9 GB in 49 s.
    assert make_report(rental, 49_000, NOW) == HostReport(15_401, RENTAL_ID, NOW, mbit_per_second=800.0)


def test_machine_that_was_too_slow_reports_how_slow() -> None:
    detail = "The model came with 8.0 Mbit/s, and would have taken 82 min more."

    report = make_report(ended(EndReason.PULL_TOO_SLOW, detail), None, NOW)

    assert report is not None
    assert report.mbit_per_second == 8.0


def ended(reason: EndReason, detail: str, **overrides: object) -> Rental:
    return a_released_rental(end_reason=reason, end_detail=detail, **overrides)


HURRIED = {"intended_at": NOW, "release_asked_at": after(299)}
OWN_TEMPLATE = {"template_hash": "h", "image_bytes": 15_000_000_000}
OLLAMA_TEMPLATE = {"template_hash": "h"}


@pytest.mark.parametrize(
    ("rental", "failure"),
    [
        (ended(EndReason.BOOT_FAILED, "host never reported"), "boot_failed: host never reported"),
        (ended(EndReason.BOOT_FAILED, "exited", **OLLAMA_TEMPLATE), "boot_failed: exited"),
        (ended(EndReason.BOOT_TIMEOUT, "not ready"), "boot_timeout: not ready"),
        (ended(EndReason.MODEL_FAILED, "No connection."), "model_failed: No connection."),
        (ended(EndReason.MACHINE_LOST, "offline"), "machine_lost: offline"),
        (ended(EndReason.PULL_TOO_SLOW, "8 Mbit/s"), "pull_too_slow: 8 Mbit/s"),
        (ended(EndReason.PULL_TOO_SLOW, "8 Mbit/s", **OWN_TEMPLATE), "pull_too_slow: 8 Mbit/s"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_machine_that_failed_reports_its_host(rental: Rental, failure: str) -> None:
    assert make_report(rental, None, NOW) == HostReport(15_401, RENTAL_ID, NOW, failure)


@pytest.mark.parametrize(
    ("detail", "before", "is_blamed"),
    [
        ("exited: crash", "exited: crash", False),
        ("exited: crash", "exited: another crash", True),
        ("exited", "exited", True),
        ("host never reported", "host never reported", True),
    ],
)
def test_host_is_not_blamed_when_another_said_the_same_of_the_image(
    detail: str, before: str, *, is_blamed: bool
) -> None:
    failed = ended(EndReason.BOOT_FAILED, detail)

    report = make_report(failed, None, NOW, [ended(EndReason.BOOT_FAILED, before)])

    assert (report is not None) is is_blamed


@pytest.mark.parametrize(
    "rental",
    [
        a_rental(),
        ended(EndReason.BOOT_FAILED, "loading: manifest unknown"),
        ended(EndReason.BOOT_FAILED, "host never reported", **OWN_TEMPLATE),
        ended(EndReason.BOOT_TIMEOUT, "not ready", **HURRIED),
        ended(EndReason.MODEL_FAILED, "The model server failed. It said: strange."),
        ended(EndReason.MACHINE_LOST, "running: outbid"),
        ended(EndReason.CALLER_ENDED, ""),
        ended(EndReason.OFFER_GONE, "Taken."),
        a_released_rental(downloaded_bytes=0),
        a_released_rental(pulling_bytes=9),
    ],
    ids=[
        "never ordered",
        "no such image",
        "the caller's image",
        "the caller was in a hurry",
        "the server said something",
        "the provider stopped it",
        "the caller ended it",
        "never made",
        "no model came",
        "the model had not come yet",
    ],
)
def test_host_is_not_judged_by_what_may_have_other_causes(rental: Rental) -> None:
    assert make_report(rental, None, NOW) is None
