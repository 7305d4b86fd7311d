"""What `login` shows: the URL, a QR code, the ssh line for a machine without a browser, the time left.

Knows a terminal, no socket. The one invariant: stdout carries the URL alone on a line (or one JSON object).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from broker.cli.terminal import Terminal
    from broker.client.operations import Document

LOOPBACK = ("localhost", "127.0.0.1", "::1")
SSH_PORT = "22"


def show(started: Document, terminal: Terminal, *, as_json: bool, browser: bool) -> None:
    """Show where to log in."""
    url = str(started.get("authorization_url", ""))
    terminal.note("open this URL in a browser and log in:")
    if as_json:
        terminal.document(started, indent=None)
    else:
        terminal.result(url)
    short = started.get("short_url")
    if terminal.stderr.isatty():
        _qr(url, short, terminal)
    if short:
        terminal.note(f"the same for a browser on this machine, short enough to type:\n  {short}")
    tunnel = ssh_tunnel(str(started.get("redirect_uri", "")), terminal)
    if tunnel:
        terminal.note(f"if the browser is on your own machine, run this there first:\n  {tunnel}")
    terminal.note("then come back here, or paste the address that the browser ends at")
    redirect_uri = started.get("redirect_uri")
    terminal.note(f"if the page says that the reply URL does not match: register {redirect_uri} to the letter")
    terminal.note("if it logs in the wrong person by itself: open the URL in a private window")
    if browser:
        _open(url, terminal)


def ssh_tunnel(redirect_uri: str, terminal: Terminal) -> str | None:
    """The ssh line by which a browser elsewhere reaches our listener; None: not over ssh, or no local redirect."""
    from urllib.parse import urlsplit

    connection = terminal.environment.get("SSH_CONNECTION", "").split()
    redirect = urlsplit(redirect_uri)
    if len(connection) < 4 or redirect.hostname not in LOOPBACK:  # noqa: PLR2004 (sshd's four words)
        return None
    _, _, host, ssh_port = connection[:4]
    user = terminal.environment.get("USER", "")
    port = redirect.port or 80
    where = f"{user}@{host}" if user else host
    option = "" if ssh_port == SSH_PORT else f"-p {ssh_port} "
    return f"ssh -L {port}:127.0.0.1:{port} {option}{where}"


class Countdown:
    """The time left, kept up to date at the start of a terminal's line; silent where stderr is none."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._visible = terminal.stderr.isatty()
        self._shown = False

    def show(self, seconds: float) -> None:
        """Show the seconds left, without moving the cursor of whoever is typing behind it."""
        if not self._visible:
            return
        minutes, rest = divmod(max(0, round(seconds)), 60)
        clock = f"[{minutes:2d}:{rest:02d}]"
        text = f"\0337\r{clock}\0338" if self._shown else f"{clock} waiting; or paste here: "
        print(text, end="", file=self._terminal.stderr, flush=True)
        self._shown = True

    def end(self) -> None:
        """Leave the line."""
        if self._shown:
            self._terminal.note("")
        self._shown = False


def _qr(url: str, short: str | None, terminal: Terminal) -> None:
    """The QR code of the URL; where that is too long for the screen, of the short local address."""
    try:
        import segno
    except ImportError:
        return  # an optional extra; the URL is there
    columns, lines = terminal.size()
    for text in filter(None, (url, short)):
        code = segno.make(text, error="l")
        width, height = code.symbol_size()
        if width <= columns and height / 2 <= lines:  # two rows of it stand in one line of text
            code.terminal(out=terminal.stderr, compact=True)
            return
    terminal.note("(a larger window would show a QR code for a telephone here)")


def _open(url: str, terminal: Terminal) -> None:
    import webbrowser

    if not webbrowser.open(url):
        terminal.note("no browser could be opened on this machine")
