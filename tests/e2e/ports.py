"""A port that is named before anybody listens at it: below those that the kernel gives to whoever asks for any."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A free port of 127.0.0.1 that no connection and no other test is given meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
