from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from rune.aws.settings_store import SsmTokens
from rune.errors import SettingsError, StoreUnavailableError
from rune.tenants.tokens import TokenBook, TokenSource
from tests.builders import FakeClock

if TYPE_CHECKING:
    from tests.cloud import Cloud

NAME = "/rune/test/api-tokens"
FIRST = "first-token-of-acme-0123456789-abcdef"
SECOND = "second-token-of-acme-0123456789-abcdef"


class Ssm:
    """The parameter, and a switch that makes it unreachable."""

    def __init__(self) -> None:
        self._client: Any = boto3.client("ssm")
        self.is_down = False

    def write(self, text: str) -> None:
        self._client.put_parameter(Name=NAME, Value=text, Type="SecureString", Overwrite=True)

    def delete(self) -> None:
        self._client.delete_parameter(Name=NAME)

    def get_parameter(self, **named: object) -> dict[str, dict[str, object]]:
        if self.is_down:
            raise EndpointConnectionError(endpoint_url="https://ssm.eu-central-1.amazonaws.com")
        return cast("dict[str, dict[str, object]]", self._client.get_parameter(**named))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ssm(cloud: Cloud) -> Ssm:
    parameter = Ssm()
    parameter.write(f"acme:{FIRST}")
    cloud.calls.clear()
    return parameter


@pytest.fixture
def tokens(ssm: Ssm, clock: FakeClock) -> SsmTokens:
    return SsmTokens(ssm, NAME, clock)


def admitted(source: TokenSource) -> list[str]:
    book = source.current()
    return [token for token in (FIRST, SECOND) if book.admits("acme", token)]


@pytest.mark.parametrize("source", [TokenBook.parse(f"acme:{FIRST}"), None], ids=["fixed", "ssm"])
def test_source_admits_the_tokens_that_it_was_given(source: TokenSource | None, tokens: SsmTokens) -> None:
    assert admitted(source or tokens) == [FIRST]


def test_ssm_tokens_take_a_token_given_as_its_hash(ssm: Ssm, tokens: SsmTokens) -> None:
    ssm.write(f"acme:sha256:{hashlib.sha256(SECOND.encode()).hexdigest()}")

    assert admitted(tokens) == [SECOND]


def test_ssm_tokens_are_read_once_while_they_are_fresh(
    cloud: Cloud, tokens: SsmTokens, clock: FakeClock
) -> None:
    tokens.current()
    clock.advance(29.999)
    tokens.current()

    assert cloud.operations == ["GetParameter"]


def test_revoked_token_is_refused_when_the_longest_age_has_passed(
    ssm: Ssm, tokens: SsmTokens, clock: FakeClock
) -> None:
    tokens.current()
    ssm.write(f"acme:{SECOND}")
    clock.advance(29.999)
    before = admitted(tokens)
    clock.advance(0.001)

    assert (before, admitted(tokens)) == ([FIRST], [SECOND])


def test_longest_age_is_settable(ssm: Ssm, clock: FakeClock) -> None:
    tokens = SsmTokens(ssm, NAME, clock, max_age=timedelta(seconds=1))
    tokens.current()
    ssm.write(f"acme:{SECOND}")
    clock.advance(1)

    assert admitted(tokens) == [SECOND]


def test_tenant_without_tokens_is_refused_when_the_longest_age_has_passed(
    ssm: Ssm, tokens: SsmTokens, clock: FakeClock
) -> None:
    tokens.current()
    ssm.write(f"other:{SECOND}")
    clock.advance(30)

    assert admitted(tokens) == []


def test_nobody_is_admitted_when_all_tokens_were_taken_away(
    ssm: Ssm, tokens: SsmTokens, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    tokens.current()
    ssm.write(" , ")
    clock.advance(30)

    assert admitted(tokens) == []
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "tokens.none")
    ]


def go_down(ssm: Ssm) -> None:
    ssm.is_down = True


@dataclass(frozen=True)
class Breakage:
    """What makes a reading fail, and what the log says of it."""

    name: str
    happen: Callable[[Ssm], None]
    event: str
    reason: str


