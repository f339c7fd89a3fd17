"""The secret of a tenant that signs what is sent to the `callback_url` of its jobs."""

from datetime import datetime, timedelta

from rune.errors import SigningKeyMissingError, StoreUnavailableError
from rune.signing_keys import SigningKeys
from rune.storage.change import IsBelow, make_change
from rune.webhooks.lifecycle import rotate_secrets
from rune.webhooks.record import Secret
from rune.webhooks.store import WebhookStore

TRIES = 4


def read_callback_secrets(
    store: WebhookStore, keys: SigningKeys, tenant: str, now: datetime
) -> tuple[Secret, ...]:
    """Return the tenant's, the present one first; the first one is made when it is needed.

    None without a key of the deployment.
    """
    found = store.read_tenant(tenant, now).callback_secrets
    if found or keys.version is None:
        return found
    return rotate_callback_secret(store, keys, tenant, now, timedelta(0), only_first=True)


def rotate_callback_secret(  # whose, by what, and until when
    store: WebhookStore,
    keys: SigningKeys,
    tenant: str,
    now: datetime,
    overlap: timedelta,
    *,
    only_first: bool = False,
) -> tuple[Secret, ...]:
    """Give the tenant another secret; return those that sign now, the new one first.

    Parameters
    ----------
    only_first
        Whether one that is there already is left as it is.

    Raises
    ------
    SigningKeyMissingError
        The deployment has no key.
    StoreUnavailableError
        The store cannot be reached, or others write all the time.
    """
    if keys.version is None:
        raise SigningKeyMissingError
    for _ in range(TRIES):
        found = store.read_tenant(tenant, now)
        if found.callback_secrets and only_first:
            return found.callback_secrets
        secrets = rotate_secrets(found.callback_secrets, keys.version, overlap, now)
        change = make_change(
            "rotate",
            now,
            # As it was read: the version only rises, and an absent one counts as 0.
            requires=(IsBelow("version", found.version + 1),),
            sets={"callback_secrets": secrets},
        )
        if store.update_tenant(tenant, change):
            return secrets
    raise StoreUnavailableError("Others write the tenant's webhooks all the time.")
