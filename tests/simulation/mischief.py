"""Everything that the simulated Vast.ai can do wrong to a job, one thing at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

from local.simulators.faults import FaultKind
from local.simulators.vastai import (
    DEFAULT_OFFERS,
    BootFailure,
    BootScript,
    Counted,
    Endpoint,
    Loss,
    RetryAfterIn,
    SimulatedOffer,
    VastaiFault,
    VastaiFaultKind,
    VastaiSettings,
)
from rune.jobs.record import Kind

QUICK_BOOT = BootScript(null_seconds=2.0, loading_seconds=4.0)
"""Every look at a booting machine is a turn; what matters happens in the first few."""

MARKET: tuple[SimulatedOffer, ...] = tuple(
    offer for offer in DEFAULT_OFFERS if offer.machine_id in {27_101, 27_201, 27_202, 27_203, 27_204, 27_901}
)
"""Five machines that will do, one that will not: few enough that a search takes no time."""

LISTING_REFUSALS = (
    VastaiFaultKind.UNAUTHORIZED,
    VastaiFaultKind.FORBIDDEN,
    VastaiFaultKind.NO_MEMBERS,
    VastaiFaultKind.TOO_FREQUENT,
    VastaiFaultKind.SERVER_ERROR,
)
"""Ways in which listings alone fail, while machines can be ordered and destroyed."""

SETTINGS = VastaiSettings(offers=MARKET, boot=QUICK_BOOT, credit_usd=Decimal(1000))

_BENCHMARK = (Kind.BENCHMARK,)
_BOTH = (Kind.BENCHMARK, Kind.LLM_INSTANCE)


@dataclass(frozen=True, eq=False)
class Mischief:
    """One thing that goes wrong.

    Attributes
    ----------
    kinds
        Jobs to which it may make a difference.
    late_orders_seconds
        How long the next orders are under way, so that their answers are lost.
    broke_after_seconds
        When the account's money is gone; None never.
    foreign_machines
        Further machines of the same account, besides those that always exist.
    new_key_after_seconds
        When the account gets another key; None never.
    other_account_after_seconds
        When the deployment gets the key of another account, for ten minutes; None never.
    """

    name: str
    faults: tuple[VastaiFault, ...] = ()
    kinds: tuple[Kind, ...] = _BENCHMARK
    settings: VastaiSettings = field(default=SETTINGS)
    late_orders_seconds: tuple[float, ...] = ()
    broke_after_seconds: float | None = None
    foreign_machines: int = 0
    new_key_after_seconds: float | None = None
    other_account_after_seconds: float | None = None


def _spoiled_answers() -> Iterator[Mischief]:
    """Yield every call of a rented job, answered wrongly in every way."""
    effects = {Endpoint.CREATE, Endpoint.DESTROY}
    ways = (
        VastaiFault(kind=VastaiFaultKind.TOO_FREQUENT),
        VastaiFault(kind=VastaiFaultKind.SERVER_ERROR),
        VastaiFault(kind=VastaiFaultKind.BAD_GATEWAY),
        VastaiFault(kind=FaultKind.REFUSED),
        VastaiFault(kind=FaultKind.REFUSED, status=400),
        VastaiFault(kind=VastaiFaultKind.NO_MEMBERS),
        VastaiFault(kind=FaultKind.NOT_JSON),
        VastaiFault(kind=VastaiFaultKind.UNAUTHORIZED),
        VastaiFault(kind=VastaiFaultKind.FORBIDDEN),
        VastaiFault(kind=FaultKind.DISCONNECTED),
        VastaiFault(kind=FaultKind.HANG),
    )
    done_all_the_same: set[FaultKind | VastaiFaultKind] = {
        VastaiFaultKind.SERVER_ERROR,
        VastaiFaultKind.BAD_GATEWAY,
        VastaiFaultKind.NO_MEMBERS,
    }
    done_all_the_same |= {FaultKind.NOT_JSON, FaultKind.DISCONNECTED, FaultKind.HANG}
    for endpoint in (Endpoint.SEARCH, Endpoint.USER, Endpoint.CREATE, Endpoint.LIST, Endpoint.DESTROY):
        kinds = _BOTH if endpoint is Endpoint.DESTROY else _BENCHMARK
        for way in ways:
            status = "" if way.status is None else f"_{way.status}"
            # A listing goes wrong while the machine boots, and again when its end is to be proven.
            times = 4 if endpoint is Endpoint.LIST else 1
            fault = replace(way, endpoint=endpoint, times=times)
            yield Mischief(f"{endpoint}_{way.kind}{status}", (fault,), kinds)
            if endpoint in effects and way.kind in done_all_the_same:
                done = replace(fault, after_effect=True)
                yield Mischief(f"{endpoint}_{way.kind}_after_effect", (done,), kinds)


def _refused_orders() -> Iterator[Mischief]:
    """Yield every refusal of an order, under every status that has been seen."""
    statuses: dict[VastaiFaultKind, tuple[int | None, ...]] = {
        VastaiFaultKind.ASK_GONE: (404, 410, 400, 200),
        VastaiFaultKind.UNAVAILABLE: (None,),
        VastaiFaultKind.LOW_BID: (400, 200),
        VastaiFaultKind.INSUFFICIENT_CREDIT: (400, 200),
        VastaiFaultKind.SPEND_RATE_LIMIT: (None,),
        VastaiFaultKind.MISSING_BILLING: (None,),
    }
    for kind, known in statuses.items():
        for status in known:
            name = kind.value if status is None else f"{kind}_{status}"
            yield Mischief(f"create_{name}", (VastaiFault(kind=kind, status=status),))
    for name, factor in (("within_the_limit", 1.2), ("beyond_the_limit", 50.0)):
        dearer = VastaiFault(kind=VastaiFaultKind.DEARER, price_factor=factor)
        yield Mischief(f"create_dearer_{name}", (dearer,), _BOTH)
    yield Mischief("every_ask_gone", (VastaiFault(kind=VastaiFaultKind.ASK_GONE, times=None),))
    busy = VastaiFault(kind=VastaiFaultKind.TOO_FREQUENT, endpoint=Endpoint.CREATE, retry_after_seconds=7.0)
    yield Mischief("create_busy_header", (busy,))
    yield Mischief("create_busy_json", (replace(busy, retry_after_in=RetryAfterIn.JSON),))


def _lost_orders() -> Iterator[Mischief]:
    """Yield orders whose answer is lost, and whose machine shows late or is made late."""
    lost = VastaiFault(kind=FaultKind.DISCONNECTED, endpoint=Endpoint.CREATE, after_effect=True)
    for seconds in (20.0, 60.0):
        lag = VastaiFault(kind=VastaiFaultKind.READ_LAG, delay_seconds=seconds, reads_count=3)
        yield Mischief(f"create_shown_after_{seconds:.0f}s", (lag,))
        yield Mischief(f"create_lost_shown_after_{seconds:.0f}s", (lag, lost))
    for seconds in (30.0, 80.0, 100.0, 250.0):
        # The last two come after the order was given up: another one may have been sent by then.
        yield Mischief(f"create_made_after_{seconds:.0f}s", late_orders_seconds=(seconds,))


def _bad_boots() -> Iterator[Mischief]:
    """Yield machines that never get ready, and ones that take their time."""
    for failure in BootFailure:
        yield Mischief(f"boot_{failure}", (VastaiFault(kind=VastaiFaultKind.BOOT, boot=failure),))
    every = tuple(VastaiFault(kind=VastaiFaultKind.BOOT, boot=BootFailure.EXITED) for _ in range(3))
    yield Mischief("every_boot_exits", every)
    lagging = replace(QUICK_BOOT, created_seconds=3.0, port_lag_seconds=6.0, app_delay_seconds=12.0)
    yield Mischief("boot_lags", settings=replace(SETTINGS, boot=lagging))


def _bad_hosts() -> Iterator[Mischief]:
    """Yield machines that pull slower than they state, or whose disk is dearer once they are stopped."""
    slow = VastaiFault(kind=VastaiFaultKind.SLOW_HOST, bandwidth_ratio=0.2)
    yield Mischief("slow_host", (slow,), _BOTH)
    yield Mischief("very_slow_host", (replace(slow, bandwidth_ratio=0.004),), _BOTH)
    stopped = VastaiFault(kind=VastaiFaultKind.LOSS, loss=Loss.STOPPED, delay_seconds=20.0)
    dearer = VastaiFault(kind=VastaiFaultKind.STORAGE_DEARER, price_factor=4.0)
    yield Mischief("lost_stopped_with_dearer_storage", (dearer, stopped))


def _losses() -> Iterator[Mischief]:
    """Yield machines lost while they download, load and answer, and while they are kept."""
    for loss in Loss:
        for seconds in (3.0, 20.0, 60.0):
            fault = VastaiFault(kind=VastaiFaultKind.LOSS, loss=loss, delay_seconds=seconds)
            yield Mischief(f"lost_{loss}_after_{seconds:.0f}s", (fault,))
        kept = VastaiFault(kind=VastaiFaultKind.LOSS, loss=loss, delay_seconds=110.0)
        yield Mischief(f"lost_{loss}_while_kept", (kept,), (Kind.LLM_INSTANCE,))
    yield Mischief("out_of_credit_from_the_start", settings=replace(SETTINGS, credit_usd=Decimal("0.05")))
    yield Mischief("out_of_credit_meanwhile", broke_after_seconds=40.0)


def _bad_ends() -> Iterator[Mischief]:
    """Yield machines that are not so easily destroyed."""
    ignored = VastaiFault(kind=VastaiFaultKind.DESTROY_IGNORED, times=2)
    slow = VastaiFault(kind=VastaiFaultKind.DESTROY_SLOW, delay_seconds=40.0)
    storm = VastaiFault(kind=VastaiFaultKind.TOO_FREQUENT, endpoint=Endpoint.DESTROY, times=6)
    down = VastaiFault(kind=VastaiFaultKind.BAD_GATEWAY, endpoint=Endpoint.DESTROY, times=8)
    yield Mischief("destroy_ignored", (ignored,), _BOTH)
    yield Mischief("destroy_slow", (slow,), _BOTH)
    yield Mischief("destroy_busy_storm", (storm,), _BOTH)
    yield Mischief("destroy_down_for_long", (down,), _BOTH)
    gone = replace(SETTINGS, gone_instance_status=200)
    yield Mischief("destroy_twice_with_200", (replace(slow, delay_seconds=5.0),), settings=gone)


def _bad_listings() -> Iterator[Mischief]:
    """Yield listings that are long, or fail for a long time or in their middle."""
    yield Mischief("listing_of_two_pages", foreign_machines=30)
    page = VastaiFault(kind=VastaiFaultKind.BAD_GATEWAY, endpoint=Endpoint.LIST, after_requests=1, times=1)
    # Every other page fails, so that a listing is never seen whole until they are used up.
    halves = tuple(replace(page, after_requests=1 + n) for n in range(3))
    yield Mischief("listing_breaks_off_in_its_middle", halves, foreign_machines=30)
    for kind in LISTING_REFUSALS:
        down = VastaiFault(kind=kind, endpoint=Endpoint.LIST, times=25)
        yield Mischief(f"listing_{kind}_for_long", (down,), _BOTH)
    for times in (1, 8):
        missing = VastaiFault(kind=VastaiFaultKind.ROWS_MISSING, times=times, after_requests=2)
        yield Mischief(f"listing_lacks_rows_{times}_times", (missing,), _BOTH)
        for counted in (Counted.LOWERED, Counted.ABSENT):
            untold = replace(missing, counted=counted)
            yield Mischief(f"listing_lacks_rows_{times}_times_{counted}", (untold,), _BOTH)
    lagging = replace(SETTINGS, list_lag_seconds=25.0)
    yield Mischief("listing_lags", settings=lagging)


def _bad_searches() -> Iterator[Mischief]:
    """Yield searches that find nothing, or too much."""
    yield Mischief("search_quota", (VastaiFault(kind=VastaiFaultKind.SEARCH_QUOTA),))
    yield Mischief("search_ignores_filters", (VastaiFault(kind=VastaiFaultKind.FILTERS_IGNORED),))
    yield Mischief("search_finds_nothing", settings=replace(SETTINGS, offers=()))
    strict = replace(SETTINGS, unauthorized_status=401)
    wrong_key = VastaiFault(kind=VastaiFaultKind.UNAUTHORIZED, times=None)
    for seconds in (0.5, 20.0, 100.0):
        yield Mischief(f"key_changed_after_{seconds:g}s", kinds=_BOTH, new_key_after_seconds=seconds)
    yield Mischief("key_revoked_401", (replace(wrong_key, times=12),), settings=strict)
    yield Mischief("key_revoked_meanwhile", (replace(wrong_key, after_requests=4, times=30),), _BOTH)


MISCHIEFS: tuple[Mischief, ...] = (
    Mischief("nothing", kinds=_BOTH),
    *_spoiled_answers(),
    *_refused_orders(),
    *_lost_orders(),
    *_bad_boots(),
    *_bad_hosts(),
    *_losses(),
    *_bad_ends(),
    *_bad_listings(),
    *_bad_searches(),
)

WRONG_KEYS: tuple[Mischief, ...] = tuple(
    Mischief(f"key_of_another_account_after_{seconds:g}s", kinds=_BOTH, other_account_after_seconds=seconds)
    for seconds in (20.0, 60.0, 100.0)
)
"""Apart from the others, because after a death the job orders later: then with the other account's key, which alone
can destroy that machine."""
