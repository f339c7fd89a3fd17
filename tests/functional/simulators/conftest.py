from collections.abc import Iterator

import httpx
import ollama
import pytest

from local.simulators.kubernetes import Authority
from local.simulators.ollama import OllamaSettings, SimulatedOllama, create_app
from local.simulators.serving import running_server
from local.simulators.timing import Timeline
from tests.functional.simulators.cluster_hosting import HostedCluster
from tests.functional.simulators.hosting import Host
from tests.functional.simulators.ollama_harness import FAST, Simulate


@pytest.fixture(scope="package")
def host() -> Iterator[Host]:
    hosted = Host.empty()
    with running_server(hosted) as address:
        hosted.address = address
        yield hosted


@pytest.fixture(scope="package")
def hosted_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedCluster]:
    authority = Authority.make()
    files = authority.write_server(tmp_path_factory.mktemp("cluster"))
    hosted = Host.empty()
    with running_server(hosted, tls=files) as address:
        hosted.address = address
        yield HostedCluster(hosted, authority)


@pytest.fixture(scope="package")
def http(host: Host) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host.address, timeout=20) as opened:
        yield opened


@pytest.fixture(scope="package")
def ollama_client(host: Host) -> Iterator[ollama.Client]:
    with ollama.Client(host.address, timeout=20) as opened:
        yield opened


@pytest.fixture
def simulate_ollama(host: Host) -> Simulate:
    def start(settings: OllamaSettings = FAST, *, timeline: Timeline | None = None) -> SimulatedOllama:
        state = SimulatedOllama(settings, timeline=timeline)
        host.app = create_app(state)
        return state

    return start


@pytest.fixture
def simulated_ollama(simulate_ollama: Simulate) -> SimulatedOllama:
    return simulate_ollama()
