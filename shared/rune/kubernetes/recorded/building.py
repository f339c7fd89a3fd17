"""A cluster, built from the parts of its base and the changes of a case."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from rune.kubernetes.recorded.defaults import fill_object
from rune.kubernetes.recorded.documents import Document, dig, map_strings, merge
from rune.kubernetes.recorded.entities import Entity
from rune.kubernetes.recorded.forms import Add, Change, Patch, PodState, Shape, Template
from rune.kubernetes.recorded.kinds import kinds_by_name
from rune.kubernetes.recorded.pods import merge_states
from rune.kubernetes.recorded.problems import CaseProblem
from rune.kubernetes.recorded.templates import apply_template, place_pod_spec
from rune.kubernetes.recorded.times import STAMP_PATTERN, read_duration, read_offset, write_time

MAX_OBJECTS = 1_000
REVISION = "deployment.kubernetes.io/revision"
_DEFAULT_AGE = timedelta(days=38)
_TEMPLATED = {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"}
_LETTERS = "abcdefghjkmnpqrstuvwxyz"


@dataclass
class Builder:
    """Objects as they come to be; `settling.py` writes what follows from them.

    Attributes
    ----------
    states
        Of pods: what is set beside the spec.
    given
        Status that is said outright, and wins over what follows from other objects.
    rolled_out
        ReplicaSets that a case adds to a Deployment.
    touched
        Objects that the case speaks of.
    """

    now: datetime
    seed: int
    objects: dict[Entity, Document] = field(default_factory=dict)
    states: dict[Entity, PodState] = field(default_factory=dict)
    given: dict[Entity, Document] = field(default_factory=dict)
    rolled_out: set[Entity] = field(default_factory=set)
    removed: set[Entity] = field(default_factory=set)
    touched: set[Entity] = field(default_factory=set)
    silent_nodes: dict[str, datetime] = field(default_factory=dict)
    problems: list[CaseProblem] = field(default_factory=list)

    def apply(self, change: Change, pointer: str) -> None:
        """Make one change; what is wrong with it is added to `problems`."""
        if isinstance(change, Add):
            self._add(change, pointer)
        elif isinstance(change, Patch):
            entity = Entity.parse(change.patch)
            if entity not in self.objects:
                self._complain(f"{pointer}/patch", f"there is no {entity}")
                return
            self._shape(entity, change.with_, f"{pointer}/with")
        else:
            entity = Entity.parse(change.remove)
            if entity not in self.objects:
                self._complain(f"{pointer}/remove", f"there is no {entity}")
                return
            self._drop(entity)
        if len(self.objects) > MAX_OBJECTS:
            self._complain(pointer, f"the cluster has more than {MAX_OBJECTS} objects")

    def owned_by(self, owner: Entity) -> Iterator[Entity]:
        """Return what an object owns itself, in the order of making."""
        uid = self.objects[owner]["metadata"]["uid"]
        for entity, document in self.objects.items():
            if any(each["uid"] == uid for each in document["metadata"].get("ownerReferences", [])):
                yield entity

    def pods_of(self, entity: Entity) -> Iterator[Entity]:
        """Return the pods that an object owns, however far below it."""
        for each in [*self.owned_by(entity)]:
            if each.kind == "Pod":
                yield each
            else:
                yield from self.pods_of(each)

    def newest_replica_set(self, deployment: Entity) -> Entity | None:
        """Return the ReplicaSet of the Deployment's template."""
        owned = [each for each in self.owned_by(deployment) if each.kind == "ReplicaSet"]
        return max(owned, key=self._revision_of, default=None)

    def _revision_of(self, entity: Entity) -> int:
        return int(dig(self.objects[entity], "metadata", "annotations", REVISION) or 0)

    def _complain(self, pointer: str, message: str) -> None:
        self.problems.append(CaseProblem(pointer, message))

    def _drop(self, entity: Entity) -> None:
        for each in [*self.owned_by(entity)]:
            self._drop(each)
        del self.objects[entity]
        self.removed.add(entity)
        self.touched.discard(entity)

    def _add(self, change: Add, pointer: str) -> None:
        entity = Entity.parse(change.add)
        for member in ("like", "owner"):
            named = getattr(change, member)
            if named is not None and Entity.parse(named) not in self.objects:
                self._complain(f"{pointer}/{member}", f"there is no {named}")
                return
        if entity in self.objects:
            self._complain(f"{pointer}/add", f"{entity} is there already")
            return
        if change.like is not None and Entity.parse(change.like).kind != entity.kind:
            self._complain(f"{pointer}/like", f"{change.like} is of another kind than {entity}")
            return
        age = read_duration(change.age) if change.age else _DEFAULT_AGE
        self.objects[entity] = self._make(entity, age, change.like, change.owner)
        if entity.kind == "Pod":
            self.states[entity] = PodState()
        self._shape(entity, change, pointer, is_new=True)

    def _make(self, entity: Entity, age: timedelta, like: str | None, owner: str | None) -> Document:
        kind = kinds_by_name()[entity.kind]
        document: Document = {}
        if like is not None:
            model = self.objects[Entity.parse(like)]
            document = {name: value for name, value in model.items() if name != "status"}
            kept = {"labels", "annotations", "ownerReferences"}
            document["metadata"] = {k: v for k, v in model["metadata"].items() if k in kept}
        metadata: Document = {
            "name": entity.name,
            "uid": self.uid_of(entity),
            "creationTimestamp": write_time(self.now - age),
        }
        if entity.namespace:
            metadata["namespace"] = entity.namespace
        if owner is not None:
            metadata["ownerReferences"] = [self._refer(Entity.parse(owner))]
        document = merge(document, {"metadata": metadata})
        filled = fill_object(entity.kind, entity.name, document)
        return {"kind": kind.name, "apiVersion": kind.api_version, **filled}

    def uid_of(self, entity: Entity) -> str:
        """Return the uid of an object that is not yet there."""
        return str(
            UUID(
                bytes=hashlib.md5(f"{self.seed}/{entity}".encode(), usedforsecurity=False).digest(), version=4
            )
        )

    def _refer(self, owner: Entity) -> Document:
        return {
            "apiVersion": kinds_by_name()[owner.kind].api_version,
            "kind": owner.kind,
            "name": owner.name,
            "uid": self.objects[owner]["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }

    def _shape(self, entity: Entity, shape: Shape, pointer: str, *, is_new: bool = False) -> None:
        self.touched.add(entity)
        self.objects[entity] = merge(self.objects[entity], self._write_patch(shape, is_new=is_new))
        self._give_status(entity, shape)
        if shape.not_ready is not None:
            self.silent_nodes[entity.name] = read_offset(shape.not_ready, self.now)
        if entity.kind == "Pod":
            self.states[entity] = merge_states(self.states[entity], shape)
            if is_new:
                self._place(entity)
            if shape.template is not None:
                self.objects[entity] = apply_template(self.objects[entity], shape.template)
        elif entity.kind in _TEMPLATED:
            self._shape_workload(entity, shape, pointer, is_new=is_new)
        elif shape.template is not None:
            self._complain(f"{pointer}/template", f"{entity.kind} has none here")

    def _write_patch(self, shape: Shape, *, is_new: bool) -> Document:
        patch: Document = {}
        metadata = merge(
            shape.metadata or {},
            {k: v for k in ("labels", "annotations") if (v := getattr(shape, k)) is not None},
        )
        for name, value in (("metadata", metadata), ("spec", shape.spec), ("data", shape.data)):
            if value:
                patch[name] = value
        if shape.deleting is not None:
            since = write_time(read_offset(shape.deleting, self.now))
            patch = merge(patch, {"metadata": {"deletionTimestamp": since, "deletionGracePeriodSeconds": 30}})
        if shape.age is not None and not is_new:
            patch = merge(
                patch, {"metadata": {"creationTimestamp": write_time(self.now - read_duration(shape.age))}}
            )
        return self._date(merge(patch, shape.fields or {}))

    def _date(self, document: Document) -> Document:
        return map_strings(
            document,
            lambda text: STAMP_PATTERN.sub(lambda found: write_time(read_offset(found[1], self.now)), text),
        )

    def _give_status(self, entity: Entity, shape: Shape) -> None:
        given = self._date(shape.status or {})
        if shape.conditions:
            conditions = []
            for kind, (status, reason, message, since) in shape.conditions.items():
                at = write_time(read_offset(since, self.now))
                conditions.append(
                    {
                        "type": kind,
                        "status": status,
                        "lastTransitionTime": at,
                        "reason": reason,
                        "message": message,
                    }
                )
            given = merge(given, {"conditions": conditions})
        if given:
            self.given[entity] = merge(self.given.get(entity, {}), given)

    def _shape_workload(self, entity: Entity, shape: Shape, pointer: str, *, is_new: bool) -> None:
        if is_new and entity.kind == "ReplicaSet":
            self._begin_rollout(entity, shape)
        elif shape.template is not None:
            self._retemplate(entity, shape.template)
        if is_new and entity.kind != "ReplicaSet":
            self._fill_workload(entity, shape)
        elif shape.replicas is not None:
            self._scale(entity, shape.replicas)
        if shape.pods is not None:
            pods = [*self.pods_of(entity)]
            if not pods:
                self._complain(f"{pointer}/pods", f"{entity} has no pods")
            for pod in pods:
                self.states[pod] = merge_states(self.states[pod], shape.pods)
                self.touched.add(pod)

    def _begin_rollout(self, entity: Entity, shape: Shape) -> None:
        """Make a ReplicaSet the newest of its Deployment, if its revision says so."""
        document = self.objects[entity]
        token = entity.name.rsplit("-", 1)[-1]
        template = document["spec"]["template"]
        if shape.template is not None:
            template = apply_template(template, shape.template)
        labels = {"pod-template-hash": token}
        document = merge(
            document,
            {
                "metadata": {"labels": labels},
                "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}},
            },
        )
        document["spec"]["template"] = merge(template, {"metadata": {"labels": labels}})
        document["spec"]["replicas"] = shape.replicas if shape.replicas is not None else 0
        if shape.revision is not None:
            document = merge(document, {"metadata": {"annotations": {REVISION: str(shape.revision)}}})
        self.objects[entity] = document
        references = document["metadata"].get("ownerReferences", [])
        owner = Entity("Deployment", entity.namespace, references[0]["name"]) if references else None
        if owner is not None and owner in self.objects and self.newest_replica_set(owner) == entity:
            self.rolled_out.add(entity)
            deployment = self.objects[owner]
            plain = merge(template, {"metadata": {"labels": {"pod-template-hash": None}}})
            revision = dig(document, "metadata", "annotations", REVISION)
            self.objects[owner] = merge(deployment, {"metadata": {"annotations": {REVISION: revision}}})
            self.objects[owner]["spec"] = {**deployment["spec"], "template": plain}
            self.touched.add(owner)

    def _retemplate(self, entity: Entity, change: Template) -> None:
        """Change a workload's template as though it had always been so."""
        targets = [entity]
        if entity.kind == "Deployment" and (newest := self.newest_replica_set(entity)):
            targets.append(newest)
        for each in targets:
            document = self.objects[each]
            template = apply_template(document["spec"]["template"], change)
            self.objects[each] = {**document, "spec": {**document["spec"], "template": template}}
        for pod in [*self.pods_of(targets[-1])]:
            self.objects[pod] = apply_template(self.objects[pod], change)

    def _fill_workload(self, entity: Entity, shape: Shape) -> None:
        count = shape.replicas if shape.replicas is not None else 1
        age = self.now - datetime.fromisoformat(self.objects[entity]["metadata"]["creationTimestamp"])
        if entity.kind in {"Deployment", "StatefulSet"}:
            self._set_spec(entity, replicas=count)
        owner = entity
        if entity.kind == "Deployment":
            owner = self._add_replica_set(entity, shape, age)
        if entity.kind == "DaemonSet":
            nodes = [each.name for each in self.objects if each.kind == "Node"]
            for index, node in enumerate(nodes):
                self._add_pod(
                    owner,
                    f"{entity.name}-{_suffix(index)}",
                    age,
                    PodState.model_construct(node=node, _fields_set={"node"}),
                )
            return
        for index in range(count):
            end = str(index) if entity.kind == "StatefulSet" else _suffix(index)
            self._add_pod(owner, f"{owner.name}-{end}", age, PodState())

    def _add_replica_set(self, deployment: Entity, shape: Shape, age: timedelta) -> Entity:
        token = shape.hash or hashlib.md5(deployment.name.encode(), usedforsecurity=False).hexdigest()[:6]
        entity = Entity("ReplicaSet", deployment.namespace, f"{deployment.name}-{token}")
        document = self._make(entity, age, None, str(deployment))
        revision = {REVISION: str(shape.revision or 1)}
        spec = self.objects[deployment]["spec"]
        labels = {"pod-template-hash": token}
        document = merge(
            document,
            {
                "metadata": {
                    "annotations": revision,
                    "labels": {**spec["template"]["metadata"]["labels"], **labels},
                }
            },
        )
        document["spec"] = {
            "replicas": spec["replicas"],
            "selector": merge(spec["selector"], {"matchLabels": labels}),
            "template": merge(spec["template"], {"metadata": {"labels": labels}}),
        }
        self.objects[entity] = document
        self.objects[deployment] = merge(self.objects[deployment], {"metadata": {"annotations": revision}})
        return entity

    def _add_pod(self, owner: Entity, name: str, age: timedelta, state: PodState) -> None:
        entity = Entity("Pod", owner.namespace, name)
        self.objects[entity] = self._make(entity, age, None, str(owner))
        self.states[entity] = state
        self._place(entity)

    def _place(self, entity: Entity) -> None:
        """Give a pod the spec of its owner's template, a node, and what admission adds."""
        document = self.objects[entity]
        references = document["metadata"].get("ownerReferences", [])
        owner = Entity(references[0]["kind"], entity.namespace, references[0]["name"]) if references else None
        template: Document = {"metadata": {}, "spec": document["spec"]}
        if owner is not None and owner in self.objects and "template" in self.objects[owner].get("spec", {}):
            template = self.objects[owner]["spec"]["template"]
        placed = place_pod_spec(
            template, token=hashlib.md5(entity.name.encode(), usedforsecurity=False).hexdigest()[:5]
        )
        if owner is not None:
            placed = merge(placed, {k: v for k, v in document["spec"].items() if k not in placed and v})
        metadata = merge(template.get("metadata") or {}, document["metadata"])
        self.objects[entity] = {**document, "metadata": {"name": entity.name, **metadata}, "spec": placed}

    def _set_spec(self, entity: Entity, **members: object) -> None:
        document = self.objects[entity]
        self.objects[entity] = {**document, "spec": {**document["spec"], **members}}

    def _scale(self, entity: Entity, count: int) -> None:
        """Set the number of replicas; pods beyond it go, and none are made."""
        self._set_spec(entity, replicas=count)
        target = entity
        if entity.kind == "Deployment" and (newest := self.newest_replica_set(entity)):
            target = newest
            self._set_spec(newest, replicas=count)
        for pod in [*self.pods_of(target)][count:]:
            self._drop(pod)


def _suffix(index: int) -> str:
    """Return the end of a pod's name in bases: `a1a1a`, `b2b2b`; the seed makes others of them."""
    letter, digit = _LETTERS[index % len(_LETTERS)], index % 9 + 1
    return f"{letter}{digit}{letter}{digit}{letter}"
