"""Pod templates: the short form of a case, written out as the API server stores it."""

from typing import Any

from rune.kubernetes.recorded.documents import Document, dig, merge
from rune.kubernetes.recorded.forms import Template

_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_API_SECONDS = 3607
NOT_READY_TOLERATIONS = [
    {
        "key": f"node.kubernetes.io/{key}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 300,
    }
    for key in ("not-ready", "unreachable")
]


def default_pod_spec() -> Document:
    """Return the spec of a pod of which nothing is said."""
    return {
        "containers": [],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }


def default_container(name: str) -> Document:
    """Return a container of which nothing is said."""
    return {
        "name": name,
        "image": "busybox:1.36",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }


def apply_template(target: Document, template: Template) -> Document:
    """Return a pod template, or a pod, with what `template` says; `target` stays as it is."""
    spec = dig(target, "spec") or default_pod_spec()
    containers = spec.get("containers") or []
    name = template.container or (containers[0]["name"] if containers else "app")
    if not any(each["name"] == name for each in containers):
        containers = [*containers, default_container(name)]
    changed = _container_of(template, name)
    containers = [
        _fill_container(merge(each, changed)) if each["name"] == name else each for each in containers
    ]
    spec = {**spec, "containers": containers}
    if template.spec:
        spec = _fill_spec(merge(spec, template.spec))
    metadata: Document = {}
    if template.labels:
        metadata["labels"] = template.labels
    if template.annotations:
        metadata["annotations"] = template.annotations
    return {**target, "metadata": merge(dig(target, "metadata") or {}, metadata), "spec": spec}


def _fill_spec(spec: Document) -> Document:
    """Give containers that stand in the raw spec what the API server would."""
    filled = dict(spec)
    for member in ("containers", "initContainers"):
        if member in spec:
            filled[member] = [
                _fill_container(merge(default_container(each["name"]), each)) for each in spec[member]
            ]
    return filled


def _fill_container(container: Document) -> Document:
    filled = dict(container)
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        if probe in filled:
            filled[probe] = _fill_probe(filled[probe])
    return filled


def _fill_probe(probe: Document) -> Document:
    filled = {**_PROBE, **probe}
    if "httpGet" in filled:
        filled["httpGet"] = {"scheme": "HTTP", **filled["httpGet"]}
    return filled


def _container_of(template: Template, name: str) -> Document:
    container: Document = {"name": name}
    if template.image is not None:
        container["image"] = template.image
    if template.port is not None:
        container["ports"] = [{"name": "http", "containerPort": template.port, "protocol": "TCP"}]
    if template.env is not None:
        container["env"] = [_env_of(key, value) for key, value in template.env.items()]
    resources: Document = {}
    if template.requests is not None:
        resources["requests"] = template.requests
    if template.limits is not None:
        resources["limits"] = template.limits
    if resources:
        container["resources"] = resources
    for member, path in (("readinessProbe", template.readiness), ("livenessProbe", template.liveness)):
        if path is not None:
            container[member] = {"httpGet": {"path": path, "port": template.port or "http"}}
    return container


def _env_of(name: str, value: str | dict[str, str]) -> Document:
    if isinstance(value, str):
        return {"name": name, "value": value, "valueFrom": None}
    source, reference = next(
        ((f"{kind}KeyRef", value[kind]) for kind in ("configMap", "secret") if kind in value),
        ("fieldRef", ""),
    )
    if source == "fieldRef":
        return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": value["field"]}}}
    return {"name": name, "value": None, "valueFrom": {source: {"name": reference, "key": value["key"]}}}


def place_pod_spec(template: Document, *, token: str) -> Document:
    """Return the spec of a pod made of a template, with what admission adds."""
    spec = dict(template["spec"])
    volume = f"kube-api-access-{token}"
    mount = {"name": volume, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    for member in ("containers", "initContainers"):
        if member in spec:
            spec[member] = [
                {**each, "volumeMounts": [*each.get("volumeMounts", []), mount]} for each in spec[member]
            ]
    sources: list[Any] = [
        {"serviceAccountToken": {"expirationSeconds": _API_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    spec["volumes"] = [
        *spec.get("volumes", []),
        {"name": volume, "projected": {"sources": sources, "defaultMode": 420}},
    ]
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    spec["tolerations"] = [*spec.get("tolerations", []), *NOT_READY_TOLERATIONS]
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("enableServiceLinks", True)
    return spec
