"""The cloud against other people's clients: what MSAL and Authlib accept is a second opinion on its documents."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msal
import pytest
import requests
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.jwk import KeySet

from broker.sandbox import CloudThread, credentials, follow_login

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from broker.sandbox import Cloud


@pytest.fixture
def threaded() -> Iterator[Cloud]:
    with CloudThread() as cloud:
        yield cloud


@pytest.fixture
def http(threaded: Cloud) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.verify = str(threaded.ca_file)
        session.trust_env = False  # REQUESTS_CA_BUNDLE would win over `verify`
        yield session


def parameters(url: str, ca_file: Path) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(follow_login(url, ca_file)).query))


@pytest.mark.filterwarnings("ignore:response_mode='form_post'")
def test_msal_logs_in_and_refreshes_as_a_public_client(threaded: Cloud, http: requests.Session) -> None:
    app = msal.PublicClientApplication(
        credentials.B2C_PUBLIC_CLIENT_ID,
        authority=threaded.b2c_authority(),
        instance_discovery=False,
        http_client=http,
        exclude_scopes=["profile"],
    )
    flow = app.initiate_auth_code_flow([], redirect_uri=credentials.CUSTOM_SCHEME_REDIRECT_URI)
    answer = app.acquire_token_by_auth_code_flow(flow, parameters(flow["auth_uri"], threaded.ca_file))
    assert answer["id_token_claims"]["sub"] == credentials.USER_SUB
    assert "access_token" not in answer
    again = app.acquire_token_by_refresh_token(answer["refresh_token"], scopes=[])
    assert again["id_token"] != answer["refresh_token"]
    assert again["refresh_token"] != answer["refresh_token"]


@pytest.mark.parametrize("client_auth", ["client_secret_post", "client_secret_basic"])
def test_authlib_logs_in_with_the_plain_provider_and_joserfc_accepts_the_id_token(
    threaded: Cloud, http: requests.Session, client_auth: str
) -> None:
    metadata: dict[str, Any] = http.get(f"{threaded.oidc_authority}/.well-known/openid-configuration").json()
    with OAuth2Session(
        credentials.OIDC_CONFIDENTIAL_CLIENT_ID,
        credentials.OIDC_CONFIDENTIAL_CLIENT_SECRET,
        token_endpoint_auth_method=client_auth,
        redirect_uri=credentials.REDIRECT_URI,
        scope="openid offline_access",
        code_challenge_method="S256",
    ) as client:
        client.verify, client.trust_env = str(threaded.ca_file), False
        verifier = "v" * 43
        url, state = client.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=verifier, nonce="the-nonce"
        )
        response = follow_login(url, threaded.ca_file)
        token = client.fetch_token(
            metadata["token_endpoint"], authorization_response=response, state=state, code_verifier=verifier
        )
        keys = KeySet.import_key_set(http.get(metadata["jwks_uri"]).json())
        claims = jwt.decode(token["id_token"], keys, algorithms=["RS256"]).claims
        assert (claims["iss"], claims["nonce"]) == (threaded.oidc_authority, "the-nonce")
        assert token["access_token"]
        assert token["expires_in"] == 3600
        refreshed = client.refresh_token(metadata["token_endpoint"], refresh_token=token["refresh_token"])
        assert refreshed["refresh_token"] != token["refresh_token"]


async def test_the_plain_provider_writes_errors_without_microsofts_codes(
    threaded: Cloud, http: requests.Session
) -> None:
    form = {"client_id": credentials.OIDC_PUBLIC_CLIENT_ID, "grant_type": "refresh_token", "refresh_token": "x"}
    answer = await asyncio.to_thread(http.post, f"{threaded.oidc_authority}/token", form)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"
    assert "AADB2C" not in answer.text
