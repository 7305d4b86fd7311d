"""`bugreport`: everything that helps, and nothing that is a secret, an id or a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from broker.doctor.report import _clean, anonymous
from broker.sandbox import CloudThread, credentials
from tests.e2e.daemon import Daemon, account, ticket
from tests.operate.command import run

if TYPE_CHECKING:
    from pathlib import Path

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtYXJpbyJ9.c2lnbmF0dXJl"


@pytest.mark.slow
def test_the_report_is_one_private_file_without_secrets_ids_and_people(tmp_path: Path) -> None:
    file = tmp_path / "report.txt"
    with CloudThread() as cloud, Daemon(tmp_path, account(cloud, tmp_path) + ticket()) as daemon:
        row = daemon.login(cloud)
        token = daemon.client.ticket("front-door", wait=30).value
        id_token = daemon.client.id_token("home").value
        found = run("bugreport", "--output", str(file), "--config", str(daemon.config), socket=daemon.socket_path)
        again = run("bugreport", "--output", str(file), "--config", str(daemon.config), socket=daemon.socket_path)
    assert (found.returncode, found.stdout) == (0, f"{file}\n"), found.stderr
    assert (again.returncode, file.stat().st_mode & 0o777) == (2, 0o600)
    text = file.read_text()
    told = [token, id_token, row["subject"], row["display_name"], credentials.PARTNER_CLIENT_SECRET]
    told += [credentials.SUBSCRIPTION_KEY, credentials.PLANT_ID, credentials.DEVICE_ID, credentials.PARTNER_CLIENT_ID]
    assert [secret for secret in told if secret and secret in text] == []
    for title in ("machine", "doctor", "configuration", "status", "log"):
        assert f"==== {title}\n" in text
    assert '"state": "logged_in"' in text


def test_the_same_id_has_the_same_mark_in_one_report_and_another_in_the_next() -> None:
    text = "7e7b1b62-0000-4000-8000-000000000001 and 7E7B1B62-0000-4000-8000-000000000001 of ada@example.org"
    marked = anonymous(text, "salt")
    first, second, mail = marked.split(" and ")[0], marked.split(" and ")[1].split(" of ")[0], marked.split(" of ")[1]
    assert first == second == f"<id {first[4:10]}>"
    assert mail.startswith("<mail ")
    assert anonymous(text, "pepper") != marked


@pytest.mark.parametrize("secret", [JWT, "code=abc.def", "Bearer abcdefghijkl", "A" * 44, "client_secret=hush"])
def test_what_looks_like_a_secret_is_taken_out(secret: str) -> None:
    assert secret not in _clean("log", f"it said {secret} and ended", "salt", ())
