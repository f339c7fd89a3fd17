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
START = "exec ollama serve"
"""What the image's own entrypoint does."""

_SCRIPT = """\
(
  while [ "$(date +%s)" -lt "${expires}" ]; do sleep 20; done
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
    # A variable of the shell, so that the script itself is the same for every rental.
    expires = "{" + EXPIRES_VARIABLE + "}"
    return _SCRIPT.format(expires=expires, host=url.hostname, port=url.port or 443, start=start)


def make_environment(ceiling_at: datetime) -> dict[str, str]:
    """Return the variables that the script reads."""
    return {EXPIRES_VARIABLE: str(int((ceiling_at + GRACE).timestamp()))}


def fits(template: Template | None) -> bool:
    """Return whether the script can stand in for the template's own start without changing what runs."""
    if template is None:
        return True
    repository = template.image.partition(":")[0].removeprefix("docker.io/")
    return template.starts_itself and repository == "ollama/ollama"
