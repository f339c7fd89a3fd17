"""The cells of tables, kind by kind, as the API server prints them (kubernetes/pkg/printers/internalversion).

Each function returns the cells of all columns, the wide ones at the end, as `tables.COLUMNS` names them.
"""

from datetime import datetime
from typing import Any

from rune.kubernetes.quantities import read_quantity
from rune.kubernetes.recorded.documents import Document, dig
from rune.kubernetes.recorded.times import read_time, write_age

type Cells = list[Any]

NONE = "<none>"
UNKNOWN = "<unknown>"
_MAX_SHOWN = 3


def age_of(document: Document, now: datetime) -> str:
    """Return how long ago an object was made."""
    return elapsed(dig(document, "metadata", "creationTimestamp"), now)


def elapsed(stamp: str | None, now: datetime) -> str:
    """Return how long ago a time was, as `kubectl get` writes it."""
    return write_age(now - read_time(stamp)) if stamp else UNKNOWN


def name_of(document: Document) -> str:
    """Return the name of an object."""
    return str(document["metadata"]["name"])


def _labels(labels: Document | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def _selector(selector: Document | None) -> str:
    parts = [f"{key}={value}" for key, value in sorted((dig(selector or {}, "matchLabels") or {}).items())]
    for each in dig(selector or {}, "matchExpressions") or []:
        values = f" ({','.join(each['values'])})" if each.get("values") else ""
        operator = {"In": " in", "NotIn": " notin"}.get(each["operator"], "")
        negation = "!" if each["operator"] == "DoesNotExist" else ""
        parts.append(f"{negation}{each['key']}{operator}{values}")
    return ",".join(parts) or NONE


def _containers(spec: Document) -> tuple[str, str]:
    containers = spec.get("containers") or []
    return ",".join(each["name"] for each in containers), ",".join(each["image"] for each in containers)


def pod(document: Document, now: datetime) -> Cells:
    """STATUS and RESTARTS are printPod's: the reason of the last container that waits or has ended."""
    status = document.get("status") or {}
    reason = _init_reason(document) or _container_reason(document)
    statuses = status.get("containerStatuses") or []
    counted = (
        [*(status.get("initContainerStatuses") or []), *statuses] if reason.startswith("Init:") else statuses
    )
    restarts = sum(each["restartCount"] for each in counted)
    ends = [stamp for each in counted if (stamp := dig(each, "lastState", "terminated", "finishedAt"))]
    shown = str(restarts)
    if restarts and ends:
        shown = f"{restarts} ({elapsed(max(ends), now)} ago)"
    if "deletionTimestamp" in document["metadata"]:
        reason = "Terminating"
    ready = sum(bool(each["ready"] and "running" in each["state"]) for each in statuses)
    total = len(document["spec"]["containers"])
    wide = [status.get("podIP") or NONE, document["spec"].get("nodeName") or NONE, NONE, NONE]
    return [name_of(document), f"{ready}/{total}", reason, shown, age_of(document, now), *wide]


def _init_reason(document: Document) -> str:
    statuses = dig(document, "status", "initContainerStatuses") or []
    for index, each in enumerate(statuses):
        ended, waiting = dig(each, "state", "terminated"), dig(each, "state", "waiting", "reason")
        if ended and ended["exitCode"] == 0:
            continue
        if ended:
            return f"Init:{ended.get('reason') or _exit_text(ended)}"
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{index}/{len(document['spec']['initContainers'])}"
    return ""


def _container_reason(document: Document) -> str:
    status = document.get("status") or {}
    reason = str(status.get("reason") or status.get("phase") or UNKNOWN)
    has_running = False
    for each in reversed(status.get("containerStatuses") or []):
        waiting, ended = dig(each, "state", "waiting", "reason"), dig(each, "state", "terminated")
        if waiting:
            reason = waiting
        elif ended:
            reason = ended.get("reason") or _exit_text(ended)
        elif each["ready"]:
            has_running = True
    if reason == "Completed" and has_running:
        ready = any(
            each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or []
        )
        reason = "Running" if ready else "NotReady"
    return reason


def _exit_text(ended: Document) -> str:
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended['exitCode']}"


