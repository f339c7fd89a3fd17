"""Signatures, verified by the official library."""

from datetime import timedelta

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from rune.signing_keys import SigningKeys
from rune.webhooks.lifecycle import MAX_SECRETS, rotate_secrets, signing_secrets
from rune.webhooks.record import Secret
from rune.webhooks.signing import derive_secret, show_secret, sign
from tests.builders import NOW, after
from tests.webhook_builders import MASTER_KEY, Post, verify

KEYS = SigningKeys.parse(MASTER_KEY)
BODY = '{"type": "rune.job.succeeded", "data": {"name": "Zoë"}}'.encode()


def secret_of(owner: str = "wh_1", number: int = 1, key_version: int = 1) -> bytes:
    secret = derive_secret(KEYS, owner, Secret(number, key_version))
    assert secret is not None
    return secret


def a_post(*secrets: bytes, body: bytes = BODY, seconds: float = 0) -> Post:
    headers = sign(secrets, "evt_1", int(after(seconds).timestamp()), BODY)
    return Post("https://hook.example/", body, headers, NOW)


def test_library_verifies_the_signature() -> None:
    assert verify(a_post(secret_of()), show_secret(secret_of())) == {
        "type": "rune.job.succeeded",
        "data": {"name": "Zoë"},
    }


@pytest.mark.parametrize("number", [1, 2])
def test_library_verifies_with_either_secret_during_a_rotation(number: int) -> None:
    post = a_post(secret_of(number=2), secret_of(number=1))

    assert verify(post, show_secret(secret_of(number=number)))


@pytest.mark.parametrize(
    "post",
    [
        a_post(secret_of("wh_2")),
        a_post(secret_of(), body=BODY + b" "),
        a_post(secret_of(), seconds=-301),
    ],
    ids=["another endpoint's", "another body", "too old"],
)
def test_library_refuses(post: Post) -> None:
    with pytest.raises(WebhookVerificationError):
        verify(post, show_secret(secret_of()))


def test_each_endpoint_and_each_number_has_a_secret_of_its_own() -> None:
    secrets = {secret_of("wh_1", 1), secret_of("wh_1", 2), secret_of("wh_2", 1), secret_of("wh_1", 11)}

    assert len(secrets) == 4
    assert {len(secret) for secret in secrets} == {32}
    assert show_secret(secret_of()).startswith("whsec_")


def test_secret_is_gone_with_its_version_of_the_key() -> None:
    assert derive_secret(KEYS, "wh_1", Secret(1, 2)) is None


# ---------------------------------------------------------------- rotation


def test_old_secret_signs_for_as_long_as_was_wanted() -> None:
    rotated = rotate_secrets((Secret(1, 1),), 3, timedelta(hours=24), NOW)

    assert rotated == (Secret(2, 3), Secret(1, 1, after(86_400)))
    assert signing_secrets(rotated, after(86_399)) == rotated
    assert signing_secrets(rotated, after(86_400)) == (Secret(2, 3),)


def test_old_secret_ends_at_once_where_it_became_known() -> None:
    assert rotate_secrets((Secret(1, 1),), 1, timedelta(0), NOW) == (Secret(2, 1),)


def test_second_rotation_does_not_prolong_the_first() -> None:
    first = rotate_secrets((Secret(1, 1),), 1, timedelta(hours=1), NOW)

    second = rotate_secrets(first, 1, timedelta(hours=24), after(60))

    assert second == (Secret(3, 1), Secret(2, 1, after(86_460)), Secret(1, 1, after(3600)))


def test_few_secrets_sign_however_often_they_are_rotated() -> None:
    secrets: tuple[Secret, ...] = ()
    for _ in range(10):
        secrets = rotate_secrets(secrets, 1, timedelta(hours=24), NOW)

    assert [each.number for each in secrets] == [10, 9, 8, 7]
    assert len(secrets) == MAX_SECRETS
