"""Captive portals, proxies, broken and false answers: whatever the environment says, the login stays usable."""

from __future__ import annotations

from typing import Any

import pytest

from broker.sandbox.certificates import CertificateAuthority
from broker.sandbox.weather import Fault
from tests.resilience.home import Home, until
from tests.resilience.impostor import Impostor

JSON = {"Content-Type": "application/json"}
ANSWERS: dict[str, tuple[Fault, str]] = {
    "a captive portal answers 200 with its page": (Fault(status=200, body="<html>Welcome"), "invalid_response"),
    "a portal redirects to its page": (
        Fault(status=302, headers={"Location": "https://portal.test/"}),
        "invalid_response",
    ),
    "a proxy wants credentials, 407": (Fault(status=407, body="<html>"), "upstream_unavailable"),
    "the network wants a login, 511": (Fault(status=511, body="<html>"), "upstream_unavailable"),
    "an error page calls itself JSON": (Fault(status=400, body="<html>", headers=JSON), "invalid_response"),
    "invalid_grant in a page that is no JSON": (
        Fault(status=400, body='<html>{"error": "invalid_grant"}'),
        "invalid_response",
    ),
    "invalid_grant as text/plain": (
        Fault(status=400, body='{"error": "invalid_grant"}', headers={"Content-Type": "text/plain"}),
        "invalid_response",
    ),
    "an empty object": (Fault(status=200, body="{}", headers=JSON), "invalid_response"),
    "JSON cut off in the middle": (
        Fault(status=200, body='{"id_token": "eyJ0eXAiOiJKV1Qi', headers=JSON),
        "invalid_response",
    ),
    "an error that nobody knows": (
        Fault(status=400, body='{"error": "sorry"}', headers=JSON),
        "invalid_response",
    ),
    "500": (Fault(status=500, body="oops"), "upstream_unavailable"),
    "502 after the cloud did its work": (Fault(status=502, body="<html>", commits=True), "upstream_unavailable"),
    "503 with Retry-After": (Fault(status=503, body="", headers={"Retry-After": "1"}), "upstream_unavailable"),
    "429": (Fault(status=429, body="", headers={"Retry-After": "1"}), "rate_limited"),
    "the connection is cut before the answer": (Fault(reset="before_commit"), "upstream_unavailable"),
    "the answer breaks off": (Fault(reset="mid_answer"), "upstream_unavailable"),
}
TOKENS: dict[str, dict[str, Any]] = {
    "iss": {"id_token_claims": {"iss": "https://evil.test/"}},
    "aud": {"id_token_claims": {"aud": "another-application"}},
    "sub": {"id_token_claims": {"sub": "somebody-else"}},
    "exp": {"id_token_claims": {"exp": 1_600_000_000}},
    "an unpublished key": {"sign_with": "unpublished"},
    "no signature": {"id_token_algorithm": "none"},
    "another algorithm": {"id_token_algorithm": "HS256"},
}
WELL: dict[str, Any] = {"id_token_claims": {}, "sign_with": "published", "id_token_algorithm": "RS256"}


@pytest.mark.slow
def test_a_captive_portal_a_proxy_or_a_broken_answer_stands_in_the_way(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        for name, (fault, code) in ANSWERS.items():
            home.cloud.script.add("token", fault)
            assert broker.provoke() == code, name
            row = broker.account
            assert row["state"] == "logged_in", name
            assert row["id_token"] is not None, name
            broker.refresh()
            assert broker.account["last_failure"] is None, name
        assert home.events("login.required") == []


@pytest.mark.slow
@pytest.mark.parametrize("home", [{"rotation": "strict"}], indirect=True, ids=["strict"])
def test_an_id_token_is_false(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        for name, change in TOKENS.items():
            before = broker.client.id_token("home").value
            home.cloud.options.change(**change)
            assert broker.provoke() == "invalid_response", name
            assert broker.client.id_token("home").value == before, name
            assert broker.account["state"] == "logged_in", name
            home.cloud.options.change(**WELL)
            broker.refresh()
        broker.kill()
    with home.broker() as broker:
        broker.refresh()


@pytest.mark.slow
def test_somebody_elses_certificate_answers(home: Home) -> None:
    with Impostor(CertificateAuthority(home.cloud.seconds)) as impostor, home.broker() as broker:
        broker.login()
        home.configure(oauth=f'token_endpoint = "https://127.0.0.1:{impostor.port}/token"')
        broker.client.reload()
        assert broker.provoke() == "upstream_unavailable"
        assert "not signed by a trusted CA" in broker.account["last_failure"]["detail"]
        assert impostor.heard == b"", "no secret leaves before the certificate is known"
        home.configure()
        broker.client.reload()
        broker.refresh()


@pytest.mark.slow
def test_the_broker_crashes_in_a_loop_while_the_token_endpoint_fails(home: Home) -> None:
    with home.broker() as broker:
        broker.login()
        broker.kill()
    home.cloud.options.change(id_token_seconds=3600)
    home.cloud.script.add("token", Fault(status=500, body="oops"), times=None)
    with home.broker() as broker:
        broker.provoke()
        broker.kill()
    asked = home.token_requests
    for _ in range(100):
        with home.broker() as broker:
            until(lambda b=broker: b.account["last_failure"] is not None, seconds=30)  # type: ignore[misc]
            broker.kill()
    seconds = 100 * 0.2
    assert home.token_requests - asked <= 12, f"requests in a crash loop of about {seconds:.0f} s"
    home.cloud.script.clear()
    with home.broker() as broker:
        broker.refresh()
