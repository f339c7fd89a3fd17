"""From what was read to causes: the words by which Kubernetes, container runtimes and applications tell them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from local.simulators.investigators.conversation import Result
from local.simulators.investigators.knowledge import Knowledge, Line, Suspect, seconds_of, stem_of

_LONGEST_QUOTE = 220
_RECENT_SECONDS = 15 * 60
_NOW_SECONDS = 5 * 60

type Conclusion = tuple[str, str, list["Found"], list[str]]


@dataclass(frozen=True, slots=True)
class Found:
    """A cause with the lines that prove it."""

    cause: str
    entities: tuple[str, ...]
    lines: tuple[Line, ...]

    def as_argument(self) -> dict[str, object]:
        """Return it as the report has it."""
        return {
            "cause": self.cause,
            "entities": [*self.entities],
            "because": f"It is told so: {self.lines[0].text[:_LONGEST_QUOTE]}" if self.lines else "A guess.",
            "confidence": "high" if self.lines else "low",
            "evidence": [
                {"result": line.result_id, "quote": line.text[:_LONGEST_QUOTE]} for line in self.lines
            ],
        }


def conclude(known: Knowledge) -> Conclusion:
    """Return status, summary, findings, and what is missing."""
    found: list[Found] = []
    unknown: list[Suspect] = []
    recovered: list[Suspect] = []
    for suspect in known.suspects():
        if suspect.kind == "Pod" and (_is_over(suspect) or _is_tried_again(known, suspect)):
            recovered.append(suspect)
            continue
        of_it = _RULES.get(suspect.kind, _nothing)(known, suspect)
        if of_it is None and suspect.kind in {"Pod", "Job"}:
            unknown.append(suspect)
        found += [] if of_it is None else [of_it]
    found += _workloads_without_pods(known)
    found += _services(known)
    found += _refused_creations(known)
    found = _roots(known, _merged(found))
    if found:
        return "unhealthy", f"{len(found)} cause(s): {', '.join(each.cause for each in found)}.", found, []
    if unknown:
        names = ", ".join(each.entity for each in unknown)
        missing = known.denied() or [f"what would tell why {names} is not well"]
        return "undetermined", f"Why {names} is not well cannot be told.", [], missing
    hidden = [line for line in known.denied() if line.startswith(("nodes:", "events:", "pods:"))]
    if hidden:
        return "undetermined", "Nothing ill was seen, and much may not be read.", [], hidden
    if recovered:
        return "recovered", "What was ill is well now.", [], []
    return "healthy", "Nothing is wrong now.", [], []


def _is_over(pod: Suspect) -> bool:
    """Return whether a pod is well now, and its last restart is long ago."""
    ready = re.fullmatch(r"(\d+)/(\d+)", pod.cells[0]) if pod.cells else None
    if ready is None or ready[1] != ready[2] or (len(pod.cells) > 1 and pod.cells[1] != "Running"):
        return len(pod.cells) > 1 and pod.cells[1] in {"Completed", "Terminating"}
    ago = re.search(r"(\d+) \((\S+) ago\)", " ".join(pod.cells))
    return ago is None or seconds_of(ago[2]) > _RECENT_SECONDS or int(ago[1]) <= 1


def _is_tried_again(known: Knowledge, pod: Suspect) -> bool:
    """Return whether a pod of a Job failed, and the Job did not: another one has done its work."""
    return "Error" in pod.cells and "Job/" in known.owner_of(pod) and not known.of_kind("Job")


def _nothing(_known: Knowledge, _suspect: Suspect) -> Found | None:
    return None


def _node(known: Knowledge, node: Suspect) -> Found | None:
    line = Line(known.overview.id, node.line) if known.overview else None
    if line is None:
        return None
    if "DiskPressure=True" in node.line:
        return Found("node_disk_pressure", (f"Node//{node.name}",), (line,))
    if "Ready=" in node.line:
        return Found("node_not_ready", (f"Node//{node.name}",), (line,))
    return None


# Each: what a line says, the cause, and what else must be changed (a pattern with `kind`, `name`).
_POD_RULES: Sequence[tuple[str, str]] = (
    (r"couldn't find key|(?:configmap|secret) \"[^\"]+\" not found", "config_missing"),
    (r"x509: certificate has expired", "certificate_expired"),
    (r"OOMKilled|OOM-killed", "oom_killed"),
    (r"Insufficient (?:cpu|memory|ephemeral|nvidia)", "insufficient_resources"),
    # Every cluster has nodes for itself alone.
    (r"untolerated taint \{(?!node-role)", "untolerated_taint"),
    (r"anti-affinity", "anti_affinity_conflict"),
    (r"node affinity|didn't match Pod's node", "affinity_mismatch"),
    (
        r"unbound immediate PersistentVolumeClaims|persistentvolumeclaim \"[^\"]+\" not found",
        "volume_pending",
    ),
    (r"nodes are available: .*were unschedulable", "nodes_cordoned"),
    (r"Liveness probe failed", "liveness_probe_failing"),
    (
        (
            r"password authentication failed|Access denied for user|invalid (?:credentials|username or password)"
            r"|authentication failed|refuses the password|401 Unauthorized|WRONGPASS|28P01"
        ),
        "bad_credentials",
    ),
    (r"lookup \S+.*(?:server misbehaving|i/o timeout)", "dns_failure"),
    (r"lookup \S+.*no such host|Name or service not known|ENOTFOUND", "wrong_address_in_config"),
    (r"connection refused|ECONNREFUSED", "dependency_down"),
    (r"i/o timeout|connection timed out|ETIMEDOUT|context deadline exceeded", "network_policy_blocks"),
    (r"Readiness probe failed", "readiness_probe_failing"),
)


def _pod(known: Knowledge, pod: Suspect) -> Found | None:
    results = known.about(pod.namespace, pod.name)
    owner = known.owner_of(pod)
    return (
        _image(known, results, owner)
        or _told(known, pod, owner, results)
        or _untold(known, pod, owner, results)
    )


def _told(known: Knowledge, pod: Suspect, owner: str, results: Sequence[Result]) -> Found | None:
    """Return the first cause of which a line speaks."""
    for pattern, cause in _POD_RULES:
        line = known.find(pattern, results)
        if line is None:
            continue
        if cause == "network_policy_blocks":
            return _blocked(known, owner, line)
        is_probe = cause == "dependency_down" and "Readiness probe failed" in line.text
        told = "readiness_probe_failing" if is_probe else cause
        return Found(told, (owner, *_others(known, pod, told, line)), (line,))
    return None


def _untold(known: Knowledge, pod: Suspect, owner: str, results: Sequence[Result]) -> Found | None:
    """Return a cause that only the state of a pod tells."""
    if any("Init:" in cell for cell in pod.cells):
        line = known.find(r"waiting for|init container", results)
        return Found("init_container_stuck", (owner,), (line,)) if line else None
    if owner.startswith("Job/"):
        return None
    if any(cell in {"CrashLoopBackOff", "Error"} for cell in pod.cells):
        line = known.find(r"^(?!==|--|not read:).*(?:fatal|panic|exception|traceback|error)", _logs(results))
        return Found("app_crash", (owner,), (line,)) if line else None
    if pod.cells[1:2] == ["Pending"]:
        return _unscheduled(known)
    return None


def _blocked(known: Knowledge, owner: str, line: Line) -> Found | None:
    """Return the policy that keeps a caller from the Service that its log names; None where there is none."""
    for namespace, name in known.named_services():
        if not re.search(rf"\b{re.escape(name)}\b", line.text):
            continue
        policy = known.find(r"^\S+ \(\d+ pods\): .*(?:ingress|egress)", known.about(namespace, name))
        if policy is not None:
            return Found(
                "network_policy_blocks",
                (f"NetworkPolicy/{namespace}/{policy.text.split()[0]}",),
                (policy, line),
            )
    return Found("dependency_down", (owner,), (line,))


def _image(known: Knowledge, results: Sequence[Result], owner: str) -> Found | None:
    line = known.find(r"Failed to pull image|ImagePullBackOff|ErrImagePull", results)
    if line is None:
        return None
    for pattern, cause in (
        (
            r"403 Forbidden|401 Unauthorized|failed to authorize|pull access denied|denied:",
            "image_pull_denied",
        ),
        (r"no such host|dial tcp|i/o timeout|server misbehaving", "registry_unreachable"),
        (r"not found|manifest unknown|NotFound", "image_not_found"),
    ):
        told = known.find(rf"image.*(?:{pattern})", results)
        if told is not None:
            return Found(cause, (owner,), (told,))
    return None


def _others(known: Knowledge, pod: Suspect, cause: str, line: Line) -> tuple[str, ...]:
    """Return the other objects that a line names."""
    namespace = pod.namespace
    for pattern, kind in (
        (r"ConfigMap (?:\S+/)?([a-z0-9.-]+)|configmap \"([^\"]+)\"", "ConfigMap"),
        (r"Secret (?:\S+/)?([a-z0-9.-]+)|secret \"([^\"]+)\"", "Secret"),
        (r"persistentvolumeclaim \"([^\"]+)\"", "PersistentVolumeClaim"),
    ):
        if cause in {"config_missing", "volume_pending"} and (match := re.search(pattern, line.text)):
            return (f"{kind}/{namespace}/{next(filter(None, match.groups()))}",)
    if cause == "volume_pending":
        return tuple(each.entity for each in known.of_kind("PersistentVolumeClaim"))
    if cause == "nodes_cordoned":
        return tuple(f"Node//{each.name}" for each in known.of_kind("Node") if "cordoned" in each.line)
    return ()


def _unscheduled(known: Knowledge) -> Found | None:
    line = known.find(r"kube-scheduler\S*  .*(?:CrashLoopBackOff|0/1|Error)")
    return Found("scheduler_down", (_entity_of(line, "kube-system"),), (line,)) if line else None


def _entity_of(line: Line, namespace: str) -> str:
    name = next((cell for cell in line.text.split() if cell.startswith("kube-scheduler")), "kube-scheduler")
    return f"Pod/{namespace}/{name}"


def _logs(results: Sequence[Result]) -> list[Result]:
    return [each for each in results if "logs" in str(each.header.get("scope"))]


def _job(known: Knowledge, job: Suspect) -> Found | None:
    line = known.find(
        r"BackoffLimitExceeded|DeadlineExceeded|PodFailurePolicy", known.about(job.namespace, job.name)
    )
    return Found("job_failed", (job.entity,), (line,)) if line else None


def _claim(known: Knowledge, claim: Suspect) -> Found | None:
    line = known.find(
        r"storageclass\S* \"[^\"]+\" not found|no persistent volumes available|ProvisioningFailed|FailedBinding",
        known.about(claim.namespace, claim.name),
    )
    return Found("volume_pending", (claim.entity,), (line,)) if line else None


def _autoscaler(known: Knowledge, autoscaler: Suspect) -> Found | None:
    line = Line(known.overview.id, autoscaler.line) if known.overview else None
    if line is None:
        return None
    if "ScalingActive=False" in autoscaler.line:
        return Found("hpa_no_metrics", (autoscaler.entity,), (line,))
    if "TooManyReplicas" in autoscaler.line:
        return Found("hpa_at_limit", (autoscaler.entity,), (line,))
    return None


def _deployment(known: Knowledge, deployment: Suspect) -> Found | None:
    if "0/0" in deployment.cells and known.overview is not None:
        return Found("scaled_to_zero", (deployment.entity,), (Line(known.overview.id, deployment.line),))
    return None


_RULES: dict[str, Callable[[Knowledge, Suspect], Found | None]] = {
    "Node": _node,
    "Pod": _pod,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "HorizontalPodAutoscaler": _autoscaler,
    "Deployment": _deployment,
    "StatefulSet": _deployment,
}

_SERVICE = r"https://([a-z0-9-]+\.[a-z0-9-]+)\.svc"
_WEBHOOK_SERVICE = "Service/{service_namespace}/{service}"

_CREATE_RULES: Sequence[tuple[str, str, str]] = (
    (r"exceeded quota: ([a-z0-9.-]+)", "quota_exceeded", "ResourceQuota/{namespace}/{name}"),
    (r"admission webhook \"([^\"]+)\" denied", "webhook_denies", ""),
    (
        rf"failed calling webhook.*{_SERVICE}.*certificate has expired",
        "certificate_expired",
        _WEBHOOK_SERVICE,
    ),
    (rf"failed calling webhook.*{_SERVICE}", "webhook_unavailable", _WEBHOOK_SERVICE),
    (
        r"serviceaccount \"([^\"]+)\" not found",
        "service_account_missing",
        "ServiceAccount/{namespace}/{name}",
    ),
)


def _workloads_without_pods(known: Knowledge) -> list[Found]:
    """Return why workloads cannot make pods: the events stand at the ReplicaSet."""
    found = []
    for workload in [
        *known.of_kind("Deployment"),
        *known.of_kind("StatefulSet"),
        *known.of_kind("DaemonSet"),
    ]:
        for pattern, cause, other in _CREATE_RULES:
            about = rf"{re.escape(workload.namespace)}/{re.escape(workload.name)}\S*  .*{pattern}"
            line = known.find(about)
            match = re.search(pattern, line.text) if line else None
            if line is not None and match is not None:
                others = _other_entity(other, workload.namespace, match[1])
                found.append(Found(cause, _to_change(cause, workload.entity, others), (line,)))
                break
    return found


def _refused_creations(known: Knowledge) -> list[Found]:
    """Return what keeps pods from being made now, although the Deployment still has those of before."""
    found = []
    for line in known.lines_of_overview():
        told = re.match(r"(\S+) \S.*FailedCreate  ReplicaSet/([^/]+)/(\S+)  ", line.text)
        if told is None or seconds_of(told[1]) > _NOW_SECONDS:
            continue
        for pattern, cause, other in _CREATE_RULES:
            if match := re.search(pattern, line.text):
                owner = f"Deployment/{told[2]}/{stem_of(told[3])}"
                others = _other_entity(other, told[2], match[1])
                found.append(Found(cause, _to_change(cause, owner, others), (line,)))
                break
    return found


def _to_change(cause: str, owner: str, others: tuple[str, ...]) -> tuple[str, ...]:
    """Return what must be changed: of a certificate only who has it, of a quota or a webhook one of both."""
    return others if cause == "certificate_expired" and others else (owner, *others)


def _other_entity(form: str, namespace: str, name: str) -> tuple[str, ...]:
    service, _, service_namespace = name.partition(".")
    filled = form.format(namespace=namespace, name=name, service=service, service_namespace=service_namespace)
    return (filled,) if filled else ()


def _services(known: Knowledge) -> list[Found]:
    """Return what does not fit between Services and their pods, though the pods are well."""
    found = []
    for namespace, name in {**dict.fromkeys(known.services()), **dict.fromkeys(known.named_services())}:
        results = [each for each in known.about(namespace, name) if "problems:" in each.body]
        entity = f"Service/{namespace}/{name}"
        if line := known.find(r"The selector takes no pod", results):
            found.append(Found("service_selector_mismatch", (entity,), (line,)))
        elif line := known.find(r"targetPort \S+ is (?:no port|not among)", results):
            found.append(Found("service_port_mismatch", (entity,), (line,)))
    return found


def _merged(found: Sequence[Found]) -> list[Found]:
    """Return each cause once for each first entity."""
    merged: dict[tuple[str, str], Found] = {}
    for each in found:
        merged.setdefault((each.cause, each.entities[0]), each)
    return [*merged.values()]


_CONSEQUENCES = {
    "node_not_ready": {"readiness_probe_failing", "untolerated_taint", "dependency_down"},
    "node_disk_pressure": {"untolerated_taint", "app_crash"},
    "service_selector_mismatch": {"dependency_down", "network_policy_blocks", "readiness_probe_failing"},
    "service_port_mismatch": {"dependency_down", "network_policy_blocks", "readiness_probe_failing"},
    "dns_failure": {"wrong_address_in_config", "dependency_down"},
}


_SECONDARY = frozenset({"readiness_probe_failing", "dependency_down", "app_crash"})


def _roots(known: Knowledge, found: Sequence[Found]) -> list[Found]:
    """Return the causes without what others explain: one explains another whose log names its object."""
    explained = {cause for each in found for cause in _CONSEQUENCES.get(each.cause, ())}
    kept = [each for each in found if each.cause not in explained]
    return [each for each in kept if each.cause not in _SECONDARY or not _names_any(known, each, kept)]


def _names_any(known: Knowledge, found: Found, others: Sequence[Found]) -> bool:
    """Return whether the log of a finding's pods names the object of another finding."""
    name = found.entities[0].rsplit("/", 1)[-1]
    logs = [each for each in _logs(known.results) if name in each.body.partition(",")[0]]
    return any(
        known.find(rf"^(?!==|--).*\b{re.escape(other.entities[0].rsplit('/', 1)[-1])}\b", logs) is not None
        for other in others
        if other is not found and not other.entities[0].endswith(f"/{name}")
    )
