import hashlib

import pytest

from local.tokens import LocalTokens, make_tokens


def test_plain_token_stays_here_and_its_hash_is_deployed() -> None:
    digest = hashlib.sha256(b"se:cret").hexdigest()
    assert make_tokens("team:se:cret") == LocalTokens("team", "se:cret", f"team:sha256:{digest}", ("team",))


def test_hash_is_deployed_as_given_when_no_token_is_known() -> None:
    entry = f"team:sha256:{'ab' * 32}"
    assert make_tokens(entry) == LocalTokens("team", None, entry, ("team",))


def test_first_plain_token_is_the_one_to_use_when_hashes_come_before() -> None:
    tokens = make_tokens(f"one:sha256:{'ab' * 32}, two:plain")
    assert (tokens.tenant, tokens.token) == ("two", "plain")


def test_tenant_of_the_token_in_use_comes_first() -> None:
    tokens = make_tokens(f"one:sha256:{'ab' * 32}\ntwo:plain,one:other")

    assert tokens.tenants == ("two", "one")


@pytest.mark.parametrize("mistyped", [f"sha256:{'ab' * 31}", f"sha256={'ab' * 32}", f"SHA512:{'ab' * 64}"])
def test_mistyped_hash_is_left_to_the_functions_to_refuse(mistyped: str) -> None:
    assert make_tokens(f"team:{mistyped}").deployed == f"team:{mistyped}"


def test_every_run_has_a_token_of_its_own_when_none_is_given() -> None:
    one, other = make_tokens(""), make_tokens("")
    assert one.tenant == "default"
    assert one.token is not None
    assert len(one.token) >= 32
    assert one.token != other.token
    assert one.token not in one.deployed


@pytest.mark.parametrize("entry", ["no-colon-secret", ":secret", "tenant:"])
def test_unreadable_entry_is_refused_without_repeating_it(entry: str) -> None:
    with pytest.raises(ValueError, match="entry 1 of RUNE_API_TOKENS") as caught:
        make_tokens(entry)
    assert "secret" not in str(caught.value)
