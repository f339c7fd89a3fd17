"""Names of objects: `Kind/namespace/name`, and `Kind//name` outside of namespaces."""

from dataclasses import dataclass
from typing import Self

from rune.kubernetes.recorded.kinds import kinds_by_name

_PARTS_WITHOUT_NAMESPACE = 2
_PARTS = 3


@dataclass(frozen=True, slots=True, order=True)
class Entity:
    """One object."""

    kind: str
    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what `text` names; `Node/a` is `Node//a`.

        Raises
        ------
        ValueError
            The kind is not known, or a part is missing or too much.
        """
        parts = text.split("/")
        if len(parts) == _PARTS_WITHOUT_NAMESPACE:
            parts.insert(1, "")
        if len(parts) != _PARTS:
            raise ValueError(f"{text!r} is not Kind/namespace/name")
        kind = kinds_by_name().get(parts[0])
        if kind is None:
            raise ValueError(f"{parts[0]!r} is no kind that cases know")
        if kind.is_namespaced != bool(parts[1]) or not parts[2]:
            wanted = "namespace/name" if kind.is_namespaced else "/name"
            raise ValueError(f"{text!r} is not {kind.name}/{wanted}")
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"
