from datetime import timedelta

import pytest

from rune.errors import SettingsError
from rune.rentals.settings import DEFAULT_KEEP_LIMIT, KeepLimits

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", KeepLimits(DEFAULT_KEEP_LIMIT)),
        (" , ,", KeepLimits(DEFAULT_KEEP_LIMIT)),
        ("3600", KeepLimits(HOUR)),
        ("0", KeepLimits(timedelta(0))),
        ("acme:7200", KeepLimits(DEFAULT_KEEP_LIMIT, {"acme": 2 * HOUR})),
        (" 3600 , acme:7200,lab:0 ", KeepLimits(HOUR, {"acme": 2 * HOUR, "lab": timedelta(0)})),
        ("a:b:7200", KeepLimits(DEFAULT_KEEP_LIMIT, {"a:b": 2 * HOUR})),
    ],
)
def test_keep_limits_are_read_from_seconds_and_exceptions(text: str, limits: KeepLimits) -> None:
    assert KeepLimits.parse(text) == limits


@pytest.mark.parametrize(
    "text",
    [
        "1h",
        "-1",
        "1.5",
        "acme:",
        ":7200",
        "acme",
        "acme=7200",
        "²",
        "٣",
        "acme:7200 s",
        "9" * 30,
    ],
)
def test_keep_limits_are_refused_when_they_have_another_form(text: str) -> None:
    with pytest.raises(SettingsError):
        KeepLimits.parse(text)


def test_keep_limits_are_the_usual_ones_for_a_tenant_without_its_own() -> None:
    limits = KeepLimits.parse("3600,acme:7200")

    assert (limits.of("acme"), limits.of("acm"), limits.of("default")) == (2 * HOUR, HOUR, HOUR)
