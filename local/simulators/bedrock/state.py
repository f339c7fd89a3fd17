"""The state of one simulated region."""

from local.simulators.bedrock.faults import BedrockFault
from local.simulators.bedrock.settings import BedrockSettings
from local.simulators.request_log import ServerRequest
from local.simulators.route import SimulatedServer
from local.simulators.timing import Timeline


class SimulatedBedrock(SimulatedServer[BedrockFault, ServerRequest]):
    """One region: its models, faults to come, requests seen."""

    def __init__(self, settings: BedrockSettings | None = None, *, timeline: Timeline | None = None) -> None:
        self.settings = settings or BedrockSettings()
        super().__init__(self.settings.faults, ServerRequest, timeline)
