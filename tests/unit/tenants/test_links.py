"""A link holds for exactly what it was signed for."""

from __future__ import annotations

import hmac
from dataclasses import replace

import pytest

from rune.signing_keys import Purpose, SigningKeys
from rune.tenants.links import Link, is_genuine, sign
from tests.builders import NOW, after

KEYS = SigningKeys.parse("a" * 32)
DIGEST, OTHER = b"d" * 32, b"e" * 32
PATH = "/v1/jobs/a/events"
EXPIRES = int(after(600).timestamp())


def a_link(keys: SigningKeys = KEYS, **overrides: object) -> Link:
    given = {"tenant": "t1", "token_digest": DIGEST, "target": PATH, "expires_at_seconds": EXPIRES}
    link = sign(keys, **{**given, **overrides})  # type: ignore[arg-type]  # sign() refuses unknown names
    assert link is not None
    return link


def test_link_opens_what_it_was_signed_for() -> None:
    read = Link.parse(a_link().text)

    assert read == a_link()
    assert is_genuine(a_link(), KEYS, (OTHER, DIGEST), PATH)


@pytest.mark.parametrize(
    "link",
    [
        replace(a_link(), tenant="t2"),
        replace(a_link(), expires_at_seconds=EXPIRES + 1),
        replace(a_link(), key_version=2),
        a_link(target=f"{PATH}/"),
        a_link(target="/v1/jobs/b/events"),
        a_link(target="/v1/jobs/a"),
        a_link(token_digest=OTHER),
        a_link(SigningKeys.parse("b" * 32)),
    ],
)
def test_link_for_anything_else_is_not_genuine(link: Link) -> None:
    assert not is_genuine(link, KEYS, (DIGEST,), PATH)


@pytest.mark.parametrize("place", range(43))
def test_each_character_of_the_signature_counts(place: int) -> None:
    signature = a_link().signature
    # The last character has bits that are not the digest's: other text is another signature all the same.
    others = [other for other in "AQ_0" if other != signature[place]]

    for other in others:
        forged = replace(a_link(), signature=signature[:place] + other + signature[place + 1 :])
        assert not is_genuine(forged, KEYS, (DIGEST,), PATH)


def test_link_opens_nothing_without_a_token_of_its_tenant() -> None:
    assert not is_genuine(a_link(), KEYS, (), PATH)


def test_exchanged_key_lets_links_of_the_old_one_live_until_it_is_taken_away() -> None:
    both, new = SigningKeys.parse(f"1:{'a' * 32} 2:{'b' * 32}"), SigningKeys.parse(f"2:{'b' * 32}")

    assert is_genuine(a_link(), both, (DIGEST,), PATH)
    assert not is_genuine(a_link(), new, (DIGEST,), PATH)
    assert a_link(both).key_version == 2
    assert is_genuine(a_link(both), new, (DIGEST,), PATH)


def test_deployment_without_a_key_signs_nothing() -> None:
    given = {"tenant": "t1", "token_digest": DIGEST, "target": PATH, "expires_at_seconds": EXPIRES}

    assert sign(SigningKeys(), **given) is None  # type: ignore[arg-type]  # as above


def test_key_of_links_is_of_no_other_use() -> None:
    context = ("t1", DIGEST.hex())
    assert KEYS.derive(Purpose.LINK, 1, *context) != KEYS.derive(Purpose.WEBHOOK, 1, *context)


@pytest.mark.parametrize("token_count", [1, 3])
def test_signature_is_compared_in_constant_time_with_that_of_each_token(
    token_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def note(offered: str, expected: str) -> bool:
        compared.append(offered)
        return offered == expected

    monkeypatch.setattr(hmac, "compare_digest", note)

    assert is_genuine(a_link(), KEYS, (DIGEST, OTHER, b"f")[:token_count], PATH)
    assert compared == [a_link().signature] * token_count


@pytest.mark.parametrize(("seconds", "has_expired"), [(599.999, False), (600, True), (601, True)])
def test_time_of_a_link_is_over_at_its_second(seconds: float, has_expired: bool) -> None:
    assert a_link().has_expired(after(seconds)) is has_expired
    assert not a_link().has_expired(NOW)


GOOD = a_link().text
WRONG = {
    "empty": "",
    "no version": GOOD.partition("~")[2],
    "version 0": "0" + GOOD[1:],
    "padded": GOOD + "=",
    "longer": GOOD + "A",
    "shorter": GOOD[:-1],
    "space": GOOD + " ",
    "line end": GOOD + "\n",
    "no tenant": GOOD.replace("t1", ""),
    "tenant with a slash": GOOD.replace("t1", "t/1"),
    "tenant with a tilde": GOOD.replace("t1", "t~1"),
    "other digits": GOOD.replace("1", "\u0661"),
    "expiry with a point": GOOD.replace(str(EXPIRES), f"{EXPIRES}.0"),
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_other_text_is_no_link(text: str) -> None:
    assert Link.parse(text) is None


def test_signature_is_not_shown() -> None:
    assert a_link().signature not in repr(a_link())
