"""Networks that an operator may allow, by stage."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from rune.errors import SettingsError
from rune.tenants.networks import read_networks

NEVER = [
    "127.0.0.0/8",
    "127.0.0.1/32",
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "169.254.0.0/16",
    "169.254.169.254/32",
    "169.254.100.1/32",
    "0.0.0.0/32",
    "::1/128",
    "::/0",
    "fe80::/10",
    "fe80::1/128",
]


@pytest.mark.parametrize("network", NEVER)
@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_own_machine_and_everything_are_never_allowed_on_aws(
    network: str, stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy = read_networks(f"10.0.0.0/8,{network}", stage)

    assert [str(each) for each in policy.allowed_networks] == ["10.0.0.0/8"]
    (line,) = [record.__dict__ for record in caplog.records]
    assert (line["place"], line["metric"]) == ("RUNE_ALLOWED_NETWORKS/2", "SettingsNotUnderstood")


@pytest.mark.parametrize(
    "network", ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fd00::/8"]
)
def test_private_network_is_allowed_on_aws(network: str, caplog: pytest.LogCaptureFixture) -> None:
    assert [str(each) for each in read_networks(network, "prod").allowed_networks] == [network]
    assert caplog.records == []


def test_local_stack_allows_loopback() -> None:
    assert read_networks("127.0.0.0/8", "local").allows(ip_address("127.0.0.1"))


def test_what_is_no_network_is_refused_on_aws_too() -> None:
    with pytest.raises(SettingsError):
        read_networks("10.0.0.1/8", "prod")
