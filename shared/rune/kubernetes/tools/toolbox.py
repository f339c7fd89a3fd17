"""The reading tools over one cluster, as an agent lends them to a model."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import override

from rune.kubernetes.access import Cluster
from rune.kubernetes.tools.arguments import Arguments, read_arguments
from rune.kubernetes.tools.call import Call, Tool
from rune.kubernetes.tools.errors import ToolError
from rune.kubernetes.tools.events import get_events
from rune.kubernetes.tools.listing import list_resources
from rune.kubernetes.tools.logs import get_logs
from rune.kubernetes.tools.objects import get_resource
from rune.kubernetes.tools.overview import cluster_overview
from rune.kubernetes.tools.reader import ClusterReader, UnknownNameError
from rune.kubernetes.tools.results import Writer
from rune.kubernetes.tools.rollouts import get_rollout
from rune.kubernetes.tools.services import check_service
from rune.kubernetes.tools.specs import SPECS
from rune.kubernetes.tools.usage import get_usage
from rune.llm.fields import mend_text
from rune.llm.protocol import ToolSpec
from rune.llm.toolbox import Toolbox, ToolResult

_TOOLS: Mapping[str, Tool] = {
    "cluster_overview": cluster_overview,
    "list_resources": list_resources,
    "get_resource": get_resource,
    "get_events": get_events,
    "get_logs": get_logs,
    "get_rollout": get_rollout,
    "get_usage": get_usage,
    "check_service": check_service,
}
_SPECS = {spec.name: spec for spec in SPECS}
_MAX_NAME_CHARS = 64


class KubernetesToolbox(Toolbox):
    """Tools that read a cluster, and only read.

    Parameters
    ----------
    namespaces
        Which may be read; none for all of them. Objects outside of namespaces may be read in any case.
    now
        Against which ages are told; a recorded case has its own.
    secrets
        The job's own credentials, which no result may repeat.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespaces: Sequence[str] = (),
        *,
        now: Callable[[], datetime],
        secrets: Sequence[str] = (),
    ) -> None:
        self._reader = ClusterReader(cluster, namespaces, secrets=secrets)
        self._now = now
        self._secrets = tuple(secrets)

    @property
    @override
    def specs(self) -> tuple[ToolSpec, ...]:
        return SPECS

    @override
    async def run(
        self, name: str, arguments: Mapping[str, object], *, result_id: str, max_bytes: int
    ) -> ToolResult:
        now = self._now()
        read = Arguments({}, {}, {})
        try:
            tool, spec = _TOOLS.get(name), _SPECS.get(name)
            if tool is None or spec is None:
                shown = mend_text(name)[:_MAX_NAME_CHARS]
                raise UnknownNameError("tool", shown, tuple(_TOOLS))  # written as every refusal
            read = read_arguments(spec, arguments)
            text = await tool(Call(self._reader, read, now))
        except ToolError as error:
            writer = Writer(result_id, now, max_bytes, self._secrets, read.ignored)
            return writer.write_error(error, {"tool": mend_text(name)[:_MAX_NAME_CHARS], **read.scope()})
        return Writer(result_id, now, max_bytes, self._secrets, read.ignored).write(text)

    @override
    async def aclose(self) -> None:
        await self._reader.aclose()
