from __future__ import annotations

import base64
import hashlib
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rune.tenants.settings import TenantSettings
from rune.tenants.tokens import Scope, Token, TokenBook, digest_of, find_token

ONE, TWO = "a-token-" * 4, "2-token-" * 5
HASH_OF_TWO = hashlib.sha256(TWO.encode()).hexdigest()
BASE64_OF_TWO = base64.b64encode(bytes.fromhex(HASH_OF_TWO)).decode()

MISTYPED_HASHES = {
    "63 digits": f"sha256:{HASH_OF_TWO[:63]}",
    "65 digits": f"sha256:{HASH_OF_TWO}0",
    "as sha256sum prints it": f"sha256:{HASH_OF_TWO}  -",
    "another hash": f"sha512:{HASH_OF_TWO * 2}",
    "another separator": f"sha256={HASH_OF_TWO}",
    "without its name": HASH_OF_TWO,
    "without its name, 63 digits": HASH_OF_TWO[:63],
    "a dash in its name": f"SHA-256:{HASH_OF_TWO}",
    "a password hash": "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
    "no hexadecimal digits": f"sha256:{'g' * 64}",
    "a space before it": f"sha256: {HASH_OF_TWO}",
    "a dash": f"sha256-{HASH_OF_TWO}",
    "an underscore": f"sha256_{HASH_OF_TWO}",
    "a semicolon": f"sha256;{HASH_OF_TWO}",
    "double quotes": f'"sha256:{HASH_OF_TWO}"',
    "single quotes": f"'sha256:{HASH_OF_TWO}'",
    "a colon before it": f":sha256:{HASH_OF_TWO}",
    "the tenant before it": f"default:sha256:{HASH_OF_TWO}",
    **{
        f"{name} for its name": f"{name}{HASH_OF_TWO}"
        for name in (
            "h256:",
            "ha256:",
            "sh256:",
            "sah256:",
            "asha256:",
            "256:",
            "hash:",
            "0x",
            "the-hash-of-my-token-is-",
        )
    },
    **{
        f"a wrong character at {position}": f"{HASH_OF_TWO[:position]}{wrong}{HASH_OF_TWO[position + 1 :]}"
        for position, wrong in ((0, "L"), (1, "o"), (31, "o"), (32, "o"), (63, "o"))
    },
    "two wrong characters": f"{HASH_OF_TWO[:21]}o{HASH_OF_TWO[22:42]}O{HASH_OF_TWO[43:]}",
    "base64": BASE64_OF_TWO,
    "base64 with its name": f"sha256-{BASE64_OF_TWO}",
    "base64 with its name, without padding": "sha384-" + "oqVuAf1x" * 8,
    "32 digits": HASH_OF_TWO[:32],
    "40 digits": HASH_OF_TWO[:40],
    "40 digits, a wrong one in the middle": f"{HASH_OF_TWO[:20]}o{HASH_OF_TWO[21:40]}",
    "55 digits": HASH_OF_TWO[:55],
}


def admitted(book: TokenBook, tenant: str, token: str) -> bool:
    return find_token(book.tokens_of(tenant), token) is not None


@pytest.mark.parametrize(
    "text",
    [
        f"acme:{ONE}",
        f" acme:{ONE} ,, ",
        f"other:{TWO},acme:{ONE}",
        f"other:{TWO}\nacme:{ONE}\n",
        f"other:{TWO}\r\nacme:{ONE}",
        f"acme:{TWO},acme:{ONE}",
        f"acme:sha256:{hashlib.sha256(ONE.encode()).hexdigest()}",
        f"acme:SHA256:{hashlib.sha256(ONE.encode()).hexdigest().upper()}",
    ],
)
def test_book_admits_the_tenants_token(text: str) -> None:
    book = TokenBook.parse(text)

    assert admitted(book, "acme", ONE)
    assert book.refused == ()


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
        ("nobody", "no token"),
        ("", ONE),
    ],
)
def test_book_admits_nothing_else(tenant: str, token: str) -> None:
    assert not admitted(TokenBook.parse(f"acme:{ONE},other:{TWO}"), tenant, token)


def test_random_tokens_are_never_taken_for_hashes() -> None:
    source = random.Random(7)  # the same tokens in each run
    made = [
        base64.urlsafe_b64encode(source.randbytes(size)).rstrip(b"=").decode()
        for size in (24, 32, 64)
        for _ in range(300)
    ]

    assert TokenBook.parse(",".join(f"acme:{token}" for token in made)).refused == ()


def test_book_admits_either_token_when_the_tenant_has_two() -> None:
    both = TokenBook.parse(f"acme:{ONE},acme:sha256:{HASH_OF_TWO}")

    assert (admitted(both, "acme", ONE), admitted(both, "acme", TWO)) == (True, True)


def test_book_names_tokens_by_their_order_in_the_tenant() -> None:
    book = TokenBook.parse(f"other:{TWO},acme:{TWO},acme:{ONE}")

    assert [token.name for token in book.tokens_of("acme")] == ["env-1", "env-2"]
    assert [token.name for token in book.tokens_of("other")] == ["env-1"]


