"""Check that the settings are valid and the port is free, before the slow steps of a start."""

import os
import socket
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")


def why_not(host: str, port: int) -> str:
    """Return why no server can listen at this host and port, or an empty text if one can."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        # `localhost` has two addresses, and the server uses the one of IPv4.
        family, kind, _protocol, _name, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        with socket.socket(family, kind) as probe:
            # The server sets this option, too: a port whose last connection is still closing counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except PermissionError:
        return f"This account can't open port {port}. Choose a port above 1023: PORT=8000 bin/run"
    except socket.gaierror:
        return f"HOST={host} is not an address of this machine."
    except OSError as failure:
        return f"Port {port} on {host} is in use ({failure.strerror}). Try another port: PORT={port + 1} bin/run"
    return ""


def main() -> int:
    try:
        from lockbox_site import settings
    except ImproperlyConfigured as failure:
        print(f"run: {failure}", file=sys.stderr)
        return 1
    problem = why_not(settings.HOST, settings.PORT)
    if problem:
        print(f"run: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
