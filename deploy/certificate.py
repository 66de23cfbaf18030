"""A certificate authority for one cluster, and its certificate for the proxy, made by trustme."""

import re
from dataclasses import dataclass
from pathlib import Path

import trustme

from deploy.files import write_atomically

NAMES = ("localhost", "127.0.0.1", "::1")
_MOST_CHARACTERS = 64
"""Of a common name, which is for people: clients look at the other names."""


class CertificateError(Exception):
    """No certificate can have this name; the message is one line."""


@dataclass(frozen=True)
class Certificate:
    """The PEM files. Clients have to trust `authority`, whose own key is not kept."""

    authority: Path
    certificate: Path
    key: Path


def make_certificate(folder: Path, names: tuple[str, ...] = NAMES) -> Certificate:
    """Write all three to `folder`, the key readable by this user alone; existing files are replaced.

    An address of IPv6 may stand in brackets, as in a URL. Raises CertificateError and OSError.
    """
    authority = trustme.CA(organization_name="Session Cluster, a local certificate authority")
    names = tuple(re.sub(r"^\[(.*)\]$", r"\1", name) for name in names)
    for name in names:
        try:
            authority.issue_cert(name)
        except ValueError as error:
            raise CertificateError(f"no certificate can have the name {name!r}: {error}") from error
    issued = authority.issue_cert(
        *names, common_name=next((one for one in names if len(one) <= _MOST_CHARACTERS), None)
    )
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    return Certificate(
        write_atomically(folder / "ca.pem", authority.cert_pem.bytes(), 0o644),
        write_atomically(folder / "certificate.pem", chain, 0o644),
        write_atomically(folder / "key.pem", issued.private_key_pem.bytes()),
    )
