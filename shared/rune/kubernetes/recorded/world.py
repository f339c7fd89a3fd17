"""A cluster at one instant: everything that can be read of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rune.kubernetes.recorded.documents import Document
from rune.kubernetes.recorded.entities import Entity

EVENT_TTL = timedelta(hours=1)
"""The API server's default."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a container's log."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class LogKey:
    """One run of a container."""

    pod: Entity
    container: str
    is_previous: bool


@dataclass(frozen=True, slots=True)
class World:
    """What a recorded cluster serves.

    Attributes
    ----------
    objects
        Without events and metrics.
    events
        Of core/v1, those within their time to live, oldest first.
    logs
        By run; a container without an entry has written nothing.
    usage
        CPU and memory by container, as metrics-server would tell them.
    metrics
        `up`, `down` (metrics-server does not answer) or `absent`.
    denied
        Resources that no credential of the case may read.
    """

    now: datetime
    objects: Mapping[Entity, Document]
    events: tuple[Document, ...]
    logs: Mapping[LogKey, tuple[LogLine, ...]]
    usage: Mapping[Entity, Mapping[str, tuple[str, str]]]
    metrics: str
    denied: frozenset[str]

    def controller_of(self, entity: Entity) -> Entity | None:
        """Return the object that an object's controlling ownerReference names, where there is one."""
        document = self.objects.get(entity)
        references = (document or {"metadata": {}})["metadata"].get("ownerReferences") or []
        controller = next((each for each in references if each.get("controller")), None)
        if controller is None:
            return None
        return Entity(controller["kind"], entity.namespace, controller["name"])

    def owner_of(self, entity: Entity) -> Entity:
        """Return the object at the top of the chain of owners; the object itself where nothing owns it."""
        seen = {entity}
        while (owner := self.controller_of(entity)) is not None and owner not in seen:
            seen.add(owner)
            entity = owner
        return entity
