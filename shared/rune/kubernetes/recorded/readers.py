"""Who reads a recorded cluster, and what each may read."""

from dataclasses import dataclass

from rune.kubernetes.recorded.kinds import Kind, kinds_by_name
from rune.kubernetes.recorded.world import World

_DENIED_KINDS = frozenset({"configmaps", "secrets", "leases"})
"""Not in the ClusterRole that docs/kubernetes.md gives to RUNE's reader."""
READER_NAME = "system:serviceaccount:rune:rune-reader"


@dataclass(frozen=True, slots=True)
class Reader:
    """A credential's rights, all of them to read.

    Attributes
    ----------
    user
        As refusals name it.
    namespaces
        Where a RoleBinding gives the rights; empty for a ClusterRoleBinding.
    is_admin
        Whether everything may be read.
    """

    user: str = READER_NAME
    namespaces: frozenset[str] = frozenset()
    is_admin: bool = False


RUNE_READER = Reader()
ADMIN = Reader("kubernetes-admin", is_admin=True)


def may_read(world: World, kind: str, subresource: str = "") -> bool:
    """Return whether RUNE's reader may read a kind of a case's cluster."""
    return _is_granted(world, kinds_by_name()[kind], subresource)


def is_allowed(reader: Reader, world: World, kind: Kind, namespace: str, subresource: str = "") -> bool:
    """Return whether a reader may read a kind in a namespace; an empty one means all of them."""
    if reader.is_admin:
        return True
    if reader.namespaces and namespace not in reader.namespaces:
        return False
    return _is_granted(world, kind, subresource)


def _is_granted(world: World, kind: Kind, subresource: str) -> bool:
    resource = f"{kind.plural}/{subresource}" if subresource else kind.plural
    if resource in world.denied or f"{resource}.{kind.group}" in world.denied:
        return False
    if subresource:
        return kind.plural == "pods" and subresource == "log"
    return kind.plural not in _DENIED_KINDS and not (kind.plural == "events" and kind.group)
