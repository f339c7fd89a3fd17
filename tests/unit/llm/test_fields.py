import pytest

from rune.llm.fields import mend_text, parse_json, read_count, read_number, read_text


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 200_000, b"9" * 10_000, b"<html>"])
def test_parse_json_raises_value_error_when_it_is_no_json(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_json(data)


def test_parse_json_replaces_bytes_when_they_are_no_utf8() -> None:
    assert parse_json(b'"a\xff"') == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (7, 7),
        (12.0, 12),
        (-1, None),
        (True, None),
        (1.5, None),
        ("7", None),
        (None, None),
        (10**300, None),
    ],
)
def test_count_is_none_when_it_is_no_count(value: object, expected: int | None) -> None:
    assert read_count({"n": value}, "n") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        (1.5, 1.5),
        (-0.1, None),
        (float("inf"), None),
        (float("nan"), None),
        (10**400, None),
        (True, None),
    ],
)
def test_number_is_none_when_it_is_not_finite_and_positive(value: object, expected: float | None) -> None:
    assert read_number({"n": value}, "n") == expected


@pytest.mark.parametrize("value", [None, 1, [], {}])
def test_text_is_empty_when_it_is_no_string(value: object) -> None:
    assert read_text({"t": value}, "t") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("aé😀", "aé😀"), ("\ud83d\ude00", "😀"), ("a\ud83d", "a\ufffd"), ("\ude00b", "\ufffdb")],
)
def test_text_is_mended_when_it_holds_half_characters(text: str, expected: str) -> None:
    assert mend_text(text) == expected