def deployment(document: Document, now: datetime) -> Cells:
    """Return READY as ready of wanted."""
    spec, status = document["spec"], document.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec['replicas']}"
    counts = [status.get("updatedReplicas", 0), status.get("availableReplicas", 0)]
    wide = [*_containers(spec["template"]["spec"]), _selector(spec["selector"])]
    return [name_of(document), ready, *counts, age_of(document, now), *wide]


def replica_set(document: Document, now: datetime) -> Cells:
    """Return wanted, present and ready."""
    spec, status = document["spec"], document.get("status") or {}
    counts = [spec["replicas"], status.get("replicas", 0), status.get("readyReplicas", 0)]
    wide = [*_containers(spec["template"]["spec"]), _selector(spec["selector"])]
    return [name_of(document), *counts, age_of(document, now), *wide]


def replication_controller(document: Document, now: datetime) -> Cells:
    """As ReplicaSets, with a plain selector."""
    selector = {"matchLabels": dig(document, "spec", "selector") or {}}
    return replica_set({**document, "spec": {**document["spec"], "selector": selector}}, now)


def stateful_set(document: Document, now: datetime) -> Cells:
    """Return READY as ready of wanted."""
    spec, status = document["spec"], document.get("status") or {}
    ready = f"{status.get('readyReplicas', 0)}/{spec['replicas']}"
    return [name_of(document), ready, age_of(document, now), *_containers(spec["template"]["spec"])]


def daemon_set(document: Document, now: datetime) -> Cells:
    """Return the counts of nodes."""
    spec, status = document["spec"], document.get("status") or {}
    names = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    counts = [status.get(name, 0) for name in names]
    nodes = _labels(dig(spec, "template", "spec", "nodeSelector"))
    wide = [*_containers(spec["template"]["spec"]), _selector(spec["selector"])]
    return [name_of(document), *counts, nodes, age_of(document, now), *wide]


def job(document: Document, now: datetime) -> Cells:
    """Return STATUS from the conditions, as printJob does."""
    spec, status = document["spec"], document.get("status") or {}
    true = {each["type"] for each in status.get("conditions") or [] if each["status"] == "True"}
    shown = next(
        (
            each
            for each in ("Complete", "Failed", "Suspended", "FailureTarget", "SuccessCriteriaMet")
            if each in true
        ),
        "Running",
    )
    if "deletionTimestamp" in document["metadata"]:
        shown = "Terminating"
    started, ended = status.get("startTime"), status.get("completionTime")
    until = read_time(ended) if ended else now
    duration = write_age(until - read_time(started)) if started else ""
    done = f"{status.get('succeeded', 0)}/{spec.get('completions', 1)}"
    wide = [*_containers(spec["template"]["spec"]), _selector(spec.get("selector"))]
    return [name_of(document), shown, done, duration, age_of(document, now), *wide]


def cron_job(document: Document, now: datetime) -> Cells:
    """Return schedule and last run."""
    spec, status = document["spec"], document.get("status") or {}
    last = status.get("lastScheduleTime")
    shown = [
        spec["schedule"],
        spec.get("timeZone") or NONE,
        str(bool(spec.get("suspend"))),
        len(status.get("active") or []),
    ]
    template = spec["jobTemplate"]["spec"]
    wide = [*_containers(template["template"]["spec"]), _selector(template.get("selector"))]
    return [name_of(document), *shown, elapsed(last, now) if last else NONE, age_of(document, now), *wide]


