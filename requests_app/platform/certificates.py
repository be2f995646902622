"""What is wrong with the certificate of another server, and the certificate authorities that this machine adds."""

from __future__ import annotations

import os
import ssl
from enum import StrEnum
from pathlib import Path

#: The setting, and OpenSSL's variable, with the file of additional certificate authorities.
AUTHORITIES = "SSL_CERT_FILE"


class Fault(StrEnum):
    NAME = "certificate_name"
    ISSUER = "certificate_issuer"
    OTHER = "certificate"


#: OpenSSL's codes (X509_V_ERR_*): another host name or IP address; no issuer that this machine trusts.
_FAULTS = {62: Fault.NAME, 64: Fault.NAME, **dict.fromkeys((2, 18, 19, 20, 21), Fault.ISSUER)}


def fault_of(error: BaseException) -> Fault | None:
    """Return what is wrong with the certificate. Return None if the error is not about a certificate."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return None
    return _FAULTS.get(error.verify_code, Fault.OTHER)


def trust(path: Path) -> None:
    """Make this process trust the authorities in this file too. Raise OSError if it has none that can be read.

    OpenSSL itself would ignore such a file without a message.
    """
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=str(path))
    os.environ[AUTHORITIES] = str(path)
