"""Entity tags: what a caller has already, and need not be told again."""


def matches(if_none_match: str | None, etag: str) -> bool:
    """Return whether the caller holds the document with this tag, by what it sent as `If-None-Match`.

    Compared as RFC 9110 (13.1.2) says: weakly, against a list, and `*` matches whatever is there.
    """
    if if_none_match is None:
        return False
    offered = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in offered or etag in offered
