"""A machine that destroys itself, should everything of ours be down.

Vast.ai gives every container its own contract's number and a key that can destroy just that (docs.vast.ai,
"Instance environment variables"). The default image holds no curl and no Python, but `ca-certificates` brings
`openssl`, which is enough for one HTTPS request (ollama's Dockerfile; Debian's ca-certificates depends on openssl).
"""

from datetime import datetime, timedelta
from urllib.parse import urlsplit

from rune.rentals.provider import Template

GRACE = timedelta(minutes=15)
"""How long after the rental's last possible end the machine waits for RUNE to do it."""

EXPIRES_VARIABLE = "RUNE_EXPIRES_AT"
LIFE_VARIABLE = "RUNE_LIFE_SECONDS"
START = "exec ollama serve"
"""What the image's own entrypoint does."""

_SCRIPT = """\
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
        Of the provider's API; None is returned for one without TLS, to which no key should be sent.
    """
    url = urlsplit(base_url)
    if url.scheme != "https" or not url.hostname:
        return None
    # Variables of the shell, so that the script itself is the same for every rental.
    variables = {"expires": "{" + EXPIRES_VARIABLE + "}", "life": "{" + LIFE_VARIABLE + "}"}
    return _SCRIPT.format(**variables, host=url.hostname, port=url.port or 443, start=start)


def make_environment(ordered_at: datetime, ceiling_at: datetime) -> dict[str, str]:
    """Return the variables that the script reads: its end by the clock, and by what has passed since it started.

    The first to come counts. A host whose clock is slow would bill on, and one that restarts counts anew.
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
    """Return whether an image, with or without its tag, is Ollama's own."""
    return image.partition(":")[0].removeprefix("docker.io/") == "ollama/ollama"
