"""One contract: the order, and its states in time, past and planned."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from local.simulators.vastai.bills import Bill, Prices, compute_bill, seconds_up
from local.simulators.vastai.boots import BootFailure, BootScript, Moment, stopped
from local.simulators.vastai.machines import (
    DIGEST_VARIABLE,
    HOST_VARIABLE,
    SERVER_PORT,
    RentedMachine,
    Stream,
    Traffic,
    listens_on_loopback,
    starts_proxy,
    starts_server,
)
from local.simulators.vastai.market import Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was ordered, template and request merged.

    Attributes
    ----------
    env
        Variables alone.
    port_keys
        Such as `11434/tcp`, in the order of the request.
    extra_env
        As shown: variables and docker flags.
    bid_usd_per_hour
        None for an on-demand instance.
    """

    image: str
    runtype: str
    disk_gb: float
    label: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    extra_env: dict[str, str] = field(default_factory=dict)
    port_keys: tuple[str, ...] = ()
    onstart: str | None = None
    args: tuple[str, ...] = ()
    template_id: int | None = None
    template_hash: str | None = None
    template_name: str | None = None
    bid_usd_per_hour: float | None = None
    is_stopped: bool = False

    @property
    def port_count(self) -> int:
        """How many public ports it takes."""
        if self.runtype.startswith("jupyter_direc"):
            return len(self.port_keys) + 2
        return len(self.port_keys) + (1 if self.runtype.startswith("ssh_direc") else 0)


@dataclass(frozen=True, slots=True)
class Rise:
    """A price of the GPUs from a time on."""

    at: float
    usd_per_hour: float


