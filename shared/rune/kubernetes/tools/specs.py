"""What the model is told of the tools. All of it goes with every turn, so every word costs (a test counts)."""

from collections.abc import Mapping, Sequence

from rune.llm.protocol import ToolSpec

MAX_LOG_LINES = 200
MAX_EVENT_MINUTES = 10_080

_NAMESPACE = {"type": "string"}
_ANY_NAMESPACE = {"type": "string", "description": "Default: all that may be read."}
_NAME = {"type": "string"}


def _spec(
    name: str, description: str, properties: Mapping[str, object], required: Sequence[str] = ()
) -> ToolSpec:
    return ToolSpec(
        name, description, {"type": "object", "properties": dict(properties), "required": list(required)}
    )


SPECS = (
    _spec(
        "cluster_overview",
        "What looks unhealthy now: nodes, workloads, pods, jobs, claims, autoscalers, services without endpoints, "
        "recent warnings, and what may not be read. Begin here.",
        {"namespace": _ANY_NAMESPACE},
    ),
    _spec(
        "list_resources",
        "Objects of one kind as kubectl's table.",
        {
            "kind": {
                "type": "string",
                "description": "Kind, plural or short name; name.group for custom ones.",
            },
            "namespace": _ANY_NAMESPACE,
            "label_selector": {"type": "string", "description": "As a=b,c!=d"},
            "name_contains": {"type": "string"},
            "problems_only": {"type": "boolean"},
        },
        ["kind"],
    ),
    _spec(
        "get_resource",
        "One object: spec, status, conditions, owners, and its last events.",
        {"kind": {"type": "string"}, "name": _NAME, "namespace": _NAMESPACE},
        ["kind", "name"],
    ),
    _spec(
        "get_events",
        "Events grouped by object and reason, newest first. They are kept for about an hour; none proves nothing.",
        {
            "namespace": _ANY_NAMESPACE,
            "kind": {"type": "string"},
            "name": _NAME,
            "warnings_only": {"type": "boolean", "description": "Default true."},
            "minutes": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_EVENT_MINUTES,
                "description": "Default 60.",
            },
        },
    ),
    _spec(
        "get_logs",
        "The end of the logs of a pod, or of up to 3 pods of a workload; repeated lines are folded. A container "
        "that crashes has its cause in previous.",
        {
            "name": {"type": "string", "description": "Pod or workload."},
            "namespace": _NAMESPACE,
            "container": {"type": "string"},
            "previous": {
                "type": "boolean",
                "description": "The run before. Default: also, where a container restarts.",
            },
            "lines": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_LOG_LINES,
                "description": "Default 100.",
            },
            "contains": {"type": "string", "description": "Only lines with this text."},
        },
        ["name", "namespace"],
    ),
    _spec(
        "get_rollout",
        "Revisions of a Deployment, StatefulSet or DaemonSet, and what changed in the pod template.",
        {"kind": {"type": "string"}, "name": _NAME, "namespace": _NAMESPACE},
        ["kind", "name", "namespace"],
    ),
    _spec(
        "get_usage",
        "CPU and memory used now, against requests, limits and what nodes can give.",
        {
            "what": {"type": "string", "enum": ["pods", "nodes"]},
            "namespace": _ANY_NAMESPACE,
            "name": {"type": "string", "description": "Names that begin so."},
        },
        ["what"],
    ),
    _spec(
        "check_service",
        "A Service's way to its pods: selector, endpoints, ports, network policies, ingresses.",
        {"name": _NAME, "namespace": _NAMESPACE},
        ["name", "namespace"],
    ),
)
"""The reading tools, in the order in which the model sees them."""
