"""Secrets and configuration replaced while the broker runs: what stays, what changes, what a bad file does."""

from __future__ import annotations

import signal
from threading import Thread

import pytest

from broker.client import Problem
from broker.sandbox import credentials
from broker.sandbox.weather import Fault
from tests.resilience.home import Home, until


@pytest.mark.slow
def test_the_client_secret_has_expired(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        home.cloud.options.applications[credentials.PARTNER_CLIENT_ID].secret = "renewed"
        assert broker.provoke() == "config_error"
        row = broker.account
        assert (row["state"], row["remedy"]) == ("config_error", "fix")
        assert "AADB2C90081" in row["detail"]
        assert row["hint"]
        home.secret("client-secret", "renewed")
        assert any("client_secret" in change for change in broker.client.reload()["changes"])
        until(lambda: broker.account["state"] == "logged_in", seconds=30)
        broker.refresh()
        assert len(home.events("login.completed")) == 1, "no person was needed"


@pytest.mark.slow
def test_the_configuration_is_reloaded(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        ticket, token = broker.client.ticket("front-door", wait=30), broker.client.id_token("home")
        calls, asked = home.cloud.tickets_issued, home.token_requests
        home.configure(more='[hooks]\ncommand = ["/bin/true"]\n')
        broker.signal(signal.SIGHUP)
        until(lambda: bool(home.events("config.reloaded")), seconds=30)
        assert broker.client.ticket("front-door").value == ticket.value
        assert broker.client.id_token("home").value == token.value
        assert (home.cloud.tickets_issued, home.token_requests) == (calls, asked)


@pytest.mark.slow
def test_the_configuration_is_bad_at_a_reload(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        home.configure(more="[nonsense]\n")
        with pytest.raises(Problem) as caught:
            broker.client.reload()
        assert caught.value.code == "config_error"
        assert "nonsense" in str(caught.value.detail)
        broker.refresh()
        assert broker.client.ticket("front-door", wait=30).value
        broker.signal(signal.SIGHUP)
        until(lambda: len(home.events("config.reload_failed")) == 2, seconds=30)
        home.configure()
        broker.client.reload()
        broker.refresh()


@pytest.mark.slow
def test_an_account_is_taken_out_and_put_back(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        whole = home.configure().read_text()
        home.configure().write_text(whole.partition("[accounts.home]")[0])
        broker.client.reload()
        assert broker.client.accounts() == []
        home.configure()
        broker.client.reload()
        assert broker.account["state"] == "logged_in"
        broker.refresh()


@pytest.mark.slow
@pytest.mark.parametrize("home", [{"rotation": "strict"}], indirect=True)
def test_an_account_is_put_back_while_its_last_refresh_is_under_way(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        whole = home.configure().read_text()
        home.cloud.script.add("token", Fault(delay_seconds=1.5))
        asked = home.token_requests
        refresh = Thread(target=broker.provoke)
        refresh.start()
        until(lambda: home.token_requests > asked, seconds=30)
        home.configure().write_text(whole.partition("[accounts.home]")[0])
        broker.client.reload()
        home.configure()
        broker.client.reload()
        refresh.join(timeout=60)
        assert broker.account["state"] == "logged_in"
        broker.refresh()
        assert broker.account["state"] == "logged_in"
