"""The settings and the state of one simulated cluster."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from local.simulators.kubernetes.faults import ClusterFault, ClusterRequest
from local.simulators.route import SimulatedServer
from local.simulators.timing import Timeline
from rune.kubernetes.recorded.case import Case
from rune.kubernetes.recorded.cluster import ApiServer
from rune.kubernetes.recorded.loading import load_suite
from rune.kubernetes.recorded.readers import ADMIN, RUNE_READER, Reader
from rune.kubernetes.recorded.staging import Stage, stage

SUITE = "kubernetes-classics"
READER_TOKEN = "simulated-reader-token"  # noqa: S105  # of a simulator
ADMIN_TOKEN = "simulated-admin-token"  # noqa: S105  # of a simulator
SHOP_TOKEN = "simulated-shop-token"  # noqa: S105  # of a simulator
_FRESH = timedelta(seconds=20)
"""How long a live cluster shows the same instant; what is relative to it moves on in such steps."""


def find_case(case_id: str) -> Case:
    """Return a case of RUNE's own suite.

    Raises
    ------
    LookupError
        There is none of that id.
    """
    for case in load_suite(SUITE):
        if case.id == case_id:
            return case
    raise LookupError(case_id)


def _usual_tokens() -> Mapping[str, Reader]:
    shop = Reader("system:serviceaccount:shop:rune-reader", namespaces=frozenset({"shop"}))
    return {READER_TOKEN: RUNE_READER, ADMIN_TOKEN: ADMIN, SHOP_TOKEN: shop}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """Settings of one cluster.

    Attributes
    ----------
    case, seed
        What it shows at first.
    tokens
        Rights by bearer token.
    users
        Rights by common name of a client's certificate.
    prefix
        What stands before every path, as Rancher has it: `/k8s/clusters/c-1`.
    is_live
        Whether the case plays now, and not at the instant that it was written for.
    """

    case: str = "case-01"
    seed: int = 0
    tokens: Mapping[str, Reader] = field(default_factory=_usual_tokens, repr=False)
    users: Mapping[str, Reader] = field(default_factory=lambda: {"kubernetes-admin": ADMIN})
    prefix: str = ""
    is_live: bool = True
    faults: tuple[ClusterFault, ...] = ()

    def __post_init__(self) -> None:
        """Check the prefix."""
        if self.prefix and not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", self.prefix):
            raise ValueError(f"{self.prefix!r} is no path without a final slash")


class SimulatedCluster(SimulatedServer[ClusterFault, ClusterRequest]):
    """One cluster: its settings, the case that it shows, faults to come, requests seen."""

    def __init__(self, settings: ClusterSettings | None = None, *, timeline: Timeline | None = None) -> None:
        self.settings = settings or ClusterSettings()
        super().__init__(self.settings.faults, ClusterRequest, timeline)
        self._staged: tuple[datetime, Stage] | None = None
        self.play(find_case(self.settings.case), self.settings.seed)

    def play(self, case: Case, seed: int = 0) -> None:
        """Show another case from now on."""
        self.case, self.seed = case, seed
        self._staged = None

    @property
    def stage(self) -> Stage:
        """The case, as it looks now."""
        now = self.timeline.now().replace(microsecond=0)
        if self._staged is None or (self.settings.is_live and now - self._staged[0] >= _FRESH):
            self._staged = now, stage(self.case, self.seed, now=now if self.settings.is_live else None)
        return self._staged[1]

    @property
    def server(self) -> ApiServer:
        """What answers about the case."""
        return ApiServer(self.stage.world)
