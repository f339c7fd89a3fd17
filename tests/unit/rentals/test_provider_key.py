"""The provider's key, read again when it is refused."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import override

import pytest

from rune.errors import ProviderFailedError, ProviderKeyError, SettingsUnavailableError
from rune.rentals.provider_key import KeyedTransport, KeySource, make_key_mark
from rune.rentals.vastai import Method
from rune.rentals.vastai_responses import VastaiResponse
from tests.unit.rentals.scripted import ScriptedTransport, an_answer

FINE = an_answer({"success": True, "instances": []})
NO_SUCH_INSTANCE = an_answer({"success": False, "error": "no_such_instance", "msg": "Not found."}, 404)
REFUSALS = {
    "401": an_answer({"success": False, "error": "auth_error", "msg": "Invalid user key"}, 401),
    "403": an_answer({"success": False, "error": "not_authorized", "msg": "Scope missing"}, 403),
    "404 for a wrong key": an_answer(
        {"success": False, "error": "auth_error", "msg": "Invalid user key"}, 404
    ),
    "200 for a wrong key": an_answer({"success": False, "error": "auth_error", "msg": "Invalid user key"}),
}
every_refusal = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())


@dataclass
class Keys(KeySource):
    """A key, and the one that is there after another look."""

    key: str = "old"
    later: str = "old"
    reread_count: int = 0
    is_unknown: bool = False

    @override
    def current(self) -> str:
        if self.is_unknown:
            raise SettingsUnavailableError("Away.")
        return self.key

    @override
    def reread(self) -> str:
        self.reread_count += 1
        self.key = self.later
        return self.key


@dataclass
class Wire:
    """What goes out, with which key."""

    keys: Keys
    transport: ScriptedTransport
    opened: list[str] = field(default_factory=list)

    def open(self, api_key: str) -> ScriptedTransport:
        self.opened.append(api_key)
        return self.transport

    def call(self, method: Method = "GET", path: str = "/api/v1/instances/") -> VastaiResponse:
        transport = KeyedTransport(self.keys, self.open)
        return asyncio.run(transport(method, path, timeout_seconds=10))


def marked(answer: VastaiResponse, api_key: str) -> VastaiResponse:
    """Return the answer with the mark of the key that the request carried."""
    return replace(answer, key_mark=make_key_mark(api_key))


def a_wire(*answers: VastaiResponse, later: str = "old") -> Wire:
    return Wire(Keys(later=later), ScriptedTransport([*answers]))


def test_request_is_sent_once_with_the_key_of_the_moment() -> None:
    wire = a_wire(FINE)

    assert wire.call() == marked(FINE, "old")
    assert (wire.opened, wire.keys.reread_count) == (["old"], 0)


@every_refusal
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/instances/"),
        ("DELETE", "/api/v0/instances/7/"),
        ("PUT", "/api/v0/instances/7/"),
        ("POST", "/api/v0/bundles/"),
    ],
)
def test_request_is_sent_again_with_the_new_key_when_the_old_one_is_refused(
    method: Method, path: str, refusal: VastaiResponse
) -> None:
    wire = a_wire(refusal, FINE, later="new")

    assert wire.call(method, path) == marked(FINE, "new")
    assert wire.opened == ["old", "new"]
    assert wire.transport.sent[0] == wire.transport.sent[1]


@every_refusal
def test_refusal_is_handed_on_when_the_key_is_still_the_same(refusal: VastaiResponse) -> None:
    wire = a_wire(refusal)

    assert wire.call() == marked(refusal, "old")
    assert (wire.opened, wire.keys.reread_count) == (["old"], 1)


@every_refusal
def test_order_is_never_sent_again(refusal: VastaiResponse) -> None:
    wire = a_wire(refusal, later="new")

    assert wire.call("PUT", "/api/v0/asks/111/") == marked(refusal, "old")
    assert (wire.opened, wire.keys.key) == (["old"], "new")


@pytest.mark.parametrize("failure", [NO_SUCH_INSTANCE, an_answer("bad gateway", 502)])
def test_other_failures_read_no_key(failure: VastaiResponse) -> None:
    wire = a_wire(failure)

    assert wire.call() == marked(failure, "old")
    assert wire.keys.reread_count == 0


def test_nothing_is_sent_without_a_key() -> None:
    wire = a_wire()
    wire.keys.key = ""

    with pytest.raises(ProviderKeyError):
        wire.call()
    assert wire.transport.sent == []


def test_nothing_is_sent_while_the_key_cannot_be_read() -> None:
    wire = a_wire()
    wire.keys.is_unknown = True

    with pytest.raises(ProviderFailedError, match="cannot be read now"):
        wire.call()
    assert wire.transport.sent == []