@dataclass(slots=True, kw_only=True)
class Contract:
    """One contract, existing or ended.

    Attributes
    ----------
    contract_id
        The instance's id.
    usd_per_hour
        Of its GPUs while it runs; for a bid, the bid.
    moments
        Its states in time, past and planned.
    host_port
        Where its server is reached; None while no container runs.
    applied_count
        Moments that have been applied.
    listed_at
        From when lists show it.
    hidden_reads_count
        Single reads that will still return null.
    destroyed_by
        `account`, `scoped`, `instance` or `provider`; None while it exists.
    is_foreign
        Whether another user of the account made it.
    traffic
        Of its server, as its host counts it.
    foreign_traffic, streams
        Of others who use its open port: what they have moved, and what they move steadily.
    rise
        Of its price, to come.
    stopped_disk_factor
        How many times dearer its disk is while it is stopped.
    account_env
        Variables that the account gives to every container.
    bandwidth_ratio
        What its host really has of the bandwidth that its offer stated.
    """

    contract_id: int
    listing: Listing
    order: Order
    boot: BootScript
    label: str | None
    usd_per_hour: float
    created_at: float
    moments: list[Moment]
    image_gb: float
    public_ipaddr: str
    listed_at: float = 0.0
    hidden_reads_count: int = 0
    host_port: int | None = None
    applied_count: int = 0
    traffic: Traffic = field(default_factory=Traffic)
    foreign_traffic: Traffic = field(default_factory=Traffic)
    streams: list[Stream] = field(default_factory=list)
    rise: Rise | None = None
    stopped_disk_factor: float = 1.0
    destroyed_by: str | None = None
    is_foreign: bool = False
    account_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    bandwidth_ratio: float = 1.0

    @property
    def api_key(self) -> str:
        """The key that may start, stop and destroy this instance alone."""
        return sha256(f"instance {self.contract_id}".encode()).hexdigest()

    @property
    def serves(self) -> bool:
        """Whether its container starts Ollama."""
        order = self.order
        if self.boot.failure is BootFailure.WRONG_PORT:
            return False
        if not starts_server(order.image, order.runtype, order.onstart or "", order.args):
            return False
        return self.key_digest is not None or not listens_on_loopback(order.env.get(HOST_VARIABLE, ""))

    @property
    def key_digest(self) -> str | None:
        """SHA-256 of the key that the proxy in front of its server asks for; None where there is none."""
        order = self.order
        return order.env.get(DIGEST_VARIABLE) if starts_proxy(order.runtype, order.args) else None

    @property
    def container_env(self) -> dict[str, str]:
        """Variables in its container: the account's, the instance's own, and those of the order."""
        own = {"CONTAINER_ID": str(self.contract_id), "CONTAINER_API_KEY": self.api_key}
        return {**self.account_env, **own, **self.order.env}

    @property
    def has_port(self) -> bool:
        """Whether the host has enough public ports; otherwise none is mapped."""
        return self.listing.offer.direct_port_count >= self.order.port_count

    def moment(self, now: float) -> Moment:
        """Return the state at a time after its creation."""
        moments = self.moments
        last = moments[-1]
        if last.at <= now:
            return last
        return moments[max(bisect_right(moments, now, key=_time_of) - 1, 0)]

    def replan(self, now: float, planned: Sequence[Moment]) -> None:
        """Replace the states after `now`; the end of the offer still stops the machine.

        A contract that is being destroyed still ends at its planned time.
        """
        count = bisect_right(self.moments, now, key=_time_of)
        ends = [moment for moment in self.moments[count:] if not moment.exists]
        del self.moments[count:]
        # Removed moments must not count as applied.
        self.applied_count = min(self.applied_count, count)
        ends_at = self.listing.ends_at
        if self.destroyed_by is not None and ends:
            planned = [*(moment for moment in planned if moment.exists and moment.at < ends[0].at), *ends]
        self.moments += [
            moment for moment in planned if moment.at < ends_at or moment.at <= now or not moment.exists
        ]
        last = self.moments[-1]
        if last.exists and last.actual != "stopped" and ends_at > now:
            self.moments.append(stopped(ends_at, intended="running", text="the host's offer has ended"))

    def reprice(self, at: float, usd_per_hour: float) -> None:
        """Change what its GPUs cost from a time on, in its present state and in those to come."""
        self.usd_per_hour = usd_per_hour
        moments = [replace(self.moment(at), at=at), *(moment for moment in self.moments if moment.at > at)]
        self.replan(at, [_repriced(moment, usd_per_hour) for moment in moments])

    def bill(self, now: float) -> Bill:
        """Return its cost so far."""
        offer = self.listing.offer
        prices = Prices(
            disk_usd_per_hour=offer.disk_usd_per_hour(self.order.disk_gb),
            download_usd_per_gb=offer.inet_down_usd_per_gb,
            upload_usd_per_gb=offer.inet_up_usd_per_gb,
            image_gb=self.image_gb,
            stopped_disk_factor=self.stopped_disk_factor,
        )
        traffic = sum(
            (self._flown(stream, now) for stream in self.streams), self.traffic + self.foreign_traffic
        )
        return compute_bill(self.contract_id, self.moments, prices, traffic, now)

    def machine(self, started_at: float, download_bytes_per_second: float | None) -> RentedMachine:
        """Return what the host needs to start the container."""
        offer = self.listing.offer
        stated_bytes_per_second = offer.inet_down_mbit_per_second * 1_000_000 / 8
        return RentedMachine(
            contract_id=self.contract_id,
            label=self.label,
            offer=offer,
            image=self.order.image,
            env=self.container_env,
            disk_gb=self.order.disk_gb,
            download_bytes_per_second=(download_bytes_per_second or stated_bytes_per_second)
            * self.bandwidth_ratio,
            opens_at=started_at + self.boot.server_delay_seconds,
            key_digest=self.key_digest,
        )

    def _flown(self, stream: Stream, now: float) -> Traffic:
        seconds = seconds_up(self.moments, stream.since, now)
        received, sent = stream.received_bytes_per_second, stream.sent_bytes_per_second
        return Traffic(round(received * seconds), round(sent * seconds))

    def host_port_of(self, port_key: str) -> int | None:
        """Return the public port of a container's port; only the server's is real."""
        if self.host_port is None:
            return None
        if port_key == f"{SERVER_PORT}/tcp":
            return self.host_port
        return 60_000 + (self.contract_id * 8 + self.order.port_keys.index(port_key)) % 5_000


def _repriced(moment: Moment, usd_per_hour: float) -> Moment:
    return replace(moment, gpu_usd_per_hour=usd_per_hour) if moment.gpu_usd_per_hour else moment


def _time_of(moment: Moment) -> float:
    return moment.at
