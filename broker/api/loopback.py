"""The loopback port where a login's redirect is awaited: bound at both families.

Knows no page. The one invariant: what is bound at one family is bound at the other too, or this machine has none.
"""

from __future__ import annotations

import errno
import socket

TRIES = 8  # at port 0: a port that is free at one address may be taken at the other


def bind_loopback(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to `host` and, where that is loopback, to its other family at the same port. Raises: OSError.

    A browser that is sent to `localhost` may try ::1 first: whoever listened there would be handed the code.
    """
    both = {"127.0.0.1": "::1", "::1": "127.0.0.1", "localhost": "::1"}
    first_host = "127.0.0.1" if host == "localhost" else host
    for last in range(TRIES, 0, -1):
        first = _bind(first_host, port)
        if host not in both:
            return [first]
        try:
            return [first, _bind(both[host], first.getsockname()[1])]
        except OSError as error:
            if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:  # this machine has one family only
                return [first]
            first.close()
            if port or last == 1:
                raise
    raise AssertionError


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound
