"""One simulated region, whole."""

from local.simulators.bedrock.faults import FaultScript, RequestLog
from local.simulators.bedrock.settings import BedrockSettings
from local.simulators.timing import RealTimeline, Timeline


class SimulatedBedrock:
    """All that one region knows: its models, faults to come, requests seen.

    Attributes
    ----------
    faults
        What is to go wrong; add to it at any time.
    requests
        What was asked, oldest first.
    """

    def __init__(self, settings: BedrockSettings | None = None, *, timeline: Timeline | None = None) -> None:
        self.settings = settings or BedrockSettings()
        self.timeline = timeline or RealTimeline()
        self.faults = FaultScript(self.settings.faults)
        self.requests = RequestLog()
