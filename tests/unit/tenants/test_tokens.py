from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from rune.errors import SettingsError
from rune.tenants.tokens import TokenBook

ONE, TWO = "a" * 32, "b" * 40
HASH_OF_TWO = hashlib.sha256(TWO.encode()).hexdigest()


def book(tokens: str) -> TokenBook:
    return TokenBook.take_from({"RUNE_API_TOKENS": tokens}, auth_disabled=False)


@pytest.mark.parametrize(
    "tokens",
    [
        f"acme:{ONE}",
        f" acme:{ONE} ,, ",
        f"other:{TWO},acme:{ONE}",
        f"acme:{TWO},acme:{ONE}",
        f"acme:sha256:{hashlib.sha256(ONE.encode()).hexdigest()}",
        f"acme:SHA256:{hashlib.sha256(ONE.encode()).hexdigest().upper()}",
    ],
)
def test_book_admits_the_tenants_token(tokens: str) -> None:
    assert book(tokens).admits("acme", ONE)


@pytest.mark.parametrize(
    ("tenant", "token"),
    [
        ("acme", TWO),
        ("acme", ""),
        ("acme", ONE[:-1]),
        ("acme", ONE + "a"),
        ("acme", ONE.upper()),
        ("acme", hashlib.sha256(ONE.encode()).hexdigest()),
        ("other", ONE),
        ("Acme", ONE),
        ("nobody", ONE),
        ("nobody", "nobody"),
        ("", ONE),
    ],
)
def test_book_admits_nothing_else(tenant: str, token: str) -> None:
    assert not book(f"acme:{ONE},other:{TWO}").admits(tenant, token)


def test_book_admits_either_token_when_the_tenant_has_two() -> None:
    both = book(f"acme:{ONE},acme:sha256:{HASH_OF_TWO}")

    assert (both.admits("acme", ONE), both.admits("acme", TWO)) == (True, True)


def test_book_admits_no_hash_in_place_of_its_token() -> None:
    assert not book(f"acme:sha256:{HASH_OF_TWO}").admits("acme", f"sha256:{HASH_OF_TWO}")


@pytest.mark.parametrize(
    "tokens",
    [
        ONE,
        f":{ONE}",
        f"-acme:{ONE}",
        f"ac me:{ONE}",
        f"ac/me:{ONE}",
        f"{'t' * 65}:{ONE}",
        "acme:",
        "acme",
        f"acme:{'c' * 31}",
        f"acme:sha256:{HASH_OF_TWO[:15]}",
        "",
        " , ",
    ],
)
def test_book_is_refused_without_a_token_in_the_message_when_an_entry_is_wrong(tokens: str) -> None:
    with pytest.raises(SettingsError) as caught:
        book(tokens)

    told = str(caught.value)
    assert not any(secret in told for secret in (ONE, "c" * 31, HASH_OF_TWO[:15]))
    assert len(told) < 120


def test_book_may_be_empty_when_nobody_has_to_authenticate() -> None:
    empty = TokenBook.take_from({}, auth_disabled=True)

    assert not empty.admits("acme", ONE)


def test_book_takes_the_variable_away() -> None:
    environment = {"RUNE_API_TOKENS": f"acme:{ONE}", "OTHER": "kept"}

    TokenBook.take_from(environment, auth_disabled=False)

    assert environment == {"OTHER": "kept"}


SEARCH = """
import gc, os
from rune.tenants.tokens import TokenBook

kept = TokenBook.take_from(os.environ, auth_disabled=False)
gc.collect()
backwards = "nekot-terces-a"
marker = backwards[::-1]
found = [
    type(holder).__name__
    for holder in gc.get_objects()
    for held in gc.get_referents(holder)
    if held is not marker
    and ((isinstance(held, str) and marker in held) or (isinstance(held, bytes) and marker.encode() in held))
]
print(found, any(marker in value for value in os.environ.values()), kept.admits("acme", marker * 3))
"""


def test_book_leaves_the_token_nowhere_in_the_process() -> None:
    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-c", SEARCH],
        env={
            "PYTHONPATH": str(Path(__file__).parents[3] / "shared"),
            "RUNE_API_TOKENS": "acme:" + "a-secret-token" * 3,
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[] False True"
