"""JSON documents as Kubernetes writes them: how they are merged, walked and renamed."""

from collections.abc import Callable, Iterator
from typing import Any

type Document = dict[str, Any]
"""One JSON object of Kubernetes; its shape is the API's own."""

_MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "initContainers": "name",
    "containerStatuses": "name",
    "initContainerStatuses": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
}
"""Lists whose elements are merged by a member instead of being replaced, as strategic merge patches do."""


def merge(target: Document, patch: Document) -> Document:
    """Return `target` with `patch` merged into it; null removes a member. Neither is changed."""
    merged = dict(target)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            before = merged.get(name)
            merged[name] = merge(before if isinstance(before, dict) else {}, value)
        elif isinstance(value, list) and (key := _MERGE_KEYS.get(name)) and _has_key(value, key):
            merged[name] = _merge_lists(merged.get(name) or [], value, key)
        else:
            merged[name] = value
    return merged


def _has_key(elements: list[Any], key: str) -> bool:
    return all(isinstance(each, dict) and key in each for each in elements)


def _merge_lists(before: list[Document], patch: list[Document], key: str) -> list[Document]:
    merged = {each[key]: each for each in before}
    for each in patch:
        merged[each[key]] = merge(merged.get(each[key], {}), each)
    return list(merged.values())


def dig(document: Document, *names: str) -> Any:  # noqa: ANN401  # a member of a document
    """Return a member of a member, or None where one on the way is missing."""
    found: Any = document
    for name in names:
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    return found


def strings_of(value: object) -> Iterator[str]:
    """Return every text in a document, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield str(name)
            yield from strings_of(member)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from strings_of(each)


def map_strings[T](value: T, change: Callable[[str], object]) -> T:
    """Return a document with every text changed, names of members included."""
    mapped: Any = value
    if isinstance(value, str):
        mapped = change(value)
    elif isinstance(value, dict):
        mapped = {str(change(name)): map_strings(member, change) for name, member in value.items()}
    elif isinstance(value, list | tuple):
        mapped = [map_strings(each, change) for each in value]
    return mapped  # type: ignore[no-any-return]  # as deep as the document
