"""Paths of resources, taken apart."""

from collections.abc import Sequence
from typing import Self

from rune.kubernetes.recorded.kinds import CORE
from rune.kubernetes.recorded.statuses import Attempt


class Target:
    """The parts of a path to a resource."""

    def __init__(self, group: str, version: str, namespace: str, rest: Sequence[str]) -> None:
        self.group = group
        self.version = version
        self.namespace = namespace
        self.plural = rest[0]
        self.name = rest[1] if len(rest) > 1 else ""
        self.subresource = "/".join(rest[2:])

    @classmethod
    def read(cls, parts: Sequence[str]) -> Self | None:
        """Return what a path means; None where it is none of a resource."""
        if any(not part for part in parts):
            return None
        match parts:
            case ["api", version, *rest] if rest:
                group = CORE
            case ["apis", group, version, *rest] if rest:
                pass
            case _:
                return None
        if rest[0] == "namespaces" and len(rest) > 2:  # noqa: PLR2004  # namespaces, a name, and what is in it
            return cls(group, version, rest[1], rest[2:])
        return cls(group, version, "", rest)

    def attempt(self, verb: str = "") -> Attempt:
        """Return what is tried, as refusals tell it."""
        plural = f"{self.plural}/{self.subresource}" if self.subresource else self.plural
        # A namespace itself is read in its own namespace, as the authorizer sees it.
        namespace = self.name if self.plural == "namespaces" and not self.group else self.namespace
        return Attempt(verb or ("get" if self.name else "list"), self.group, plural, namespace, self.name)
