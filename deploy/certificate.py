"""A certificate authority for this machine alone, and a certificate of its for the proxy; made by trustme."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Certificate:
    """The files, all PEM. Whoever is to trust the proxy imports `authority`; its own key is kept nowhere."""

    authority: Path
    certificate: Path
    key: Path


def make_certificate(folder: Path, names: tuple[str, ...] = NAMES) -> Certificate:
    """Makes all three in `folder`; the key for this user alone. What is there already is replaced."""
    authority = trustme.CA(organization_name="Session Cluster, a local certificate authority")
    issued = authority.issue_cert(*names, common_name=names[0])
    made = Certificate(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")
    made.authority.write_bytes(authority.cert_pem.bytes())
    made.certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    made.key.unlink(missing_ok=True)
    with os.fdopen(os.open(made.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(issued.private_key_pem.bytes())
    return made
