"""One TLS server for many tests, with a new simulated cluster for each."""

from dataclasses import dataclass

from local.simulators.kubernetes import Authority, ClusterSettings, SimulatedCluster, create_app
from tests.functional.simulators.hosting import Host


@dataclass(frozen=True)
class HostedCluster:
    """A server's address and authority; `start` puts a cluster behind it."""

    host: Host
    authority: Authority

    @property
    def address(self) -> str:
        return self.host.address

    def start(self, settings: ClusterSettings | None = None) -> SimulatedCluster:
        state = SimulatedCluster(settings)
        self.host.app = create_app(state)
        return state
