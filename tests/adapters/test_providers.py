"""Every way to sign in against the stand-in cloud: login, refresh, and what each failure means for the login."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from broker.adapters.providers import make_provider
from broker.core.secret import Secret
from broker.errors import (
    ConfigError,
    GrantRejected,
    InvalidResponse,
    LoginRejected,
    RateLimited,
    ResponseMismatch,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from broker.sandbox import credentials
from broker.sandbox.cloud import Cloud
from broker.sandbox.person import follow_login
from broker.sandbox.weather import Fault
from tests.adapters.accounts import NAMES, of_cloud
from tests.adapters.clocks import NOW, HandClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from broker.config import AccountConfig
    from broker.core.tokens import PendingLogin, TokenSet
    from broker.ports import IdentityProvider

ONE_OF_EACH = ("partner", "b2c, policy in the path", "oidc, confidential")


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    async with Cloud(now=lambda: NOW) as made:
        yield made


def query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def made(account: AccountConfig) -> IdentityProvider:
    return make_provider(account, HandClock())[0]


async def redirected(cloud: Cloud, pending: PendingLogin) -> dict[str, str]:
    return query(await asyncio.to_thread(follow_login, pending.authorization_url, cloud.ca_file))


async def logged_in(cloud: Cloud, provider: IdentityProvider) -> tuple[PendingLogin, TokenSet]:
    pending = await asyncio.to_thread(provider.begin, credentials.REDIRECT_URI)
    response = await redirected(cloud, pending)
    assert response["state"] == pending.state.reveal()
    return pending, await asyncio.to_thread(provider.redeem, pending, response)


def refresh_token(tokens: TokenSet) -> Secret:
    assert tokens.refresh_token is not None
    return tokens.refresh_token


@pytest.mark.parametrize("name", NAMES)
async def test_a_login_yields_an_id_token_that_verifies_and_refreshes_with_one_request(cloud: Cloud, name: str) -> None:
    provider, verifier = make_provider(of_cloud(cloud, name), HandClock())
    pending, tokens = await logged_in(cloud, provider)
    assert tokens.id_token is not None
    assert tokens.server_seconds == NOW
    claims = await asyncio.to_thread(
        verifier.verify, tokens.id_token, nonce=pending.nonce, server_seconds=tokens.server_seconds
    )
    assert claims.subject == credentials.USER_SUB
    cloud.calls.clear()
    newer = await asyncio.to_thread(provider.refresh, refresh_token(tokens))
    assert [call.endpoint for call in cloud.calls] == ["token"]
    assert newer.id_token is not None
    assert newer.refresh_token not in (None, tokens.refresh_token)
    again = await asyncio.to_thread(verifier.verify, newer.id_token, nonce=None, server_seconds=newer.server_seconds)
    assert again.subject == claims.subject


async def test_b2c_binds_the_code_and_asks_for_the_scopes_of_the_configuration_only(cloud: Cloud) -> None:
    pending = await asyncio.to_thread(made(of_cloud(cloud, "b2c, policy in the path")).begin, credentials.REDIRECT_URI)
    sent = query(pending.authorization_url)
    assert set(sent["scope"].split()) == {"openid", "offline_access"}
    assert sent["code_challenge_method"] == "S256"
    assert pending.nonce is not None
    assert sent["nonce"] == pending.nonce.reveal()
    assert pending.binds_code


async def test_the_partner_gateway_is_sent_nothing_that_it_does_not_know(cloud: Cloud) -> None:
    provider = made(of_cloud(cloud, "partner"))
    pending, tokens = await logged_in(cloud, provider)
    assert set(query(pending.authorization_url)) == {"client_id", "response_type", "state", "redirect_uri"}
    assert not pending.binds_code
    assert set(cloud.calls.of("token")[-1].parameters) == {"client_id", "client_secret", "grant_type", "code"}
    await asyncio.to_thread(provider.refresh, refresh_token(tokens))
    assert set(cloud.calls.of("token")[-1].parameters) == {"client_id", "client_secret", "grant_type", "refresh_token"}


async def test_the_partner_gateways_tokens_need_no_metadata(cloud: Cloud) -> None:
    await logged_in(cloud, made(of_cloud(cloud, "partner")))
    assert cloud.calls.count("metadata") == 0


@pytest.mark.parametrize("name", ONE_OF_EACH)
async def test_the_configuration_overrides_what_a_kind_does(cloud: Cloud, name: str) -> None:
    account = of_cloud(cloud, name)
    oauth = replace(
        account.oauth,
        pkce=name == "partner",
        nonce=name == "partner",
        authorize_params={"ui_locales": "it", "state": "mine"},
        token_params={"resource": "door", "grant_type": "password"},
        send_redirect_uri_to_token=not name.startswith("b2c"),
    )
    pending = await asyncio.to_thread(
        made(replace(account, oauth=oauth, prompt="login")).begin, credentials.REDIRECT_URI
    )
    sent = query(pending.authorization_url)
    assert (sent["ui_locales"], sent["prompt"]) == ("it", "login")
    assert sent["state"] == pending.state.reveal() != "mine"
    assert ("code_challenge" in sent, "nonce" in sent, pending.binds_code) == (name == "partner",) * 3
    response = await redirected(cloud, pending)
    await asyncio.to_thread(made(replace(account, oauth=oauth)).redeem, pending, response)
    call = cloud.calls.of("token")[-1]
    assert "resource" in call.parameters
    assert call.grant_type == "authorization_code"
    assert ("redirect_uri" in call.parameters) is not name.startswith("b2c")
    assert ("code_verifier" in call.parameters) is (name == "partner")


@pytest.mark.parametrize("name", ["b2c, confidential", "oidc, confidential", "partner"])
@pytest.mark.parametrize("method", ["post", "basic"])
async def test_the_client_secret_goes_where_it_is_wanted(cloud: Cloud, name: str, method: str) -> None:
    account = of_cloud(cloud, name)
    account = replace(account, oauth=replace(account.oauth, client_auth=method))  # type: ignore[arg-type]
    pending = await asyncio.to_thread(made(account).begin, credentials.REDIRECT_URI)
    response = await redirected(cloud, pending)
    tokens = await asyncio.to_thread(made(account).redeem, pending, response)
    assert tokens.id_token is not None
    call = cloud.calls.of("token")[-1]
    assert ("client_secret" in call.parameters) is (method == "post")
    assert call.headers.get("authorization", "").startswith("Basic ") is (method == "basic")


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        *[(name, "cancel", "cancelled") for name in ONE_OF_EACH],
        *[(name, "forgot_password", "new password") for name in ONE_OF_EACH[:2]],
    ],
)
async def test_a_person_may_change_their_mind(cloud: Cloud, name: str, answer: str, said: str) -> None:
    cloud.options.change(login_answer=answer)
    provider = made(of_cloud(cloud, name))
    pending = await asyncio.to_thread(provider.begin, credentials.REDIRECT_URI)
    response = query(await asyncio.to_thread(follow_login, pending.authorization_url, cloud.ca_file, answer=None))
    with pytest.raises(LoginRejected, match=said):
        await asyncio.to_thread(provider.redeem, pending, response)
    assert cloud.calls.count("token") == 0


@pytest.mark.parametrize("name", ONE_OF_EACH)
async def test_a_code_is_good_once(cloud: Cloud, name: str) -> None:
    provider = made(of_cloud(cloud, name))
    pending = await asyncio.to_thread(provider.begin, credentials.REDIRECT_URI)
    response = await redirected(cloud, pending)
    await asyncio.to_thread(provider.redeem, pending, response)
    with pytest.raises(LoginRejected, match="did not take the code"):
        await asyncio.to_thread(provider.redeem, pending, response)
    with pytest.raises(ResponseMismatch, match="neither a code nor an error"):
        await asyncio.to_thread(provider.redeem, pending, {"state": response["state"]})


@pytest.mark.parametrize("name", ["b2c, policy in the path", "oidc, public"])
async def test_a_bare_code_is_enough_where_it_is_bound(cloud: Cloud, name: str) -> None:
    provider = made(of_cloud(cloud, name))
    pending = await asyncio.to_thread(provider.begin, credentials.REDIRECT_URI)
    response = await redirected(cloud, pending)
    tokens = await asyncio.to_thread(provider.redeem, pending, {"code": response["code"]})
    assert tokens.id_token is not None


@pytest.mark.parametrize("name", ONE_OF_EACH)
async def test_a_revoked_or_expired_login_is_rejected_for_good(cloud: Cloud, name: str) -> None:
    provider = made(of_cloud(cloud, name))
    _, tokens = await logged_in(cloud, provider)
    cloud.revoke()
    with pytest.raises(GrantRejected, match="rejected the grant"):
        await asyncio.to_thread(provider.refresh, refresh_token(tokens))
    with pytest.raises(GrantRejected):
        await asyncio.to_thread(provider.refresh, Secret("never-was-one"))


PAGE = {"Content-Type": "text/html"}
WEATHER: list[tuple[str, Fault, type[UpstreamError], bool]] = [
    ("500", Fault(500, "oops"), UpstreamUnavailable, True),
    ("502 after the fact", Fault(502, "<html>", PAGE, commits=True), UpstreamUnavailable, True),
    ("429", Fault(429, "", {"Retry-After": "7"}), RateLimited, False),
    ("a portal's page", Fault(200, "<html>welcome", PAGE), InvalidResponse, True),
    ("nothing in it", Fault(200, "{}", {"Content-Type": "application/json"}), InvalidResponse, True),
    ("half of it", Fault(200, '{"id_tok', {"Content-Type": "application/json"}), InvalidResponse, True),
    ("a redirect", Fault(302, "", {"Location": "https://portal.example/"}), InvalidResponse, False),
    ("cut before the answer", Fault(reset="after_commit"), UpstreamUnavailable, True),
    ("cut within the answer", Fault(reset="mid_answer"), UpstreamUnavailable, True),
]


@pytest.mark.parametrize("name", ONE_OF_EACH)
async def test_no_weather_costs_the_login_or_makes_a_second_request(cloud: Cloud, name: str) -> None:
    provider = made(of_cloud(cloud, name))
    _, tokens = await logged_in(cloud, provider)
    for what, fault, kind, ambiguous in WEATHER:
        cloud.calls.clear()
        cloud.script.add("token", fault)
        with pytest.raises(UpstreamError) as caught:
            await asyncio.to_thread(provider.refresh, refresh_token(tokens))
        assert (what, type(caught.value)) == (what, kind)
        assert (what, getattr(caught.value, "ambiguous", False)) == (what, ambiguous)
        assert (what, len(cloud.calls)) == (what, 1)
        newer = await asyncio.to_thread(provider.refresh, refresh_token(tokens))  # at once: nothing is remembered
        assert newer.id_token is not None


@pytest.mark.parametrize("name", ONE_OF_EACH)
async def test_odd_but_good_answers_are_taken(cloud: Cloud, name: str) -> None:
    cloud.options.change(
        numbers_as_strings=True,
        token_answer_fields={"access_token": None, "expires_in": None, "profile_info": "e30", "resource": "x"},
    )
    _, tokens = await logged_in(cloud, made(of_cloud(cloud, name)))
    assert tokens.id_token is not None
    assert tokens.access_token is None
    assert tokens.access_token_seconds is None


@pytest.mark.parametrize("name", ONE_OF_EACH)
async def test_an_id_token_that_is_none_is_left_to_the_verifier(cloud: Cloud, name: str) -> None:
    cloud.options.change(token_answer_fields={"id_token": "no-jwt"})
    account = of_cloud(cloud, name)
    provider, verifier = make_provider(account, HandClock())
    pending, tokens = await logged_in(cloud, provider)
    assert tokens.id_token == Secret("no-jwt")
    with pytest.raises(InvalidResponse, match="it is no JWT"):
        await asyncio.to_thread(verifier.verify, tokens.id_token, nonce=pending.nonce, server_seconds=None)


@pytest.mark.parametrize("name", ["partner", "b2c, confidential", "oidc, confidential"])
async def test_a_wrong_client_secret_is_the_operators(cloud: Cloud, name: str) -> None:
    account = of_cloud(cloud, name)
    _, tokens = await logged_in(cloud, made(account))
    assert account.client_secret is not None
    wrong = replace(account, client_secret=replace(account.client_secret, value=Secret("hunter2hunter2")))
    with pytest.raises(UpstreamRejected) as caught:
        await asyncio.to_thread(made(wrong).refresh, refresh_token(tokens))
    assert "hunter2" not in str(caught.value)


async def test_metadata_that_cannot_be_had_is_not_ambiguous(cloud: Cloud) -> None:
    cloud.script.add("metadata", Fault(503), times=None)
    with pytest.raises(InvalidResponse, match="metadata answered 503") as caught:
        await asyncio.to_thread(made(of_cloud(cloud, "b2c, policy in the path")).refresh, Secret("r"))
    assert not caught.value.ambiguous
    assert cloud.calls.count("token") == 0


async def test_b2c_over_plain_http_is_the_operators() -> None:
    account = of_plain_http()
    with pytest.raises(UpstreamRejected, match="MSAL takes https endpoints"):
        await asyncio.to_thread(made(account).begin, credentials.REDIRECT_URI)


def of_plain_http() -> AccountConfig:
    from tests.adapters.accounts import account

    return account(
        "b2c",
        "http://127.0.0.1:1/tenant/policy",
        "app",
        authorization_endpoint="http://127.0.0.1:1/authorize",
        token_endpoint="http://127.0.0.1:1/token",
        jwks_uri="http://127.0.0.1:1/keys",
        issuer=("x",),
    )


def test_a_ca_file_that_is_none_is_found_when_the_account_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ca_file"):
        make_provider(replace(of_plain_http(), ca_file=tmp_path / "missing.pem"), HandClock())