def service(document: Document, now: datetime) -> Cells:
    """Return addresses and ports."""
    spec = document["spec"]
    ingress = [
        each.get("ip") or each.get("hostname")
        for each in dig(document, "status", "loadBalancer", "ingress") or []
    ]
    external = NONE
    if spec["type"] == "LoadBalancer":
        external = ",".join(filter(None, ingress)) or "<pending>"
    elif spec["type"] == "ExternalName":
        external = spec.get("externalName", "")
    ports = ",".join(_service_port(each) for each in spec.get("ports") or []) or NONE
    shown = [spec["type"], spec.get("clusterIP") or NONE, external, ports]
    return [name_of(document), *shown, age_of(document, now), _labels(spec.get("selector"))]


def _service_port(port: Document) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node_port}/{port.get('protocol', 'TCP')}"


def ingress(document: Document, now: datetime) -> Cells:
    """Return hosts and the balancer's address."""
    spec = document["spec"]
    hosts = [each["host"] for each in spec.get("rules") or [] if each.get("host")]
    shown = ",".join(hosts[:_MAX_SHOWN]) or "*"
    if len(hosts) > _MAX_SHOWN:
        shown += f" + {len(hosts) - _MAX_SHOWN} more..."
    addresses = [
        each.get("ip") or each.get("hostname")
        for each in dig(document, "status", "loadBalancer", "ingress") or []
    ]
    ports = "80, 443" if spec.get("tls") else "80"
    return [
        name_of(document),
        spec.get("ingressClassName") or NONE,
        shown,
        ",".join(filter(None, addresses)),
        ports,
        age_of(document, now),
    ]


def endpoints(document: Document, now: datetime) -> Cells:
    """Return up to three addresses with ports."""
    pairs = [
        f"{address['ip']}:{port['port']}"
        for subset in document.get("subsets") or []
        for port in subset.get("ports") or []
        for address in subset.get("addresses") or []
    ]
    shown = ",".join(pairs[:_MAX_SHOWN]) or NONE
    if len(pairs) > _MAX_SHOWN:
        shown += f" + {len(pairs) - _MAX_SHOWN} more..."
    return [name_of(document), shown, age_of(document, now)]


def endpoint_slice(document: Document, now: datetime) -> Cells:
    """Return up to three ports and addresses."""
    ports = [str(each["port"]) for each in document.get("ports") or []]
    addresses = [address for each in document.get("endpoints") or [] for address in each["addresses"]]
    return [
        name_of(document),
        document["addressType"],
        _some(ports, "<unset>"),
        _some(addresses, "<unset>"),
        age_of(document, now),
    ]


def _some(texts: list[str], empty: str) -> str:
    if len(texts) > _MAX_SHOWN:
        return f"{','.join(texts[:_MAX_SHOWN])} + {len(texts) - _MAX_SHOWN} more..."
    return ",".join(texts) or empty


def node(document: Document, now: datetime) -> Cells:
    """Return STATUS from the Ready condition and whether pods may be placed."""
    status = document.get("status") or {}
    ready = next((each for each in status.get("conditions") or [] if each["type"] == "Ready"), None)
    shown = "Unknown" if ready is None else ("Ready" if ready["status"] == "True" else "NotReady")
    if dig(document, "spec", "unschedulable"):
        shown += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = sorted(
        key.removeprefix(prefix)
        for key in dig(document, "metadata", "labels") or {}
        if key.startswith(prefix)
    )
    info = status.get("nodeInfo") or {}
    addresses = {each["type"]: each["address"] for each in status.get("addresses") or []}
    wide = [addresses.get("InternalIP", NONE), addresses.get("ExternalIP", NONE)]
    wide += [info.get(name, UNKNOWN) for name in ("osImage", "kernelVersion", "containerRuntimeVersion")]
    return [
        name_of(document),
        shown,
        ",".join(roles) or NONE,
        age_of(document, now),
        info.get("kubeletVersion", ""),
        *wide,
    ]


