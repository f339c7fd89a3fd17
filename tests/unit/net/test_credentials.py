import pytest

from rune.errors import InvalidRequestError
from rune.net.credentials import MAX_KEY_CHARS, bearer_headers


@pytest.mark.parametrize("key", ["k", "sk-proj-AbC_123.~+/==", "a!b\"c'd", "k" * MAX_KEY_CHARS])
def test_headers_carry_the_key(key: str) -> None:
    assert dict(bearer_headers(key)) == {"authorization": f"Bearer {key}"}


def test_headers_are_none_when_there_is_no_key() -> None:
    assert dict(bearer_headers(None)) == {}


def test_headers_hide_the_key_when_they_are_shown() -> None:
    assert "hidden" not in repr(bearer_headers("hidden"))


@pytest.mark.parametrize(
    "key",
    [
        "",
        " ",
        "leaked key",
        "leaked\r\nX: y",
        "leaked\n",
        "leaked\x00",
        "leaké",
        "leaked\x7f",
        "k" * (MAX_KEY_CHARS + 1),
    ],
)
def test_key_is_refused_unseen_when_no_header_can_hold_it(key: str) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        bearer_headers(key)

    assert raised.value.pointer == "/backend_credential"
    assert "leak" not in raised.value.sentence
