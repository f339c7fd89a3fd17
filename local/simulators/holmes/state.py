"""One simulated HolmesGPT server, whole."""

from dataclasses import dataclass, field

from local.simulators.holmes.faults import Fault, FaultScript, RequestLog
from local.simulators.timing import RealTimeline, Timeline

MODELS = ("fast-model", "accurate-model")
TOOLS = ("kubectl_describe", "kubectl_logs")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedHolmesSettings:
    """Everything that can be chosen about one server.

    Attributes
    ----------
    models
        Names in its modelList. The first answers for every name that it does not know, as in the real server.
    api_key
        What `HOLMES_API_KEY` holds; None lets everybody in.
    delay_seconds
        How long an investigation takes.
    tools
        Tools that each investigation uses, in order.
    models_as_text
        Whether `/api/model` gives its list as JSON within JSON, as the server does, or as a list, as its
        documentation shows.
    reports_tokens
        Whether answers carry token counts in their metadata.
    """

    models: tuple[str, ...] = MODELS
    api_key: str | None = field(default=None, repr=False)
    delay_seconds: float = 0.5
    tools: tuple[str, ...] = TOOLS
    models_as_text: bool = True
    reports_tokens: bool = True
    faults: tuple[Fault, ...] = ()


class SimulatedHolmes:
    """All that one server knows: its settings, faults to come, requests seen."""

    def __init__(
        self, settings: SimulatedHolmesSettings | None = None, *, timeline: Timeline | None = None
    ) -> None:
        self.settings = settings or SimulatedHolmesSettings()
        self.timeline = timeline or RealTimeline()
        self.faults = FaultScript(self.settings.faults)
        self.requests = RequestLog()
