"""Bears brokers: imports everything once, then forks a real process for each line it reads, one at a time.

python -m tests.resilience.nursery
<- {"config": "…", "disk": {"kind": "killing", …}, "rest_seconds": 0.05, "errors": "…"}
-> {"pid": 123}, and when that has ended {"status": -9}
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from broker.adapters import b2c, id_token, issuer, oidc, partner, store, ticker, token_request  # noqa: F401  imported early
from broker.adapters.disk import RealDisk
from broker.assembly import Parts
from broker.cli.main import main as command
from broker.daemon import serve
from broker.errors import BrokerError
from tests.resilience.failing_disk import FailingDisk
from tests.resilience.killing_disk import KillingDisk


def disk_of(wish: dict[str, Any]) -> Any:
    """The disk that the wish describes."""
    if wish["kind"] == "killing":
        log = wish.get("log")
        armed = Path(wish["armed"])
        return KillingDisk(armed, operation=wish["operation"], how=wish["how"], log=None if log is None else Path(log))
    if wish["kind"] == "failing":
        return FailingDisk(Path(wish["plan"]))
    return RealDisk()


def live(wish: dict[str, Any]) -> int:
    """Be a broker; the exit status."""
    errors = os.open(wish["errors"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(errors, 1)
    os.dup2(errors, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(wish.get("environ", {}))
    if "disk" not in wish:
        return command(["serve", "--config", wish["config"]])
    try:
        return serve(Path(wish["config"]), Parts(disk=disk_of(wish["disk"]), rest_seconds=wish["rest_seconds"]))
    except BrokerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def main() -> None:
    """Bear one broker a line, until the input ends."""
    for line in sys.stdin:
        wish = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                status = live(wish)
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(json.dumps({"pid": pid}), flush=True)
        _, waited = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(waited)}), flush=True)


if __name__ == "__main__":
    main()
