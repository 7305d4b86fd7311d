"""Where `setup` puts broker.toml and its secrets: asked before anything is replaced, and the old one is kept.

Knows modes and places, no question but "replace it?". The one invariant: a file that was there is replaced only after
a yes, and then stays beside the new one as `.old`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from broker.cli import exit_codes
from broker.cli.failures import Failure
from broker.config.places import SYSTEM_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.cli.questions import Questions
    from broker.core.secret import Secret

SEALED = Path("/etc/credstore.encrypted")


def config_place(explicit: str | None, environ: Mapping[str, str], user_id: int) -> Path:
    """Where broker.toml goes: --config, ELIOT_BROKER_CONFIG, root's place, the user's. Raises: Failure."""
    chosen = explicit or environ.get("ELIOT_BROKER_CONFIG")
    if chosen:
        return Path(chosen)
    if user_id == 0:
        return SYSTEM_FILE
    home = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else "")
    if not home:
        raise Failure("there is no home directory to write broker.toml to", exit_codes.USAGE, hint="use --config FILE")
    return Path(home, "eliot-broker", "broker.toml")


def may_seal(user_id: int, config: Path) -> bool:
    """Whether systemd can keep the secrets: a service of the system on a machine that has systemd-creds."""
    return user_id == 0 and config == SYSTEM_FILE and shutil.which("systemd-creds") is not None


def keep_secrets(
    secrets: dict[str, Secret], account: str, config: Path, questions: Questions, *, sealed: bool
) -> dict[str, str]:
    """Keep each secret, sealed or in a file beside broker.toml; what broker.toml says of each. Raises: Failure."""
    references = {}
    for kind, secret in secrets.items():
        name = f"{account}-{kind}"
        if sealed:
            from broker.units.placing import PlacingError
            from broker.units.sealing import seal

            try:
                seal(name, secret, SEALED, with_key="auto")
            except PlacingError as error:
                raise Failure(str(error), exit_codes.UNEXPECTED) from None
            references[kind] = f"credential:{name}"
        else:
            path = config.parent.absolute() / name
            write(path, secret.reveal() + "\n", 0o600, questions)
            references[kind] = f"file:{path}"
    return references


def write(path: Path, text: str, mode: int, questions: Questions) -> bool:
    """Write a file whole; False: it was there and was to stay. Raises: Failure."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.exists():
            if path.read_text("utf-8", "replace") == text:
                return True
            if not questions.yes(
                f"{path} is there already. Replace it (the old one stays as {path.name}.old)?", default=False
            ):
                return False
            path.replace(path.with_name(f"{path.name}.old"))
        _create(path, text, mode)
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise Failure(f"{path} cannot be written: {why}", exit_codes.USAGE, hint="as root, or with --config") from None
    return True


def append(path: Path, text: str) -> None:
    """Add a table to broker.toml, replacing the file whole. Raises: Failure."""
    try:
        draft = path.with_name(f".{path.name}.tmp")
        draft.unlink(missing_ok=True)
        _create(draft, path.read_text("utf-8") + text, path.stat().st_mode & 0o777)
        draft.replace(path)
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise Failure(f"{path} cannot be written: {why}", exit_codes.USAGE) from None


def _create(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
