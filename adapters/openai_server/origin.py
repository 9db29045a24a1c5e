"""Whether a request comes from this machine, as far as a browser tells.

A page from anywhere can make a browser send requests to loopback, and read the answers where the name of its
own host is made to point there (DNS rebinding). Such requests carry that name as Host, or the page's Origin.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

__all__ = ["is_local", "is_loopback"]


def is_loopback(name: str) -> bool:
    """Whether a name or address is this machine's own, and nobody else can make it point elsewhere."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def is_local(host: str, origin: str | None) -> bool:
    """Whether the Host header, and Origin where there is one, name this machine."""
    named = [f"//{host}"] if origin is None else [f"//{host}", origin]
    try:
        return all(is_loopback(urlsplit(one).hostname or "") for one in named)
    except ValueError:
        return False