EARLY, LATE = datetime(2027, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
READER = Token("reader", digest_of(ONE), frozenset({Scope.READ, Scope.SUBMIT}), LATE)


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ([], READER),
        ([Token("other", digest_of(TWO), frozenset(), EARLY)], READER),
        ([Token("env-1", digest_of(ONE))], READER),
        (
            [Token("narrow", digest_of(ONE), frozenset({Scope.SUBMIT, Scope.MANAGE}), EARLY)],
            replace(READER, scopes=frozenset({Scope.SUBMIT}), expires_at=EARLY),
        ),
    ],
    ids=["alone", "beside another", "in the variable too", "under two names"],
)
def test_token_may_only_what_each_of_its_entries_allows(others: list[Token], found: Token) -> None:
    assert find_token([READER, *others], ONE) == found


@pytest.mark.parametrize(("second", "has_expired"), [(-1, False), (0, True), (1, True)])
def test_token_expires_at_its_time(second: int, *, has_expired: bool) -> None:
    now = LATE + timedelta(seconds=second)

    assert READER.has_expired(now) == has_expired
    assert TenantSettings(tokens=(READER, Token("b", digest_of(ONE)))).readers_digests(now) == (
        () if has_expired else (READER.digest,) * 2
    )


def test_token_that_may_not_read_opens_no_link() -> None:
    tokens = (
        Token("ci", digest_of(ONE), frozenset({Scope.SUBMIT, Scope.MANAGE})),
        Token("b", digest_of(TWO)),
    )

    assert TenantSettings(tokens=tokens).readers_digests(EARLY) == (digest_of(TWO),)


def test_token_without_an_expiry_never_expires() -> None:
    assert not Token("a", digest_of(ONE)).has_expired(datetime.max.replace(tzinfo=UTC))


def test_book_admits_no_hash_in_place_of_its_token() -> None:
    book = TokenBook.parse(f"acme:sha256:{HASH_OF_TWO}")

    assert not admitted(book, "acme", f"sha256:{HASH_OF_TWO}")


@pytest.mark.parametrize("separator", [",", "\n"], ids=["commas", "lines"])
@pytest.mark.parametrize("mistyped", MISTYPED_HASHES.values(), ids=MISTYPED_HASHES.keys())
def test_mistyped_hash_is_refused_and_the_other_tenants_stay(mistyped: str, separator: str) -> None:
    book = TokenBook.parse(separator.join([f"first:{ONE}", f"acme:{mistyped}", f"last:{TWO}"]))

    assert not admitted(book, "acme", mistyped)
    assert "acme" not in book
    assert (admitted(book, "first", ONE), admitted(book, "last", TWO)) == (True, True)
    (refused,) = book.refused
    assert refused.place == "RUNE_API_TOKENS/2"
    assert HASH_OF_TWO[:15] not in refused.reason


@pytest.mark.parametrize(
    "entry",
    [
        ONE,
        f":{ONE}",
        f"-acme:{ONE}",
        f"ac me:{ONE}",
        f"acme :{ONE}",
        f"ac/me:{ONE}",
        f"{'t' * 65}:{ONE}",
        f"{TWO}:acme",
        "acme:",
        "acme",
        f"acme:{'c-' * 15}c",
        f"acme:{'c-' * 8} {'c-' * 8}",
        f"acme:{'é' * 32}",
    ],
)
def test_entry_that_is_not_understood_is_refused_alone_by_its_place(entry: str) -> None:
    book = TokenBook.parse(f"other:{TWO},{entry}")

    (refused,) = book.refused
    assert refused.place == "RUNE_API_TOKENS/2"
    assert not any(secret in refused.reason for secret in (ONE, TWO, "c-c-c-"))
    assert admitted(book, "other", TWO)
    assert not admitted(book, "acme", ONE)


@pytest.mark.parametrize("text", ["", " , ", "\n\r\n"])
def test_book_is_empty_when_the_text_is_blank(text: str) -> None:
    assert TokenBook.parse(text).is_empty


def test_book_takes_the_variable_away() -> None:
    environment = {"RUNE_API_TOKENS": f"acme:{ONE}", "OTHER": "kept"}

    TokenBook.take_from(environment)

    assert environment == {"OTHER": "kept"}


SEARCH = """
import gc, os
from rune.tenants.tokens import TokenBook, find_token

kept = TokenBook.take_from(os.environ)
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
is_in_environment = any(marker in value for value in os.environ.values())
print(found, is_in_environment, find_token(kept.tokens_of("acme"), marker * 3) is not None)
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


def test_book_of_a_production_takes_hashes_alone() -> None:
    plain, digest = "p" * 40, "ab" * 32

    book = TokenBook.take_from({"RUNE_API_TOKENS": f"acme:{plain},acme:sha256:{digest}"}, may_be_plain=False)

    assert [token.digest.hex() for token in book.tokens_of("acme")] == [digest]
    assert [entry.place for entry in book.refused] == ["RUNE_API_TOKENS/1"]
    assert plain not in str(book.refused)
