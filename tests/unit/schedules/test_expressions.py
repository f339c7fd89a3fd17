from __future__ import annotations

from datetime import timedelta

import pytest

from rune.errors import InvalidRequestError
from rune.schedules.expressions import parse_cron, parse_rate, write_rate
from rune.schedules.zones import find_zone


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("0 9 * * MON-FRI", "0 9 * * MON-FRI"),
        ("  */15\t0-6,22 *  *  * ", "*/15 0-6,22 * * *"),
        ("0 0 29 2 *", "0 0 29 2 *"),
        ("1/5 */23 */31 */12 */7", "1/5 */23 */31 */12 */7"),
        ("0 0 LW * *", "0 0 LW * *"),
        ("30 6 * * MON#1", "30 6 * * MON#1"),
        # AWS's form: days of the week from 1, one `?`, and a year.
        ("cron(0 9 ? * MON *)", "0 9 * * MON"),
        ("cron(0 9 ? * 2-6 *)", "0 9 * * 1-5"),
        ("cron(0 9 ? * 2-6/2 *)", "0 9 * * 1-5/2"),
        ("cron(0 9 ? * 1,7 *)", "0 9 * * 0,6"),
        ("cron(0 9 ? * 2/2 *)", "0 9 * * 1-6/2"),
        ("cron(0 9 ? * 6L *)", "0 9 * * 5L"),
        ("cron(0 9 ? * L *)", "0 9 * * 6"),
        ("cron(0 9 ? * 3#2 *)", "0 9 * * 2#2"),
        ("cron(0/15 8-17 LW * ? *)", "0/15 8-17 LW * *"),
        (" CRON(15 10 * * ? *) ", "15 10 * * *"),
    ],
)
def test_cron_is_five_fields(text: str, fields: str) -> None:
    assert parse_cron(text) == fields
    assert parse_cron(fields) == fields


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "cron_not_understood", "not 0"),
        ("@daily", "cron_not_understood", "five fields"),
        ("0 0 9 * * MON", "cron_not_understood", "not 6"),
        ("60 * * * *", "cron_not_understood", "The minute"),
        ("0 24 * * *", "cron_not_understood", "The hour"),
        ("0 0 32 * *", "cron_not_understood", "The day of the month"),
        ("0 0 * 13 *", "cron_not_understood", "The month"),
        ("0 0 * * 8", "cron_not_understood", "The day of the week"),
        ("0 0 ? * MON", "cron_not_understood", "Only AWS's form"),
        ("*/0 * * * *", "cron_not_understood", "The minute"),
        ("*/70 * * * *", "cron_not_understood", "rate(70 minutes)"),
        ("0 1,*/24 * * *", "cron_not_understood", "step of 24"),
        ("cron(0/60 9 ? * MON *)", "cron_not_understood", "step of 60"),
        ("0 9 * * FRI-MON", "cron_not_understood", "FRI,SAT,SUN,MON"),
        ("0 22-2 * * *", "cron_not_understood", "goes upwards"),
        (f"{'9' * 5000} * * * *", "cron_not_understood", "not understood"),
        ("0 0 30 2 *", "cron_never", "no such date"),
        ("0 0 31 4,6,9,11 *", "cron_never", "no such date"),
        ("cron(0 0 31 4 ? *)", "cron_never", "no such date"),
        ("cron(0 9 * * *)", "cron_not_understood", "without cron()"),
        ("cron(0 9 ? * MON 2027)", "cron_not_understood", "ends_at"),
        ("cron(0 9 1 * MON *)", "cron_not_understood", "exactly one"),
        ("cron(0 9 ? * ? *)", "cron_not_understood", "exactly one"),
        ("cron(0 9 15W * ? *)", "cron_not_understood", "nearest"),
        ("cron(0 9 ? * 0 *)", "cron_not_understood", "1 (Sunday)"),
        ("cron(0 9 ? * 8 *)", "cron_not_understood", "1 (Sunday)"),
    ],
)
def test_cron_is_refused_with_a_reason(text: str, code: str, words: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_cron(text)

    assert (refused.value.pointer, refused.value.specific_code) == ("/cron", code)
    assert words in refused.value.sentence
    assert len(refused.value.sentence) < 200


@pytest.mark.parametrize(
    ("text", "minutes", "written"),
    [
        ("rate(1 minute)", 1, "rate(1 minute)"),
        ("rate(5 minutes)", 5, "rate(5 minutes)"),
        ("rate(1 hours)", 60, "rate(1 hour)"),
        ("Rate( 90  minutes )", 90, "rate(90 minutes)"),
        ("2 days", 2880, "rate(2 days)"),
        ("rate(48 hours)", 2880, "rate(2 days)"),
    ],
)
def test_rate_is_a_time_from_one_occurrence_to_the_next(text: str, minutes: int, written: str) -> None:
    assert parse_rate(text) == timedelta(minutes=minutes)
    assert write_rate(parse_rate(text)) == written
    assert parse_rate(written) == parse_rate(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rate(0 minutes)",
        "rate(30 seconds)",
        "every minute",
        "rate(1.5 hours)",
        "-1 days",
        "rate(5)",
        "367 days",
        "rate(5 minutes",
        "5 minutess",
        "99999999 minutes",
    ],
)
def test_rate_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_rate(text)

    assert (refused.value.pointer, refused.value.specific_code) == ("/rate", "rate_not_understood")


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+5"])
def test_zone_is_found(name: str) -> None:
    assert find_zone(name).key == name


@pytest.mark.parametrize(
    "name", ["", "europe/berlin", "CEST", "../etc/passwd", "/etc/localtime", "localtime", "+02:00"]
)
def test_zone_is_refused_when_the_database_does_not_have_it(name: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        find_zone(name)

    assert refused.value.specific_code == "timezone_unknown"
