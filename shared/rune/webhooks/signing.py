"""Standard Webhooks 1.0.0: the secret of an endpoint, and the headers of an attempt.

No secret is stored. It follows from the deployment's key, from whose it is, and from a number that each rotation
raises.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hmac
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256

from rune.signing_keys import Purpose, SigningKeys
from rune.webhooks.record import Secret

SECRET_PREFIX = "whsec_"  # noqa: S105  # what every shown secret begins with


def derive_secret(keys: SigningKeys, owner: str, secret: Secret) -> bytes | None:
    """Return the 32 bytes that sign for an owner; None where the version of the key is taken away."""
    return keys.derive(Purpose.WEBHOOK, secret.key_version, owner, str(secret.number))


def show_secret(secret: bytes) -> str:
    """Return the secret as receivers configure it."""
    return SECRET_PREFIX + b64encode(secret).decode()


def sign(secrets: Iterable[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of one attempt.

    Parameters
    ----------
    secrets
        All that are valid, the newest first: a receiver needs one of them.
    message_id
        The same for all attempts; without a full stop, which parts the signed text.
    timestamp
        Seconds since 1970 of this attempt; receivers refuse what is older than five minutes.
    body
        The very bytes that are sent.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [b64encode(hmac.digest(secret, signed, sha256)).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
