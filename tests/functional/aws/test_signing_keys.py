"""The key to sign with, read from SSM."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from rune.aws.signing_keys import SsmSigningKeys
from rune.aws.wiring import Clients
from rune.errors import SettingsUnavailableError
from rune.signing_keys import SigningKeys
from tests.builders import FakeClock
from tests.parameters import Ssm

if TYPE_CHECKING:
    from tests.cloud import Cloud

NAME = "/rune/test/signing-key"
OLD, NEW = "o" * 32, "n" * 32


@pytest.fixture
def ssm(cloud: Cloud) -> Ssm:
    ssm = Ssm()
    ssm.write(NAME, OLD)
    return ssm


def test_exchanged_key_holds_within_30_seconds(ssm: Ssm) -> None:
    clock = FakeClock()
    source = SsmSigningKeys(lambda: ssm, NAME, clock)
    source.current()
    ssm.write(NAME, f"1:{OLD} 2:{NEW}")
    before = source.current().version
    clock.advance(30)

    assert (before, source.current()) == (1, SigningKeys.parse(f"1:{OLD} 2:{NEW}"))


def test_keys_hold_for_half_a_day_while_they_cannot_be_read(ssm: Ssm) -> None:
    clock = FakeClock()
    source = SsmSigningKeys(lambda: ssm, NAME, clock)
    source.current()
    ssm.is_down = True
    clock.advance(12 * 3600)
    assert source.current().version == 1
    clock.advance(31)

    with pytest.raises(SettingsUnavailableError):
        source.current()


@pytest.mark.parametrize("text", [f"{OLD} 2:tooshort", None])
def test_what_is_not_understood_rings_without_its_value(
    text: str | None, ssm: Ssm, caplog: pytest.LogCaptureFixture
) -> None:
    ssm.delete(NAME)
    if text is not None:
        ssm.write(NAME, text)

    with caplog.at_level(logging.ERROR):
        SsmSigningKeys(lambda: ssm, NAME, FakeClock()).current()

    (line,) = caplog.records
    assert (line.msg, vars(line)["metric"]) == ("settings.not_understood", "SettingsNotUnderstood")
    assert "tooshort" not in str(vars(line))
    assert OLD not in str(vars(line))


def test_deployment_without_a_parameter_has_no_key(cloud: Cloud) -> None:
    assert Clients().signing_keys("", FakeClock()).current().version is None
