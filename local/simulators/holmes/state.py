"""The settings and the state of one simulated HolmesGPT server."""

from dataclasses import dataclass, field

from local.simulators.holmes.faults import HolmesFault, HolmesRequest
from local.simulators.route import SimulatedServer
from local.simulators.timing import Timeline

MODELS = ("fast-model", "accurate-model")
TOOLS = ("kubectl_describe", "kubectl_logs")


@dataclass(frozen=True, slots=True, kw_only=True)
class HolmesSettings:
    """Settings of one server.

    Attributes
    ----------
    models
        Names in its modelList. As in the real server, the first answers for every unknown name.
    api_key
        Value of `HOLMES_API_KEY`; with None no key is needed.
    delay_seconds
        Duration of an investigation.
    tools
        Tools of each investigation, in order.
    models_as_text
        Whether `/api/model` returns its list as JSON text, as the server does, or as a list, as its documentation
        shows.
    reports_tokens
        Whether answers carry token counts in their metadata.
    reports_costs
        Whether these count the whole investigation too, as since 0.45.
    streams
        Whether `stream` is known. As in servers before, other fields of the body are ignored.
    takes_unknown_fields
        Whether a body with a field that is not known is taken, such as `stream`; False refuses it with 422.
    """

    models: tuple[str, ...] = MODELS
    api_key: str | None = field(default=None, repr=False)
    delay_seconds: float = 0.5
    tools: tuple[str, ...] = TOOLS
    models_as_text: bool = True
    reports_tokens: bool = True
    reports_costs: bool = True
    streams: bool = True
    takes_unknown_fields: bool = True
    faults: tuple[HolmesFault, ...] = ()


class SimulatedHolmes(SimulatedServer[HolmesFault, HolmesRequest]):
    """One server: its settings, faults to come, requests seen."""

    def __init__(self, settings: HolmesSettings | None = None, *, timeline: Timeline | None = None) -> None:
        self.settings = settings or HolmesSettings()
        super().__init__(self.settings.faults, HolmesRequest, timeline)
