"""Where `setup` puts broker.toml and its secrets: asked before anything is replaced, and the old one is kept.

Knows modes and places, no question but "replace it?", and asks that of everything before it writes anything. The one
invariant: what was there is replaced only after a yes, whole, and a file then stays beside the new one as `.old`.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from errno import EACCES
from pathlib import Path

from broker.cli import exit_codes
from broker.cli.failures import Failure
from broker.cli.whole_file import replace
from broker.config.places import SYSTEM_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def may_write(path: Path, questions: Questions) -> bool:
    """Whether this file may be written: it is not there, or a person said yes. Raises: Failure (it cannot be)."""
    with _writing(path):
        there = path.exists()
        nearest = next(parent for parent in path.absolute().parents if parent.exists())
        if not os.access(nearest, os.W_OK):
            raise PermissionError(EACCES, "permission denied")
    return not there or questions.yes(
        f"{path} is there already. Replace it (the old one stays as {path.name}.old)?", default=False
    )


def keep_secrets(
    secrets: dict[str, Secret], account: str, config: Path, questions: Questions, *, sealed: bool
) -> dict[str, str]:
    """Keep each secret, sealed or in a file beside broker.toml; what broker.toml says of each. Raises: Failure."""
    names = {kind: f"{account}-{kind}" for kind in secrets}
    folder = config.parent.absolute()
    if sealed:
        wanted = [kind for kind, name in names.items() if _may_seal_anew(name, questions)]
        for kind in wanted:
            _seal(names[kind], secrets[kind])
        return {kind: f"credential:{name}" for kind, name in names.items()}
    wanted = [kind for kind, name in names.items() if _may_keep(folder / name, secrets[kind], questions)]
    for kind in wanted:
        write(folder / names[kind], f"{secrets[kind].reveal()}\n", 0o600)
    return {kind: f"file:{folder / name}" for kind, name in names.items()}


def _may_seal_anew(name: str, questions: Questions) -> bool:
    from broker.units.sealing import sealed_path

    there = sealed_path(SEALED, name).exists()
    return not there or questions.yes(f"credential {name} is sealed already. Replace it?", default=False)


def _seal(name: str, secret: Secret) -> None:
    from broker.units.placing import PlacingError
    from broker.units.sealing import seal

    try:
        seal(name, secret, SEALED, with_key="auto")
    except PlacingError as error:
        raise Failure(str(error), exit_codes.UNEXPECTED) from None


def _may_keep(path: Path, secret: Secret, questions: Questions) -> bool:
    with _writing(path):
        if path.exists() and path.read_text("utf-8", "replace") == f"{secret.reveal()}\n":
            return False  # the same is there
    return may_write(path, questions)


def write(path: Path, text: str, mode: int) -> None:
    """Write a file whole; one that was there stays as `.old`. Raises: Failure."""
    with _writing(path):
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if path.exists():
            old = path.with_name(f"{path.name}.old")
            old.unlink(missing_ok=True)
            os.link(path, old)  # so that at no moment there is none
        replace(path, text, mode)


def append(path: Path, text: str) -> None:
    """Add a table to broker.toml, replacing the file whole. Raises: Failure."""
    with _writing(path):
        replace(path, path.read_text("utf-8") + text, path.stat().st_mode & 0o777)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise Failure(f"{path} cannot be written: {why}", exit_codes.USAGE, hint="as root, or with --config") from None
