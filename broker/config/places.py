"""Where the configuration, the socket and the state are when nobody says so: the rules of systemd and XDG.

Pure but for looking whether a file is there. The one invariant: what is set explicitly is never silently replaced
by something found elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_FILE = Path("/etc/eliot-broker/broker.toml")
SYSTEM_SOCKET = Path("/run/eliot-broker/broker.sock")
SYSTEM_STATE = Path("/var/lib/eliot-broker")


def find_config_file(explicit: Path | None, environ: Mapping[str, str], *, system_file: Path = SYSTEM_FILE) -> Path:
    """The first of --config, ELIOT_BROKER_CONFIG, /etc and XDG's place that is there. Raises: ConfigError."""
    chosen = explicit or _path(environ, "ELIOT_BROKER_CONFIG")
    if chosen is not None:
        places = [chosen]
    else:
        home = _xdg(environ, "XDG_CONFIG_HOME", ".config")
        places = [system_file, *([home / "eliot-broker" / "broker.toml"] if home else [])]
    looked_at = []
    for place in places:
        absence = _absence(place)
        if absence is None:
            return place
        looked_at.append(f"{place} ({absence})")
    raise ConfigError(
        f"no configuration file: looked at {', '.join(looked_at)}",
        problems=tuple(f"{place}: there is no configuration file here; write one" for place in looked_at),
        hint="`eliot-broker config example` prints one to start from; --config names another place",
    )


def default_socket_path(environ: Mapping[str, str]) -> Path:
    """The socket: in $RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/eliot-broker, else where the system service has it."""
    runtime = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]  # systemd.exec(5): a list with colons
    if runtime:
        return Path(runtime, "broker.sock")
    session = _path(environ, "XDG_RUNTIME_DIR")
    return session / "eliot-broker" / "broker.sock" if session and session.is_absolute() else SYSTEM_SOCKET


def default_state_directory(environ: Mapping[str, str], *, user_id: int) -> Path | None:
    """The state: $STATE_DIRECTORY, else the user's own; root's is the system's; None where nothing tells."""
    state = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return Path(state)
    if user_id == 0 and not environ.get("XDG_STATE_HOME"):
        return SYSTEM_STATE
    home = _xdg(environ, "XDG_STATE_HOME", ".local/state")
    return home / "eliot-broker" if home else None


def _absence(place: Path) -> str | None:
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "not there"
    except (OSError, ValueError) as error:
        return (getattr(error, "strerror", None) or "no such path").lower()
    return None


def _path(environ: Mapping[str, str], variable: str) -> Path | None:
    value = environ.get(variable)
    return Path(value) if value else None


def _xdg(environ: Mapping[str, str], variable: str, below_home: str) -> Path | None:
    """An XDG base directory; a relative one is to be ignored (the specification says so)."""
    chosen = _path(environ, variable)
    if chosen is not None and chosen.is_absolute():
        return chosen
    home = _path(environ, "HOME")
    return home / below_home if home is not None and home.is_absolute() else None
