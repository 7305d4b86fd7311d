from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from broker.sandbox import LoginPageError, credentials, follow_login

if TYPE_CHECKING:
    from broker.sandbox import Cloud
    from tests.sandbox.conftest import Visitor

DISCOVERY = ".well-known/openid-configuration"


async def test_each_metadata_document_names_endpoints_that_answer(cloud: Cloud, visitor: Visitor) -> None:
    for url in (
        f"{cloud.partner_authority}/{credentials.PARTNER_CLIENT_ID}/{DISCOVERY}",
        f"{cloud.b2c_authority()}/v2.0/{DISCOVERY}",
        f"{cloud.b2c_authority(tenant=credentials.TENANT_ID)}/v2.0/{DISCOVERY}",
        f"{cloud.origin}/tfp/{credentials.TENANT}/{credentials.POLICY}/v2.0/{DISCOVERY}",
        f"{cloud.origin}/{credentials.TENANT}/v2.0/{DISCOVERY}?p={credentials.POLICY}",
        f"{cloud.oidc_authority}/{DISCOVERY}",
    ):
        metadata = (await visitor.get(url)).document
        keys = await visitor.get(metadata["jwks_uri"])
        assert [key["kty"] for key in keys.document["keys"]] == ["RSA"], url
        assert "d" not in keys.document["keys"][0]
        assert (await visitor.post(metadata["token_endpoint"], {})).document["error"] == "invalid_request", url
        assert "AADB2C90008" in (await visitor.get(metadata["authorization_endpoint"])).body, url


async def test_the_issuer_has_the_form_that_was_decoded_from_a_real_token(cloud: Cloud, visitor: Visitor) -> None:
    url = f"{cloud.b2c_authority()}/v2.0/{DISCOVERY}"
    assert (await visitor.get(url)).document["issuer"] == f"{cloud.origin}/{credentials.TENANT_ID}/v2.0/"
    cloud.options.issuer_form = "tfp"
    expected = f"{cloud.origin}/tfp/{credentials.TENANT_ID}/{credentials.POLICY.lower()}/v2.0/"
    assert (await visitor.get(url)).document["issuer"] == expected


async def test_the_domain_that_was_asked_is_the_one_in_the_documents(cloud: Cloud, visitor: Visitor) -> None:
    localhost = cloud.oidc_authority.replace("127.0.0.1", "localhost")
    assert (await visitor.get(f"{localhost}/{DISCOVERY}")).document["issuer"] == localhost


async def test_an_unknown_policy_or_tenant_is_not_found(cloud: Cloud, visitor: Visitor) -> None:
    assert (await visitor.get(f"{cloud.b2c_authority('B2C_1_Nobody')}/v2.0/{DISCOVERY}")).status == 404
    assert (await visitor.get(f"{cloud.b2c_authority(tenant='other.onmicrosoft.com')}/v2.0/{DISCOVERY}")).status == 404


async def test_a_sign_in_redirects_with_code_and_state(visitor: Visitor) -> None:
    answer = await visitor.redirected(visitor.partner_url())
    assert answer.keys() == {"code", "state"}
    assert answer["state"] == "the-state"


async def test_a_reply_url_must_match_letter_by_letter(cloud: Cloud, visitor: Visitor) -> None:
    url = visitor.partner_url(redirect_uri=credentials.REDIRECT_URI + "/")
    with pytest.raises(LoginPageError, match="The reply url host localhost doesn't match with the ones configured"):
        await asyncio.to_thread(follow_login, url, cloud.ca_file)
    with pytest.raises(LoginPageError, match="AADB2C90006"):
        await visitor.redirected(visitor.b2c_url(redirect_uri="http://localhost:1/"))


@pytest.mark.parametrize(("answer", "code"), [("cancel", "AADB2C90091"), ("forgot_password", "AADB2C90118")])
async def test_a_person_who_does_not_sign_in_is_an_access_denied(visitor: Visitor, answer: str, code: str) -> None:
    redirected = await visitor.redirected(visitor.b2c_url(), answer=answer)
    assert redirected["error"] == "access_denied"
    assert redirected["error_description"].startswith(f"{code}: ")
    assert "\r\nCorrelation ID: " in redirected["error_description"]
    assert redirected["state"] == "the-state"


async def test_the_options_can_answer_for_the_person(cloud: Cloud, visitor: Visitor) -> None:
    cloud.options.login_answer = "cancel"
    assert (await visitor.redirected(visitor.b2c_url(), answer=None))["error"] == "access_denied"


async def test_a_scope_that_b2c_does_not_take_comes_back_as_an_error(visitor: Visitor) -> None:
    assert "AADB2C90115" in (await visitor.redirected(visitor.b2c_url(scope="profile")))["error_description"]


async def test_without_auto_login_a_form_is_shown_that_keeps_the_request(cloud: Cloud, visitor: Visitor) -> None:
    cloud.options.auto_login = False
    page = await visitor.get(visitor.b2c_url(state='"><script>'))
    assert page.status == 200
    assert "<select" in page.body
    assert 'name="nonce" value="the-nonce"' in page.body
    assert "<script>" not in page.body
    assert "code" in await visitor.redirected(visitor.b2c_url())


async def test_a_fragment_answer_stands_behind_a_hash(cloud: Cloud, visitor: Visitor) -> None:
    url = visitor.b2c_url(response_mode="fragment")
    location = await asyncio.to_thread(follow_login, url, cloud.ca_file)
    assert urlsplit(location).fragment.startswith("state=the-state&code=")
