"""BrokerLab: a lab with the broker, the stand-in cloud as a unit of its own, and a login.

Knows the outside of the broker only. The one invariant: after `reset` the service runs with the standard
configuration and a valid ticket.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from broker.sandbox import credentials
from tests.system.lab import PATIENCE_SECONDS, ROOT, SERVICE, Lab, LabError

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
CLOUD_PORT = 8443
DROP_INS = "/run/systemd/system"

CONFIG = f"""\
[login]
listen = ""

[state]
key = "credential:state-key"

[accounts.home]
authority     = "https://127.0.0.1:{CLOUD_PORT}"
provider      = "partner"
client_id     = "{credentials.PARTNER_CLIENT_ID}"
client_secret = "credential:home-client-secret"
ca_file       = "/srv/cloud/ca.pem"

[accounts.home.api]
base_url         = "https://127.0.0.1:{CLOUD_PORT}/vdeproducts/v1.0"
subscription_key = "credential:home-subscription-key"
daily_quota      = 0

[tickets.front-door]
account   = "home"
plant_id  = "{credentials.PLANT_ID}"
device_id = "{credentials.DEVICE_ID}"
"""
LIBRARIES_ALONE = (
    "import aiohttp.web, apscheduler.schedulers.asyncio, cryptography.hazmat.primitives.ciphers.aead, time; "
    "print(time.process_time())"
)
CLOUD_UNIT = f"""\
[Service]
Type=notify
ExecStart=/opt/eliot-broker/current/bin/python /srv/lab/agent.py cloud /srv/cloud {CLOUD_PORT}
"""


def build_wheels(directory: Path) -> Path:
    """Wheels of what the broker needs and of what builds it, at the versions of .ci/constraints.txt.

    For the Python that the lab has, which may be another one than ours.
    """
    source = copy_of_checkout(directory / "source", version=None)
    _pip("wheel", "-w", directory, "--no-deps", source)
    own = next(directory.glob("eliot_broker-*.whl"))
    only = ["--only-binary", ":all:", "--python-version", python_version()]
    _pip("download", "-d", directory, "-c", CHECKOUT / ".ci/constraints.txt", *only, f"{own}[qr]", "setuptools>=77")
    return directory


def _pip(command: str, *words: str | Path) -> None:
    words = ("-q", "--disable-pip-version-check", *words)
    subprocess.run([sys.executable, "-m", "pip", command, *words], check=True, cwd="/", capture_output=True)


def python_version() -> str:
    """Which Python the lab has, say 3.11."""
    tell = "import sys; print(*sys.version_info[:2], sep='.')"
    told = subprocess.run(["chroot", ROOT, "/usr/bin/python3", "-c", tell], check=True, capture_output=True, text=True)
    return told.stdout.strip()


def copy_of_checkout(target: Path, *, version: str | None) -> Path:
    """What a build needs of this checkout, as another version where one is given."""
    target.mkdir()
    names = ["broker", "pyproject.toml", "README.md", "LICENSE", "systemd", ".ci"]
    there = [name for name in names if (CHECKOUT / name).exists()]
    subprocess.run(["cp", "-rL", *there, str(target)], check=True, cwd=CHECKOUT)
    (target / "README.md").touch()
    (target / "LICENSE").touch()
    if version is not None:
        init = target / "broker/__init__.py"
        lines = [
            f'__version__ = "{version}"' if line.startswith("__version__") else line
            for line in init.read_text().splitlines()
        ]
        init.write_text("\n".join(lines) + "\n")
    return target


def offline(wheels: str) -> dict[str, str]:
    """The environment in which pip finds everything in `wheels`."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels, "PIP_CONFIG_FILE": os.devnull}


def install_broker(target: Path, wheels: Path) -> Path:
    """Run systemd/install in a lab of its own; `target` becomes its /opt/eliot-broker."""
    target.chmod(0o755)  # pytest's directories are root's alone
    lab = Lab(
        "eliot-install", (f"{target}:/opt/eliot-broker", f"{wheels}:/srv/wheels"), environment=offline("/srv/wheels")
    )
    try:
        lab.start()
        lab.sh("/srv/wheels/source/systemd/install")
    finally:
        lab.stop()
    return target