breakages = pytest.mark.parametrize(
    "breakage",
    [
        Breakage("unreachable", go_down, "tokens.unreadable", "EndpointConnectionError"),
        Breakage("deleted", Ssm.delete, "tokens.unreadable", "ParameterNotFound"),
        Breakage(
            "no colon", lambda ssm: ssm.write(SECOND), "tokens.malformed", "not of the form tenant:token"
        ),
        Breakage("exchanged", lambda ssm: ssm.write(f"{SECOND}:acme"), "tokens.malformed", "shorter than 32"),
        Breakage("short", lambda ssm: ssm.write("acme:short-secret"), "tokens.malformed", "shorter than 32"),
    ],
    ids=lambda breakage: breakage.name,
)


@breakages
def test_last_good_tokens_hold_for_the_grace_and_none_after_it(
    ssm: Ssm, tokens: SsmTokens, clock: FakeClock, breakage: Breakage
) -> None:
    tokens.current()
    breakage.happen(ssm)
    clock.advance(329.999)
    during = admitted(tokens)
    clock.advance(0.001)

    assert during == [FIRST]
    with pytest.raises(StoreUnavailableError, match="cannot be read now"):
        tokens.current()


@breakages
def test_breakage_is_an_alarm_in_the_log_without_a_token(
    ssm: Ssm,
    tokens: SsmTokens,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    breakage: Breakage,
) -> None:
    tokens.current()
    breakage.happen(ssm)
    clock.advance(30)
    tokens.current()

    (record,) = caplog.records
    assert (record.levelno, record.getMessage(), record.exc_info) == (logging.ERROR, breakage.event, None)
    assert breakage.reason in record.__dict__["reason"]
    assert not any(secret in str(record.__dict__) for secret in (FIRST, SECOND, "short-secret"))


def test_failed_reading_is_repeated_only_after_a_while(
    cloud: Cloud, ssm: Ssm, tokens: SsmTokens, clock: FakeClock
) -> None:
    tokens.current()
    ssm.delete()
    clock.advance(30)
    cloud.calls.clear()

    for _ in range(10):
        tokens.current()
        clock.advance(1)

    assert cloud.operations == ["GetParameter"] * 2


@breakages
def test_new_tokens_hold_when_the_breakage_is_mended(
    ssm: Ssm, tokens: SsmTokens, clock: FakeClock, breakage: Breakage
) -> None:
    tokens.current()
    breakage.happen(ssm)
    clock.advance(600)
    with pytest.raises(StoreUnavailableError):
        tokens.current()
    ssm.is_down = False
    ssm.write(f"acme:{SECOND}")
    clock.advance(5)

    assert admitted(tokens) == [SECOND]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (",", "holds no token, so nobody could call"),
        (SECOND, r"holds an entry \(1\.\) that is not of the form tenant:token"),
        (f"acme:{FIRST},{SECOND}:acme", r"holds an entry \(2\.\) whose token is shorter than 32 characters"),
    ],
)
def test_first_reading_refuses_to_start_when_the_parameter_is_no_use(
    ssm: Ssm, tokens: SsmTokens, text: str, sentence: str
) -> None:
    ssm.write(text)

    with pytest.raises(SettingsError, match=f"The parameter {NAME} {sentence}") as raised:
        tokens.current()

    assert SECOND not in str(raised.value)


def test_first_reading_refuses_when_the_parameter_cannot_be_read(ssm: Ssm, tokens: SsmTokens) -> None:
    ssm.is_down = True

    with pytest.raises(StoreUnavailableError):
        tokens.current()


def test_tokens_are_refused_when_the_clock_went_back_and_they_cannot_be_read(
    ssm: Ssm, tokens: SsmTokens, clock: FakeClock
) -> None:
    tokens.current()
    ssm.is_down = True
    clock.advance(-3600)

    with pytest.raises(StoreUnavailableError):
        tokens.current()


def test_ssm_tokens_hold_no_token_in_plain(tokens: SsmTokens) -> None:
    book = tokens.current()

    assert FIRST not in str(vars(tokens)) + str(vars(book))
