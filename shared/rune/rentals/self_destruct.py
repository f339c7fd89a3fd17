"""A machine that destroys itself if RUNE does not.

Vast.ai gives every container the number of its contract and a key for that contract alone
(https://docs.vast.ai/guides/instances/docker-environment). The default image has neither curl nor Python, but its
`ca-certificates` depends on `openssl`, which is enough for one HTTPS request
(https://github.com/ollama/ollama/blob/main/Dockerfile, https://packages.debian.org/stable/ca-certificates).
"""

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from rune.rentals.provider import Template

GRACE = timedelta(minutes=15)
"""How long after the rental's last possible end the machine waits for RUNE to destroy it."""

EXPIRES_VARIABLE = "RUNE_EXPIRES_AT"
LIFE_VARIABLE = "RUNE_LIFE_SECONDS"
START = "exec ollama serve"
"""The command of the image's own entrypoint."""

STARTED = "rune: this machine destroys itself"
"""What the script writes to the container's log if the image has what it needs. The script itself holds it in two
parts, so that a log which repeats the command shows nothing."""

_SCRIPT = """\
if command -v openssl >/dev/null && command -v timeout >/dev/null && [ -n "$CONTAINER_API_KEY" ]; then
  echo "{first}" "{last}"
fi
(
  left="${life}"
  while [ "$(date +%s)" -lt "${expires}" ] && [ "$left" -gt 0 ]; do sleep 20; left=$((left - 20)); done
  while :; do
    printf 'DELETE /api/v0/instances/%s/ HTTP/1.1\\r\\nHost: {host}\\r\\nAuthorization: Bearer %s\\r\\n\
Content-Type: application/json\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\n{{}}' \
"$CONTAINER_ID" "$CONTAINER_API_KEY" | timeout 60 openssl s_client -quiet -verify_return_error \
-verify_hostname {host} -servername {host} -connect {host}:{port} >/dev/null 2>&1
    sleep 60
  done
) &
{start}
"""


def make_script(base_url: str, start: str = START) -> str | None:
    """Return the script that starts the server and, beside it, waits to destroy the machine.

    Parameters
    ----------
    base_url
        Of the provider's API. Without TLS there is no script (None): the key must not be sent in the clear.
    """
    url = urlsplit(base_url)
    if url.scheme != "https" or not url.hostname:
        return None
    # Shell variables, so that the script itself is the same for every rental.
    variables = {"expires": "{" + EXPIRES_VARIABLE + "}", "life": "{" + LIFE_VARIABLE + "}"}
    port = url.port or 443
    first, _, last = STARTED.rpartition(" ")
    return _SCRIPT.format(**variables, host=url.hostname, port=port, start=start, first=first, last=last)


def make_environment(ordered_at: datetime, ceiling_at: datetime) -> dict[str, str]:
    """Return the variables that the script reads: its end by the clock, and its longest life since the start.

    The earlier one counts: a host's clock may be slow, and a container that restarts counts its life anew.
    """
    ends_at = ceiling_at + GRACE
    return {
        EXPIRES_VARIABLE: str(int(ends_at.timestamp())),
        LIFE_VARIABLE: str(int((ends_at - ordered_at).total_seconds())),
    }


def fits(template: Template | None) -> bool:
    """Return whether the script can stand in for the template's own start without changing what runs."""
    return template is None or (template.starts_itself and is_ollama(template.image))


def is_ollama(image: str) -> bool:
    """Return whether an image, with or without its tag and digest, is Ollama's own."""
    return image.partition("@")[0].partition(":")[0].removeprefix("docker.io/") == "ollama/ollama"
