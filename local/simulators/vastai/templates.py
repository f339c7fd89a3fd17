"""Templates: how an instance is started."""

import shlex
from dataclasses import dataclass

from local.simulators.vastai.wire import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTemplate:
    """One template.

    Attributes
    ----------
    hash_id
        Of its content; orders name a template by it.
    env
        Docker's flags as text: variables and ports.
    runtype
        `args`, `ssh` or `jupyter`.
    """

    template_id: int
    hash_id: str
    name: str
    image: str
    tag: str | None = None
    env: str = ""
    onstart: str = ""
    runtype: str = "args"
    args_str: str = ""
    recommended_disk_space_gb: float = 40.0
    private: bool = True
    description: str = ""
    creator_id: int = 123_456
    created_at: float = 1_790_000_000.0

    @property
    def full_image(self) -> str:
        """The image with its tag, if it has one."""
        return f"{self.image}:{self.tag}" if self.tag else self.image

    def describe(self) -> Json:
        """Return the row of a search."""
        return {
            "id": self.template_id,
            "hash_id": self.hash_id,
            "name": self.name,
            "image": self.image,
            "tag": self.tag,
            "default_tag": None,
            "env": self.env,
            "onstart": self.onstart,
            "runtype": self.runtype,
            "args_str": self.args_str,
            "ssh_direct": self.runtype == "ssh",
            "jup_direct": self.runtype == "jupyter",
            "use_ssh": self.runtype == "ssh",
            "use_jupyter_lab": False,
            "jupyter_dir": None,
            "docker_login_repo": None,
            "extra_filters": {},
            "recommended_disk_space": self.recommended_disk_space_gb,
            "recommended": False,
            "desc": self.description,
            "readme": "",
            "href": "",
            "repo": self.image,
            "private": self.private,
            "volume_info": None,
            "creator_id": self.creator_id,
            "created_at": self.created_at,
            "recent_create_date": self.created_at,
            "count_created": 0,
        }


def read_flags(flags: str) -> dict[str, str]:
    """Return docker's flags in the form of an order: `{"OLLAMA_HOST": "0.0.0.0", "-p 1:1": "1"}`.

    Raises
    ------
    ValueError
        A quote is not closed.
    """
    words = iter(shlex.split(flags))
    found: dict[str, str] = {}
    for word in words:
        if word in {"-e", "--env"}:
            name, _, value = next(words, "").partition("=")
            found[name] = value
        elif word in {"-p", "-h", "-v"}:
            found[f"{word} {next(words, '')}"] = "1"
    return found
