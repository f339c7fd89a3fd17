"""TLS for a server whose certificates no public authority has made: whom to trust, and as whom to appear."""

import os
import ssl
from pathlib import Path
from tempfile import NamedTemporaryFile

import httpx


def trusting_context(
    ca_pem: str | None, *, certificate_pem: str | None = None, key_pem: str | None = None
) -> ssl.SSLContext:
    """Return a context that trusts the given certificates alone, or the public roots where none are given.

    Names and signatures are checked in both cases. Python 3.13 also refuses what a strict reading of RFC 5280 does,
    and the roots of EKS, older GKE and MicroK8s fail that (kubernetes-client/python#2394, awslabs/mcp#3791). So the
    strict flag is off where the operator names the roots, and stays on for public ones.

    Parameters
    ----------
    certificate_pem, key_pem
        As whom to appear; both or none, the key without a password.

    Raises
    ------
    ssl.SSLError
        Something of it is no PEM, or the key does not belong to the certificate.
    """
    if ca_pem is None:
        context = httpx.create_ssl_context(trust_env=False)
    else:
        context = ssl.create_default_context(cadata=ca_pem)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if certificate_pem is not None and key_pem is not None:
        _load_identity(context, f"{key_pem}\n{certificate_pem}\n".encode())
    return context


def _load_identity(context: ssl.SSLContext, pem: bytes) -> None:
    """Give a context its certificate, which OpenSSL reads from a file alone: one in memory where there is such."""
    try:
        number = os.memfd_create("identity")
    except (AttributeError, OSError):
        _load_from_disk(context, pem)
        return
    try:
        os.write(number, pem)
        _load(context, f"/proc/self/fd/{number}")
    finally:
        os.close(number)


def _load_from_disk(context: ssl.SSLContext, pem: bytes) -> None:
    # Made with mode 0600, and gone before anything is sent.
    with NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        _load(context, Path(file.name))


def _load(context: ssl.SSLContext, path: str | Path) -> None:
    # A password that is given and wrong is an error; without one OpenSSL asks at a terminal.
    context.load_cert_chain(path, password=lambda: b"")
