"""A certificate authority for one cluster, and its certificate for the proxy, made by trustme."""

from dataclasses import dataclass
from pathlib import Path

import trustme

from deploy.files import write_atomically

NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Certificate:
    """The PEM files. Clients have to trust `authority`, whose own key is not kept."""

    authority: Path
    certificate: Path
    key: Path


def make_certificate(folder: Path, names: tuple[str, ...] = NAMES) -> Certificate:
    """Write all three to `folder`, the key readable by this user alone; existing files are replaced."""
    authority = trustme.CA(organization_name="Session Cluster, a local certificate authority")
    issued = authority.issue_cert(*names, common_name=names[0])
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    return Certificate(
        write_atomically(folder / "ca.pem", authority.cert_pem.bytes(), 0o644),
        write_atomically(folder / "certificate.pem", chain, 0o644),
        write_atomically(folder / "key.pem", issued.private_key_pem.bytes()),
    )
