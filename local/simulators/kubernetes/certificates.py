"""A certificate authority of a cluster, as kubeadm makes them, or as EKS and others do."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local.simulators.serving import TlsFiles

_LIFE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Authority:
    """A key that signs, and its certificate.

    Attributes
    ----------
    is_plain
        Whether certificates have neither keyUsage nor key identifiers, as the roots of EKS; strict verification,
        the default of Python 3.13, refuses them.
    """

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    is_plain: bool

    @classmethod
    def make(cls, *, is_plain: bool = False) -> Self:
        """Return a new authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("kubernetes")
        builder = _builder(name, name, key).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        if not is_plain:
            builder = builder.add_extension(_usage(signs_certificates=True), critical=True).add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
        return cls(key, builder.sign(key, hashes.SHA256()), is_plain)

    @property
    def pem(self) -> bytes:
        """The certificate, as kubeconfigs carry it."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue_server(self, *names: str) -> tuple[bytes, bytes]:
        """Return certificate and key of a server at 127.0.0.1 and these names, as PEM."""
        found = [x509.DNSName(each) for each in ("localhost", "kubernetes.default.svc", *names)]
        extension = x509.SubjectAlternativeName([*found, x509.IPAddress(IPv4Address("127.0.0.1"))])
        return self._issue(_name("kube-apiserver"), ExtendedKeyUsageOID.SERVER_AUTH, extension)

    def issue_client(self, user: str, group: str = "") -> tuple[bytes, bytes]:
        """Return certificate and key of a user, as PEM: its common name is the user's."""
        return self._issue(_name(user, group), ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def write_server(self, folder: Path, *names: str) -> TlsFiles:
        """Write what a server needs into files; callers delete the folder."""
        certificate, key = self.issue_server(*names)
        files = TlsFiles(folder / "server.pem", folder / "server.key", folder / "ca.pem")
        files.key.touch(mode=0o600)
        for path, content in ((files.certificate, certificate), (files.key, key), (files.clients, self.pem)):
            path.write_bytes(content)
        return files

    def _issue(
        self, subject: x509.Name, purpose: x509.ObjectIdentifier, names: x509.SubjectAlternativeName | None
    ) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(subject, self.certificate.subject, key).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if not self.is_plain:
            builder = builder.add_extension(_usage(signs_certificates=False), critical=True).add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
        pem = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        return pem, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def _name(common: str, organization: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFE)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
