import pytest

from rune.signing_keys import Purpose, SigningKeys

OLD, NEW = "o" * 32, "n" * 43 + "="


def test_key_is_the_one_of_hkdf() -> None:
    # RFC 5869 with salt "rune", info 4 + "link" + 1 + "a" with its lengths; computed with cryptography's HKDF.
    key = SigningKeys.parse(OLD).derive(Purpose.LINK, 1, "a")

    assert key is not None
    assert key.hex() == "5a7c5f7457e719682b991f1172c93fac2fd6449d33fae0aa30ff6809672df4a0"


def test_highest_version_signs_and_each_verifies() -> None:
    keys, alone = SigningKeys.parse(f"1:{OLD} 2:{NEW}"), SigningKeys.parse(f"1:{OLD}")

    assert keys.version == 2
    assert keys.derive(Purpose.LINK, 1) == alone.derive(Purpose.LINK, 1)
    assert keys.derive(Purpose.LINK, 2) != keys.derive(Purpose.LINK, 1)
    assert alone.derive(Purpose.LINK, 2) is None


def test_key_without_a_version_is_the_first() -> None:
    assert SigningKeys.parse(f"{OLD}\n") == SigningKeys.parse(f"1:{OLD}")


def test_each_purpose_and_context_has_a_key_of_its_own() -> None:
    keys = SigningKeys.parse(OLD)
    contexts = [(), ("a",), ("a", "b"), ("ab",), ("a", ""), ("", "a"), ("webhook",)]
    derived = {keys.derive(purpose, 1, *context) for purpose in Purpose for context in contexts}

    assert len(derived) == len(Purpose) * len(contexts)


@pytest.mark.parametrize(
    ("text", "version", "refused_count"),
    [
        ("", None, 0),
        ("short", None, 1),
        (f"0:{OLD}", None, 1),
        (f"12345:{OLD}", None, 1),
        (f"x:{OLD}", None, 1),
        (f"é{OLD}", None, 1),
        (f"1:{OLD} 2:short", 1, 1),
        (f"1:{OLD} 1:{NEW}", None, 2),
        (f"1:{OLD} {NEW}", None, 2),
    ],
)
def test_entry_that_is_not_understood_has_no_effect(
    text: str, version: int | None, refused_count: int
) -> None:
    keys = SigningKeys.parse(text)

    assert (keys.version, keys.refused_count) == (version, refused_count)


def test_keys_are_not_shown() -> None:
    assert OLD not in repr(SigningKeys.parse(OLD))
