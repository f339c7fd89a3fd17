"""Settings of a simulated Vast.ai."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from local.simulators.vastai.boots import BootScript
from local.simulators.vastai.default_market import DEFAULT_OFFERS, DEFAULT_TEMPLATES
from local.simulators.vastai.endpoints import Scope
from local.simulators.vastai.faults import VastaiFault
from local.simulators.vastai.offers import SimulatedOffer
from local.simulators.vastai.templates import SimulatedTemplate

DEFAULT_API_KEY = "vastai-simulator-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class VastaiSettings:
    """Settings of one simulated Vast.ai.

    Attributes
    ----------
    api_key
        The account's own, with every right.
    scoped_keys
        Further keys and their rights.
    credit_usd
        Prepaid at the start.
    image_gb
        Size of every image, billed as a download when it is pulled.
    rate_limits
        Whether calls that come too early are refused.
    unauthorized_status
        For a wrong key: 404 as observed, 401 as documented.
    gone_offer_status
        For an ask that is gone: 404, 410, 400, or 200 with success:false.
    gone_instance_status
        For an instance that is gone: 404, or 200 with success:false.
    boot
        How machines boot whose offer has no `boot`.
    read_lag_count
        Single reads of a new contract that return null.
    list_lag_seconds
        How long lists leave out a new contract.
    log_delay_seconds
        From the request for a log until it can be read.
    charges_lag_seconds
        How late charges appear.
    charges_tell_labels
        Whether they name the label; else the contract's number alone.
    charges_are_messy
        Whether amounts are texts, rows stand in no order, and the last rows of a page come again on the next one.
    account_env
        The account's own environment variables, which every container of it gets.
    download_bytes_per_second
        Of rented machines that pull models; None for each offer's own speed.
    public_ipaddr
        Of every machine, instead of its offer's.
    """

    api_key: str = field(default=DEFAULT_API_KEY, repr=False)
    scoped_keys: Mapping[str, frozenset[Scope]] = field(default_factory=dict, repr=False)
    credit_usd: Decimal = Decimal(100)
    offers: tuple[SimulatedOffer, ...] = DEFAULT_OFFERS
    templates: tuple[SimulatedTemplate, ...] = DEFAULT_TEMPLATES
    image_gb: float = 1.9
    rate_limits: bool = True
    unauthorized_status: int = 404
    gone_offer_status: int = 404
    gone_instance_status: int = 404
    boot: BootScript = field(default_factory=BootScript)
    read_lag_count: int = 0
    list_lag_seconds: float = 0.0
    log_delay_seconds: float = 0.6
    charges_lag_seconds: float = 3_600.0
    charges_tell_labels: bool = True
    charges_are_messy: bool = False
    account_env: Mapping[str, str] = field(
        default_factory=lambda: {"ACCOUNT_SECRET": "simulated"}, repr=False
    )
    download_bytes_per_second: float | None = None
    public_ipaddr: str | None = None
    faults: tuple[VastaiFault, ...] = ()
