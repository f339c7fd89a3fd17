"""Ollama's rules for names of models (https://github.com/ollama/ollama/blob/main/types/model/name.go)."""

_REGISTRY = "registry.ollama.ai"
_NAMESPACE = "library"
_TAG = "latest"


def canonical_name(name: str) -> str:
    """Return the full form, `host/namespace/model:tag` in lower case, with Ollama's defaults filled in.

    >>> canonical_name("Llama3.2")
    'registry.ollama.ai/library/llama3.2:latest'
    """
    path = name.strip().rpartition("://")[2].lower()
    # A colon before the last slash belongs to host:port.
    place, slash, last = path.rpartition("/")
    model, _, tag = last.partition(":")
    parts = [*place.split("/"), model] if slash else [model]
    defaults = [_REGISTRY, _NAMESPACE]
    missing = max(0, len(defaults) + 1 - len(parts))
    return "/".join([*defaults[:missing], *parts]) + f":{tag or _TAG}"


def is_same_model(one: str, other: str) -> bool:
    """Return whether Ollama would find the same model under both names."""
    return canonical_name(one) == canonical_name(other)
