"""The account: `GET /users/current`."""

from local.simulators.vastai.wire import VastAnswer
from local.simulators.vastai.world import VastaiCall, World


def current(world: World, call: VastaiCall) -> VastAnswer:
    """Return the key's owner; `credit` is the prepaid credit left, `balance` belongs to invoices."""
    return VastAnswer(
        status=200,
        body={
            "id": world.user_id,
            "email": "simulated@example.com",
            "username": "simulated",
            "fullname": "Simulated User",
            "credit": round(float(world.account.credit_usd(call.now)), 6),
            "balance": 0.0,
            "balance_threshold": 0.0,
            "balance_threshold_enabled": False,
            "ssh_key": "",
            "host_agreement_accepted": 0,
            "can_pay": True,
            "has_billing": True,
        },
    )
