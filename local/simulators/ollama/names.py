"""Names of models in Ollama: `[scheme://][host/][namespace/]model[:tag]`."""

import re
from dataclasses import dataclass

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,79}")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,349}")


@dataclass(frozen=True, slots=True)
class ModelName:
    """A name with all its parts."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def full(self) -> str:
        """The form in which some error texts name a model."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def key(self) -> str:
        """Equal for all spellings of one name; case does not count."""
        return self.full.lower()

    @property
    def shortest(self) -> str:
        """The form in lists: without the default host and namespace, always with the tag."""
        name = f"{self.model}:{self.tag}"
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{name}"
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{name}"
        return name

    @property
    def is_cloud(self) -> bool:
        """Whether the tag means a model of Ollama Cloud."""
        return self.tag == "cloud" or self.tag.endswith("-cloud")


def parse_name(text: str) -> ModelName:
    """Return the parts of a model's name, with defaults.

    Raises
    ------
    ValueError
        A part is empty, too long, or has a character that Ollama refuses.
    """
    rest = text.partition("://")[2] or text
    tag = DEFAULT_TAG
    # A colon before the last slash belongs to a host's port.
    if rest.rfind(":") > rest.rfind("/"):
        rest, _, tag = rest.rpartition(":")
    path, _, model = rest.rpartition("/")
    host, _, namespace = path.rpartition("/")
    name = ModelName(host or DEFAULT_HOST, namespace or DEFAULT_NAMESPACE, model, tag)
    parts_are_good = all(_PART.fullmatch(part) for part in (name.namespace, name.model, name.tag))
    if not parts_are_good or not _HOST.fullmatch(name.host):
        raise ValueError("invalid model name")
    return name
