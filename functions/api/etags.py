"""Entity tags: whether a caller already has a document."""


def matches(if_none_match: str | None, etag: str) -> bool:
    """Return whether the caller has the document with this tag, by its `If-None-Match`.

    Compared by RFC 9110 (13.1.2): weakly, against a list, and `*` matches every document.
    """
    if if_none_match is None:
        return False
    offered = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in offered or etag in offered
