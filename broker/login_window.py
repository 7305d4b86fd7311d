"""Where redirects are awaited while a login is pending: the service's window onto the redirect page's listener.

Knows the listener's life; of a login, where it begins and where it ends. The one invariant: nothing listens while no
login is pending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from broker.api.loopback import bind_loopback
from broker.core.redirect import short_path
from broker.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from broker.api.redirect_page import RedirectListener
    from broker.core.secret import Secret
    from broker.core.tokens import PendingLogin

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class RedirectWindow:
    """services.logins.LoginWindow on a loopback port."""

    def __init__(self, on_redirect: Callable[[Secret], Awaitable[str]]) -> None:
        self.listen = ""
        self._on_redirect = on_redirect
        self._listener: RedirectListener | None = None
        self._paths: frozenset[str] = frozenset()

    async def open(self, pending: Sequence[PendingLogin]) -> str | None:
        """Await these logins' redirects (none: close); what keeps it from listening, None where it listens."""
        found = (self._path(login.redirect_uri) for login in pending)
        paths = frozenset(path for path in found if path is not None)
        if paths != self._paths:
            await self._close()
        if not paths:
            return "the redirect URI is not one that this machine can listen for" if pending else None
        if self._listener is None:
            from broker.api.redirect_page import RedirectListener

            listener = RedirectListener(self.listen, paths, self._on_redirect)
            try:
                await listener.start()
            except BrokerError as error:
                return error.message
            self._listener, self._paths = listener, paths
        self._listener.begins = {short_path(login): login.authorization_url for login in pending}
        return None

    def short_url(self, login: PendingLogin) -> str | None:
        """A short address on this machine that leads to the login's own; None: nothing listens."""
        return None if self._listener is None else f"http://localhost:{self._listener.port}{short_path(login)}"

    def _path(self, redirect_uri: str) -> str | None:
        """The path to answer, where this redirect URI leads to our port."""
        uri = urlsplit(redirect_uri)
        if not self.listen or uri.scheme != "http" or uri.hostname not in LOOPBACK:
            return None
        port = int(self.listen.rpartition(":")[2])
        return (uri.path or "/") if (uri.port or 80) == port else None

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        self._paths = frozenset()
        if listener is not None:
            await listener.stop()


def check_free(listen: str) -> None:
    """See at the start that the port for logins can be had later. Raises: BrokerError."""
    host, _, port = listen.rpartition(":")
    try:
        for bound in bind_loopback(host.strip("[]"), int(port)):
            bound.close()
    except OSError as error:
        raise BrokerError(
            f"[login] listen {listen}: {error.strerror}",
            hint='another program has that port: choose another, or listen = "" to log in by pasting',
        ) from None
