"""The simulated Vast.ai of the local stack: its machines run, and boot within seconds."""

from dataclasses import dataclass, replace

from local.simulators.ollama import OllamaSettings
from local.simulators.serving import HOST
from local.simulators.vastai.boots import BootScript
from local.simulators.vastai.clock import SkippingClock
from local.simulators.vastai.host import LoopbackHost
from local.simulators.vastai.settings import VastaiSettings
from local.simulators.vastai.simulator import SimulatedVastai

QUICK_BOOT = BootScript(null_seconds=0.5, loading_seconds=2.5, restart_seconds=1.0, slow_app_seconds=60.0)
QUICK_DOWNLOAD_BYTES_PER_SECOND = 1.25e9
"""llama3.1:8b takes four seconds."""


@dataclass(frozen=True, slots=True)
class LocalVastai:
    """A simulator with its clock and its machines."""

    vastai: SimulatedVastai
    clock: SkippingClock
    host: LoopbackHost

    @classmethod
    def create(
        cls, settings: VastaiSettings | None = None, *, ollama: OllamaSettings | None = None
    ) -> "LocalVastai":
        """Return a new one, with `quick_settings` by default."""
        clock = SkippingClock()
        host = LoopbackHost(clock, ollama or OllamaSettings())
        vastai = SimulatedVastai(settings or quick_settings(), now=clock.epoch_seconds, host=host)
        return cls(vastai, clock, host)


def quick_settings(settings: VastaiSettings | None = None) -> VastaiSettings:
    """Return settings with quick boots and downloads, and machines at 127.0.0.1."""
    return replace(
        settings or VastaiSettings(),
        boot=QUICK_BOOT,
        download_bytes_per_second=QUICK_DOWNLOAD_BYTES_PER_SECOND,
        public_ipaddr=HOST,
    )
