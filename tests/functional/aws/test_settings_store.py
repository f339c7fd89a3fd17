"""Parameters that are read again, and how long they hold while they cannot be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from rune.aws import settings_store
from rune.aws.provider_key import SsmKey
from rune.aws.settings_store import ParameterCache
from rune.errors import SettingsUnavailableError
from tests.builders import FakeClock
from tests.parameters import Ssm

if TYPE_CHECKING:
    from tests.cloud import Cloud

NAME = "/rune/test/vastai-key"
OTHER = "/rune/test/other"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ssm(cloud: Cloud) -> Ssm:
    ssm = Ssm()
    ssm.write(NAME, "first")
    return ssm


@pytest.fixture
def cache(ssm: Ssm, clock: FakeClock) -> ParameterCache[str | None]:
    return ParameterCache(lambda: ssm, clock, lambda _, text: text, grace=timedelta(minutes=5))


def test_parameter_is_read_once_while_it_is_fresh(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    read = [cache.get(NAME)]
    clock.advance(29.999)
    read += [cache.get(NAME), cache.recall(NAME)]

    assert (read, ssm.asked) == (["first"] * 3, [NAME])


def test_change_holds_when_the_age_has_passed(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    cache.get(NAME)
    ssm.write(NAME, "second")
    clock.advance(29.999)
    before = cache.get(NAME)
    clock.advance(0.001)

    assert (before, cache.recall(NAME), cache.get(NAME)) == ("first", None, "second")


def test_change_holds_at_once_after_a_reread(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    cache.get(NAME)
    ssm.write(NAME, "second")

    assert (cache.reread(NAME), cache.get(NAME)) == ("second", "second")


def test_reread_takes_one_reading_a_second(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    for _ in range(10):
        cache.reread(NAME)
        clock.advance(0.2)

    assert len(ssm.asked) == 2


def test_recall_makes_no_call(cache: ParameterCache[str | None], ssm: Ssm) -> None:
    assert (cache.recall(NAME), ssm.asked) == (None, [])


def test_missing_parameter_is_none_until_it_is_there(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    missing = cache.get(OTHER)
    ssm.write(OTHER, "there")
    clock.advance(30)

    assert (missing, cache.get(OTHER)) == (None, "there")


def test_deleted_parameter_is_none_when_the_age_has_passed(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    cache.get(NAME)
    ssm.delete(NAME)
    clock.advance(30)

    assert cache.get(NAME) is None


def test_last_value_holds_for_the_grace_and_none_after_it(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    cache.get(NAME)
    ssm.is_down = True
    clock.advance(329.999)
    during = cache.get(NAME)
    clock.advance(0.001)

    assert during == "first"
    with pytest.raises(SettingsUnavailableError, match="cannot be read now"):
        cache.get(NAME)


def test_failed_reading_is_repeated_only_after_a_while(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    cache.get(NAME)
    ssm.is_down = True
    clock.advance(30)
    ssm.asked.clear()

    for _ in range(10):
        cache.get(NAME)
        clock.advance(1)

    assert len(ssm.asked) == 2


def test_failed_first_reading_is_refused_and_repeated_only_after_a_while(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    ssm.is_down = True
    for _ in range(10):
        with pytest.raises(SettingsUnavailableError):
            cache.get(NAME)
        clock.advance(1)

    assert len(ssm.asked) == 2


def test_new_value_holds_when_ssm_is_back(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    cache.get(NAME)
    ssm.is_down = True
    clock.advance(600)
    with pytest.raises(SettingsUnavailableError):
        cache.get(NAME)
    ssm.is_down = False
    ssm.write(NAME, "second")
    clock.advance(5)

    assert cache.get(NAME) == "second"


def test_value_is_refused_when_the_clock_went_back_and_it_cannot_be_read(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock
) -> None:
    cache.get(NAME)
    ssm.is_down = True
    clock.advance(-3600)

    with pytest.raises(SettingsUnavailableError):
        cache.get(NAME)


def test_failed_reading_is_logged_by_its_parameter_and_rings(
    cache: ParameterCache[str | None], ssm: Ssm, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    cache.get(NAME)
    ssm.is_down = True
    clock.advance(30)
    cache.get(NAME)

    (record,) = caplog.records
    assert (record.levelno, record.getMessage(), record.exc_info) == (
        logging.WARNING,
        "settings.unreadable",
        None,
    )
    told = record.__dict__
    assert (told["place"], told["reason"], told["metric"]) == (
        NAME,
        "EndpointConnectionError",
        "SettingsNotUnderstood",
    )


def test_refused_reading_is_no_outage(
    cache: ParameterCache[str | None],
    ssm: Ssm,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**_: object) -> Mapping[str, Mapping[str, object]]:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetParameter")

    monkeypatch.setattr(ssm, "get_parameter", refuse)

    with pytest.raises(SettingsUnavailableError):
        cache.get(NAME)

    (record,) = caplog.records
    told = record.__dict__
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "settings.refused")
    assert (told["reason"], told["metric"]) == ("AccessDeniedException", "SettingsNotUnderstood")


def test_names_without_a_parameter_displace_none_that_has_one(
    cache: ParameterCache[str | None], ssm: Ssm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_store, "REMEMBERED_COUNT", 3)
    cache.get(NAME)
    for number in range(10):
        cache.get(f"{OTHER}{number}")

    assert cache.recall(NAME) == "first"
    assert len(cache._missing) == 3


def test_key_is_its_parameter_without_line_ends(ssm: Ssm, clock: FakeClock) -> None:
    ssm.write(NAME, "a-key\n")

    assert SsmKey(lambda: ssm, NAME, clock).current() == "a-key"


def test_key_is_blank_when_there_is_no_parameter(ssm: Ssm, clock: FakeClock) -> None:
    assert SsmKey(lambda: ssm, OTHER, clock).current() == ""


def test_key_holds_for_half_a_day_while_it_cannot_be_read(ssm: Ssm, clock: FakeClock) -> None:
    key = SsmKey(lambda: ssm, NAME, clock)
    key.current()
    ssm.is_down = True
    clock.advance(12 * 3600)
    during = key.current()
    clock.advance(30)

    assert during == "first"
    with pytest.raises(SettingsUnavailableError):
        key.current()
