"""Networks that the operator allows, as a deployment may use them."""

from rune.net.addresses import AddressPolicy
from rune.settings import LOCAL_STAGE
from rune.tenants.entries import RefusedEntry, log_refused

VARIABLE = "RUNE_ALLOWED_NETWORKS"

_REASON = "It holds addresses of the function's own machine or link, which are never allowed on AWS."


def read_networks(text: str, stage: str) -> AddressPolicy:
    """Return the policy for a deployment's networks; what may not be allowed has no effect and rings an alarm.

    The local stack allows loopback, where its model servers are.

    Raises
    ------
    SettingsError
        An entry is no network.
    """
    if stage == LOCAL_STAGE:
        return AddressPolicy.parse(text)
    policy, refused = AddressPolicy.parse_on_aws(text)
    log_refused(tuple(RefusedEntry(f"{VARIABLE}/{number}", _REASON) for number in refused))
    return policy
