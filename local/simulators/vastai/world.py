"""The state of one simulated Vast.ai, and one request as its routes see it."""

import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal

from local.simulators.request_log import RequestLog
from local.simulators.vastai.account import FIRST_CONTRACT_ID, Account
from local.simulators.vastai.contracts import Contract
from local.simulators.vastai.endpoints import Endpoint
from local.simulators.vastai.faults import VastaiFaults
from local.simulators.vastai.logs import LogStore
from local.simulators.vastai.machines import MachineHost
from local.simulators.vastai.market import Market
from local.simulators.vastai.rate_limits import Identity, RateLimiter
from local.simulators.vastai.request_log import VastaiRequest
from local.simulators.vastai.settings import VastaiSettings
from local.simulators.vastai.wire import Json, VastAnswer, VastRequest

FIRST_USER_ID = 123_456
CONTRACTS_PER_ACCOUNT = 1_000_000
"""Between the ids of two accounts' first contracts."""


class World:
    """Market, account, templates, logs and faults, as one account sees them."""

    def __init__(self, settings: VastaiSettings, now: float, host: MachineHost) -> None:
        self.settings = settings
        self.user_id = FIRST_USER_ID
        self.began_at = now
        self.hid_rows_at = -math.inf
        """When a listing last lacked rows without a sign of it."""
        self.market = Market(settings.offers, now)
        self.account = Account(
            settings.credit_usd,
            self.market,
            host,
            download_bytes_per_second=settings.download_bytes_per_second,
        )
        self.templates = {template.hash_id: template for template in settings.templates}
        self.logs = LogStore(settings.log_delay_seconds)
        self.limiter = RateLimiter()
        self.faults = VastaiFaults(settings.faults)
        self.requests = RequestLog(VastaiRequest)

    def other_account(self, api_key: str, credit_usd: Decimal, host: MachineHost, number: int) -> "World":
        """Return the same market as another account sees it, with its own key, contracts and credit."""
        other = copy(self)
        other.settings = replace(self.settings, api_key=api_key, scoped_keys={})
        other.user_id = FIRST_USER_ID + number
        other.account = Account(
            credit_usd,
            self.market,
            host,
            download_bytes_per_second=self.settings.download_bytes_per_second,
            first_contract_id=FIRST_CONTRACT_ID + number * CONTRACTS_PER_ACCOUNT,
        )
        return other

    def find(self, contract_id: int | None) -> Contract | None:
        """Return an instance that exists."""
        return None if contract_id is None else self.account.live.get(contract_id)

    def machine_of(self, endpoint: Endpoint, number: int | None) -> int | None:
        """Return the machine that the number in a path means."""
        if number is None:
            return None
        if endpoint is Endpoint.CREATE:
            listing = self.market.find(number)
            return listing.offer.machine_id if listing else None
        contract = self.account.instances.get(number)
        return contract.listing.offer.machine_id if contract else None


@dataclass(frozen=True, slots=True)
class VastaiCall:
    """One request that is allowed.

    Attributes
    ----------
    number
        In its path.
    body
        The JSON object sent; empty where the body is anything else.
    """

    request: VastRequest
    endpoint: Endpoint
    identity: Identity
    now: float
    number: int | None
    body: Json


type Handler = Callable[[World, VastaiCall], VastAnswer]