def event(document: Document, now: datetime) -> Cells:
    """Return when, of what, and why; of both APIs."""
    involved = document["involvedObject"]
    first = document["firstTimestamp"] or document["eventTime"]
    last = document["lastTimestamp"]
    series = document.get("series")
    if series:
        last = last or series["lastObservedTime"]
    count = series["count"] if series else document.get("count") or 1
    source = document.get("source") or {}
    told_by = ", ".join(
        filter(None, (source.get("component") or document["reportingComponent"], source.get("host")))
    )
    where = f"{involved['kind'].lower()}/{involved['name']}"
    return [
        elapsed(last or first, now),
        document["type"],
        document["reason"],
        where,
        involved.get("fieldPath", ""),
        told_by,
        document["message"].strip(),
        elapsed(first, now),
        count,
        name_of(document),
    ]


def namespace(document: Document, now: datetime) -> Cells:
    """Return the phase."""
    return [name_of(document), dig(document, "status", "phase") or "", age_of(document, now)]


def counted(member: str) -> Any:  # noqa: ANN401  # a function for COLUMNS
    """Return a printer of how many entries a member has."""

    def write(document: Document, now: datetime) -> Cells:
        return [name_of(document), len(document.get(member) or {}), age_of(document, now)]

    return write


def secret(document: Document, now: datetime) -> Cells:
    """Return the type and how many entries."""
    return [
        name_of(document),
        document.get("type", ""),
        len(document.get("data") or {}),
        age_of(document, now),
    ]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(modes: list[str] | None) -> str:
    return ",".join(_MODES[each] for each in modes or [])


def persistent_volume(document: Document, now: datetime) -> Cells:
    """Return capacity and claim."""
    spec, status = document["spec"], document.get("status") or {}
    claim = spec.get("claimRef")
    shown = [
        dig(spec, "capacity", "storage") or "",
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        "Terminating" if "deletionTimestamp" in document["metadata"] else status.get("phase", ""),
        f"{claim['namespace']}/{claim['name']}" if claim else "",
        spec.get("storageClassName", ""),
        "<unset>",
        status.get("reason", ""),
    ]
    return [name_of(document), *shown, age_of(document, now), spec.get("volumeMode", "<unset>")]


def claim(document: Document, now: datetime) -> Cells:
    """Return phase and volume."""
    spec, status = document["spec"], document.get("status") or {}
    is_bound = bool(spec.get("volumeName"))
    shown = [
        "Terminating" if "deletionTimestamp" in document["metadata"] else status.get("phase", ""),
        spec.get("volumeName", ""),
        (dig(status, "capacity", "storage") or "0") if is_bound else "",
        _modes(status.get("accessModes")) if is_bound else "",
        spec.get("storageClassName", ""),
        "<unset>",
    ]
    return [name_of(document), *shown, age_of(document, now), spec.get("volumeMode", "<unset>")]


def autoscaler(document: Document, now: datetime) -> Cells:
    """Return TARGETS as present of wanted."""
    spec, status = document["spec"], document.get("status") or {}
    target = spec["scaleTargetRef"]
    current = {
        dig(each, "resource", "name"): dig(each, "resource", "current", "averageUtilization")
        for each in status.get("currentMetrics") or []
    }
    targets = []
    for each in spec.get("metrics") or []:
        name, wanted = dig(each, "resource", "name"), dig(each, "resource", "target", "averageUtilization")
        have = current.get(name)
        targets.append(f"{name}: {UNKNOWN if have is None else f'{have}%'}/{wanted}%")
    shown = [f"{target['kind']}/{target['name']}", ", ".join(targets) or NONE]
    counts = [str(spec.get("minReplicas", "<unset>")), spec["maxReplicas"], status.get("currentReplicas", 0)]
    return [name_of(document), *shown, *counts, age_of(document, now)]


def network_policy(document: Document, now: datetime) -> Cells:
    """Return whom it selects."""
    return [name_of(document), _selector(document["spec"].get("podSelector")), age_of(document, now)]