class BrokerLab(Lab):
    """A lab where /opt/eliot-broker is what `install_broker` made."""

    def __init__(self, name: str, installed: Path, wheels: Path) -> None:
        binds = (f"{installed}:/opt/eliot-broker", f"{wheels}:/srv/wheels", f"{HERE}:/srv/lab")
        super().__init__(name, binds, environment=offline("/srv/wheels"))

    def boot(self) -> None:
        """Boot, install the units, seal the credentials, start the cloud."""
        self.start()
        self.sh("ln -sf /opt/eliot-broker/current/bin/eliot-broker /usr/local/bin/eliot-broker; mkdir -p /srv/cloud")
        self.write("/etc/systemd/system/cloud.service", CLOUD_UNIT)
        self.write("/etc/eliot-broker/broker.toml", CONFIG)
        self.sh("eliot-broker units --install")
        self.sh("systemctl start cloud.service; eliot-broker credentials state-key")
        self.sh("eliot-broker credentials home-client-secret", stdin=credentials.PARTNER_CLIENT_SECRET)
        self.sh("eliot-broker credentials home-subscription-key", stdin=credentials.SUBSCRIPTION_KEY)

    def reset(self) -> None:
        """Standard configuration, no drop-ins, running and logged in."""
        self.write("/etc/eliot-broker/broker.toml", CONFIG)
        self.sh(f"rm -rf {DROP_INS}/*.d; systemctl daemon-reload; systemctl start cloud.service eliot-broker.socket")
        self.sh(f"! systemctl -q is-active {SERVICE} || systemctl reload {SERVICE}", status=None)
        self.control("clear")
        self.control("options", '{"gateway_online": true}')
        if self.show(SERVICE, "ActiveState")["ActiveState"] != "active" or self.get("/readyz")[0] != 200:
            self.sh(f"systemctl stop {SERVICE}; rm -rf /var/lib/eliot-broker/*")
            self.start_service()
            self.log_in()

    def start_service(self) -> None:
        """Start it. Raises: LabError with its journal."""
        try:
            self.sh(f"systemctl restart {SERVICE}")
        except LabError as error:
            raise LabError(f"{error}\n{self.journal()[-3000:]}") from None

    def libraries_seconds(self) -> float:
        """CPU time of a process that imports the service's libraries and no more: what this machine makes of a start.

        Promises in seconds are of a machine on which it is a quarter of one.
        """
        return float(self.sh(f'/opt/eliot-broker/current/bin/python -c "{LIBRARIES_ALONE}"'))

    def control(self, action: str, document: str = "{}") -> None:
        """Change the cloud's weather."""
        self.sh(
            "curl -sf --cacert /srv/cloud/ca.pem -H 'Content-Type: application/json' "
            f"-d '{document}' https://127.0.0.1:{CLOUD_PORT}/__sandbox/{action}"
        )

    def add_user(self, name: str, group: str) -> None:
        """A user who is in a group, both made where they are not there."""
        self.sh(f"getent group {group} >/dev/null || groupadd -r {group}")
        self.sh(f"id -u {name} >/dev/null 2>&1 || useradd -r -G {group} {name}")

    def log_in(self, *, until_ready: bool = True) -> None:
        """Log in to `home`, as a person would."""
        self.agent("login /srv/cloud")
        if until_ready:
            self.await_status("/readyz", 200)

    def await_call(self, endpoint: str, *, after: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the cloud has seen more than `after` requests to an endpoint."""
        deadline = time.monotonic() + seconds
        while len([call for call in self.cloud_calls() if call["endpoint"] == endpoint]) <= after:
            if time.monotonic() > deadline:
                raise LabError(f"no request to {endpoint}")

    def cloud_calls(self) -> list[dict[str, Any]]:
        """Every request that the cloud saw."""
        told = self.sh(f"curl -sf --cacert /srv/cloud/ca.pem https://127.0.0.1:{CLOUD_PORT}/__sandbox/calls")
        calls: list[dict[str, Any]] = json.loads(told)
        return calls

    def drop_in(self, text: str, unit: str = SERVICE) -> None:
        """Add directives to a unit until the next reset."""
        self.write(f"{DROP_INS}/{unit}.d/test.conf", text)
        self.sh("systemctl daemon-reload")
