from ipaddress import ip_address

import pytest

from rune.errors import AddressRefusedError, SettingsError
from rune.net.addresses import AddressPolicy, BackendUrl, numeric_address, parse_backend_url

PUBLIC_ONLY = AddressPolicy()
WITH_LOOPBACK = AddressPolicy.parse("127.0.0.0/8, ::1/128")

# Special-purpose addresses by IANA's registries, and those that `ipaddress` of CPython 3.13.0 gets wrong.
REFUSED_ADDRESSES = [
    "224.0.0.1",
    "239.255.255.250",
    "ff02::1",
    "ff0e::1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::a00:1",
    "64:ff9b:1::7f00:1",
    "fec0::1",
    "192.88.99.1",
    "3fff::1",
    "5f00::1",
    "168.63.129.16",
    "100.64.0.1",
    "100.100.100.200",
    "0.0.0.0",  # noqa: S104 judged, not bound
    "0.1.2.3",
    "10.0.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.79.129",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.10",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "2001:db8::1",
    "100::1",
    "100:0:0:1::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "2001:1::1",
    "2001:20::1",
    "2001:4:112::1",
]


@pytest.mark.parametrize("address", REFUSED_ADDRESSES)
def test_policy_refuses_address_when_it_is_not_public(address: str) -> None:
    assert not PUBLIC_ONLY.allows(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "168.63.129.17",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_policy_allows_address_when_it_is_public(address: str) -> None:
    assert PUBLIC_ONLY.allows(ip_address(address))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
def test_policy_allows_address_when_the_operator_added_its_network(address: str) -> None:
    assert WITH_LOOPBACK.allows(ip_address(address))


@pytest.mark.parametrize("networks", ["::ffff:0:0/96", "64:ff9b::/96", "::/0"])
@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "127.0.0.1"])
def test_policy_refuses_ipv4_inside_ipv6_when_only_an_ipv6_network_was_added(
    networks: str, address: str
) -> None:
    assert not AddressPolicy.parse(networks).allows(ip_address(address))


@pytest.mark.parametrize(("text", "count"), [("", 0), (" , ", 0), ("10.0.0.0/8", 1), ("10.1.2.3,::1", 2)])
def test_policy_parses_list_when_spaced_or_empty(text: str, count: int) -> None:
    assert len(AddressPolicy.parse(text).allowed_networks) == count


@pytest.mark.parametrize("text", ["localhost", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8;127.0.0.0/8"])
def test_policy_raises_settings_error_when_an_entry_is_no_network(text: str) -> None:
    with pytest.raises(SettingsError):
        AddressPolicy.parse(text)


LOOPBACK_SPELLINGS = [
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.1",
    "127.0.1",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "\uff11\uff12\uff17.0.0.1",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
]


@pytest.mark.parametrize("host", [*LOOPBACK_SPELLINGS, "0", "[::1]", "[::]", "localhost", "LOCALHOST."])
def test_backend_url_is_refused_when_its_host_spells_loopback(host: str) -> None:
    with pytest.raises(AddressRefusedError):
        parse_backend_url(f"http://{host}:9001/v1", PUBLIC_ONLY)


def test_backend_url_is_refused_when_it_has_a_zone_although_its_network_is_allowed() -> None:
    with pytest.raises(AddressRefusedError):
        parse_backend_url("http://[fe80::1%lo]", AddressPolicy.parse("fe80::/10"))


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
def test_backend_url_has_one_spelling_when_its_number_is_allowed(host: str) -> None:
    url = parse_backend_url(f"http://{host}:11434", WITH_LOOPBACK)

    assert url == BackendUrl("http://127.0.0.1:11434", "http", "127.0.0.1", 11434)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ollama",
        "example.com:11434",
        "//example.com",
        "ftp://example.com",
        "file:///proc/self/environ",
        "gopher://example.com",
        "unix:///var/run/docker.sock",
        "http://",
        "http:///v1",
        "http://:8000",
        "http://user@example.com",
        "http://user:secret@example.com",
        "http://@example.com",
        "http://example.com@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\\evil",
        "http://example.com#",
        "http://example.com/#fragment",
        "http://example.com?",
        "http://example.com/?query=1",
        "http://example.com:0",
        "http://example.com:65536",
        "http://example.com:99999",
        "http://example.com:-1",
        "http://example.com:http",
        "http://example.com:٣",
        "http://exa mple.com",
        " http://example.com",
        "http://example.com\n",
        "http://exam\tple.com",
        "http://example.com/\x00",
        "http://example.com/\x7f",
        "http://example.com\u200b",
        "http://example.com/\u00a0",
        "http://exa\u00adple.com",
        "http://example.com/ü",
        "http://example.com/{id}",
        "http://bücher.example",
        "http://exa%6dple.com",
        "http://%31%32%37.0.0.1",
        "http://[fe80::1%25eth0]",
        "http://[::1",
        "http://[v1.x]",
        "http://[example.com]",
        "http://a..b",
        "http://.example.com",
        "http://-example.com",
        "http://" + "a" * 64 + ".com",
        "http://" + "a." * 127 + "com",
        "http://127.0.0.1.",
        "http://1.2.3.4.5",
        "http://256.1.1.1",
        "http://08.8.8.8",
        "http://4294967296",
        "http://0x",
        "http://xn--a",
        "http://xn--.example",
        "http://example.0x7f",
        "http://example.com/" + "a" * 2048,
    ],
)
def test_backend_url_is_refused_when_malformed_or_ambiguous(url: str) -> None:
    with pytest.raises(AddressRefusedError) as refusal:
        parse_backend_url(url, WITH_LOOPBACK)

    assert refusal.value.sentence.endswith(".")
    assert "secret" not in refusal.value.sentence


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.com", BackendUrl("http://example.com", "http", "example.com", 80)),
        ("HTTP://EXAMPLE.com:80/", BackendUrl("http://example.com", "http", "example.com", 80)),
        ("https://example.com:443", BackendUrl("https://example.com", "https", "example.com", 443)),
        ("http://example.com:443/v1/", BackendUrl("http://example.com:443/v1", "http", "example.com", 443)),
        ("http://example.com:", BackendUrl("http://example.com", "http", "example.com", 80)),
        ("http://8.8.8.8:65535//", BackendUrl("http://8.8.8.8:65535", "http", "8.8.8.8", 65535)),
        ("http://134744072", BackendUrl("http://8.8.8.8", "http", "8.8.8.8", 80)),
        (
            "http://[2606:4700::1111]:8000/v1",
            BackendUrl("http://[2606:4700::1111]:8000/v1", "http", "2606:4700::1111", 8000),
        ),
        ("http://my_gpu-1:11434", BackendUrl("http://my_gpu-1:11434", "http", "my_gpu-1", 11434)),
        (
            "http://xn--bcher-kva.example",
            BackendUrl("http://xn--bcher-kva.example", "http", "xn--bcher-kva.example", 80),
        ),
        ("http://h/a%20b/~c", BackendUrl("http://h/a%20b/~c", "http", "h", 80)),
    ],
)
def test_backend_url_is_normalised_when_allowed(url: str, expected: BackendUrl) -> None:
    assert parse_backend_url(url, PUBLIC_ONLY) == expected


@pytest.mark.parametrize("host", ["example.com", "", "a..b", "x" * 70, "127.0.0.1.", "٣.1"])
def test_numeric_address_is_none_when_the_host_is_a_name(host: str) -> None:
    assert numeric_address(host) is None