def disruption_budget(document: Document, now: datetime) -> Cells:
    """Return its bounds."""
    spec = document["spec"]
    bounds = [str(spec.get(name, "N/A")) for name in ("minAvailable", "maxUnavailable")]
    return [
        name_of(document),
        *bounds,
        dig(document, "status", "disruptionsAllowed") or 0,
        age_of(document, now),
    ]


def storage_class(document: Document, now: datetime) -> Cells:
    """Return the provisioner; a default class says so in its name."""
    annotations = dig(document, "metadata", "annotations") or {}
    mark = " (default)" if annotations.get("storageclass.kubernetes.io/is-default-class") == "true" else ""
    shown = [document.get(name, "") for name in ("provisioner", "reclaimPolicy", "volumeBindingMode")]
    return [
        name_of(document) + mark,
        *shown,
        bool(document.get("allowVolumeExpansion")),
        age_of(document, now),
    ]


def quota(document: Document, now: datetime) -> Cells:
    """Return used of hard, requests and limits apart."""
    hard, used = dig(document, "status", "hard") or {}, dig(document, "status", "used") or {}
    pairs = {name: f"{name}: {used.get(name, '0')}/{bound}" for name, bound in sorted(hard.items())}
    limits = ", ".join(text for name, text in pairs.items() if name.startswith("limits."))
    requests = ", ".join(text for name, text in pairs.items() if not name.startswith("limits."))
    return [name_of(document), requests, limits, age_of(document, now)]


def controller_revision(document: Document, now: datetime) -> Cells:
    """Return whose it is and its number."""
    owner = (dig(document, "metadata", "ownerReferences") or [{}])[0]
    group = ".apps" if owner else ""
    shown = f"{owner.get('kind', '').lower()}{group}/{owner.get('name', '')}" if owner else NONE
    return [name_of(document), shown, document.get("revision", 0), age_of(document, now)]


def api_service(document: Document, now: datetime) -> Cells:
    """Return where it is served, and whether that works."""
    where = dig(document, "spec", "service")
    shown = f"{where['namespace']}/{where['name']}" if where else "Local"
    condition = next(
        (each for each in dig(document, "status", "conditions") or [] if each["type"] == "Available"), None
    )
    available = "Unknown" if condition is None else condition["status"]
    if condition is not None and available != "True" and condition.get("reason"):
        available = f"{available} ({condition['reason']})"
    return [name_of(document), shown, available, age_of(document, now)]


def volume_attachment(document: Document, now: datetime) -> Cells:
    """Return what is attached where."""
    spec = document["spec"]
    attached = bool(dig(document, "status", "attached"))
    return [
        name_of(document),
        spec["attacher"],
        dig(spec, "source", "persistentVolumeName") or "",
        spec["nodeName"],
        attached,
        age_of(document, now),
    ]


def lease(document: Document, now: datetime) -> Cells:
    """Return who holds it."""
    return [name_of(document), dig(document, "spec", "holderIdentity") or "", age_of(document, now)]


def pod_metrics(document: Document, _now: datetime) -> Cells:
    """Return what a pod's containers use together."""
    usages = [each["usage"] for each in document["containers"]]
    cpu = sum(read_quantity(each["cpu"]) or 0 for each in usages)
    memory = sum(read_quantity(each["memory"]) or 0 for each in usages)
    return [name_of(document), f"{round(cpu * 10**9)}n", f"{round(memory / 1024)}Ki", document["window"]]


def node_metrics(document: Document, _now: datetime) -> Cells:
    """Return what a node uses."""
    return [name_of(document), document["usage"]["cpu"], document["usage"]["memory"], document["window"]]


def plain(document: Document, _now: datetime) -> Cells:
    """Return name and time, of kinds without a printer of their own."""
    return [name_of(document), dig(document, "metadata", "creationTimestamp") or UNKNOWN]
