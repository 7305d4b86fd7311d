from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from broker.sandbox import credentials
from broker.sandbox.calls import fingerprint

if TYPE_CHECKING:
    from broker.sandbox import Cloud
    from tests.sandbox.conftest import Answer, TurnedClock, Visitor


def code_of(answer: Answer) -> str:
    """The AADB2C code of an error answer."""
    assert answer.status == 400
    text = str(answer.document["error_description"])
    assert text.count("\r\n") == 3
    return text.split(":", maxsplit=1)[0]


async def b2c_code(visitor: Visitor, **changes: str) -> str:
    return (await visitor.redirected(visitor.b2c_url(**changes)))["code"]


async def test_b2c_asked_for_an_id_token_only_gives_no_access_token_and_no_expires_in(visitor: Visitor) -> None:
    code = await b2c_code(visitor)
    answer = (await visitor.b2c_token(grant_type="authorization_code", code=code)).document
    assert answer.keys() == {
        "id_token", "token_type", "not_before", "client_info", "scope",
        "refresh_token", "refresh_token_expires_in", "id_token_expires_in",
    }  # fmt: skip
    assert (answer["scope"], answer["refresh_token_expires_in"]) == ("", 1_209_600)


async def test_the_id_token_says_what_the_decoded_one_said(cloud: Cloud, visitor: Visitor, clock: TurnedClock) -> None:
    code = await b2c_code(visitor)
    claims = visitor.claims((await visitor.b2c_token(grant_type="authorization_code", code=code)).document["id_token"])
    assert claims["iss"] == f"{cloud.origin}/{credentials.TENANT_ID}/v2.0/"
    assert claims["aud"] == credentials.B2C_PUBLIC_CLIENT_ID
    assert claims["tfp"] == credentials.POLICY
    assert claims["nbf"] == claims["iat"] == int(clock.seconds)
    assert claims["exp"] == claims["iat"] + 3600
    assert claims["sub"] == claims["oid"] == credentials.USER_SUB
    assert claims["nonce"] == "the-nonce"


async def test_a_resource_scope_adds_an_access_token(visitor: Visitor) -> None:
    code = await b2c_code(visitor, scope="openid offline_access https://example.com/read")
    answer = (await visitor.b2c_token(grant_type="authorization_code", code=code)).document
    assert answer["expires_in"] == 3600
    assert answer["scope"] == "https://example.com/read"


async def test_numbers_may_be_strings_and_fields_may_come_and_go(cloud: Cloud, visitor: Visitor) -> None:
    cloud.options.change(numbers_as_strings=True, token_answer_fields={"refresh_token": None, "expires_on": 5})
    answer = await visitor.partner_login()
    assert (answer["id_token_expires_in"], answer["expires_on"]) == ("3600", "5")
    assert "refresh_token" not in answer


async def test_the_gateways_id_token_has_a_nonce_of_its_own(visitor: Visitor) -> None:
    assert visitor.claims((await visitor.partner_login())["id_token"])["nonce"]


async def test_pkce_is_checked(visitor: Visitor) -> None:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"v" * 43).digest()).rstrip(b"=").decode()
    code = await b2c_code(visitor, code_challenge=challenge, code_challenge_method="S256")
    wrong = await visitor.b2c_token(grant_type="authorization_code", code=code, code_verifier="w" * 43)
    assert code_of(wrong) == "AADB2C90183"
    right = await visitor.b2c_token(grant_type="authorization_code", code=code, code_verifier="v" * 43)
    assert right.status == 200


async def test_a_code_serves_once_and_ten_minutes(visitor: Visitor, clock: TurnedClock) -> None:
    code = await b2c_code(visitor)
    assert (await visitor.b2c_token(grant_type="authorization_code", code=code)).status == 200
    assert code_of(await visitor.b2c_token(grant_type="authorization_code", code=code)) == "AADB2C90080"
    late = await b2c_code(visitor)
    clock.seconds += 600
    assert code_of(await visitor.b2c_token(grant_type="authorization_code", code=late)) == "AADB2C90080"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_id": ""}, "AADB2C90008"),
        ({"client_id": "nobody"}, "AADB2C90018"),
        ({"client_secret": ""}, "AADB2C90079"),
        ({"client_secret": "wrong"}, "AADB2C90081"),
        ({"grant_type": "password"}, "AADB2C90086"),
        ({"refresh_token": "never-issued"}, "AADB2C90088"),
    ],
)
async def test_a_wrong_request_has_its_code(visitor: Visitor, changes: dict[str, str], code: str) -> None:
    tokens = await visitor.partner_login()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], **changes}
    assert code_of(await visitor.partner_token(**form)) == code


async def test_a_public_client_sends_no_secret_and_a_confidential_one_may_use_basic(
    cloud: Cloud, visitor: Visitor
) -> None:
    code = await b2c_code(visitor)
    refused = await visitor.b2c_token(grant_type="authorization_code", code=code, client_secret="any")
    assert code_of(refused) == "AADB2C90084"
    client_id, secret = credentials.B2C_CONFIDENTIAL_CLIENT_ID, credentials.B2C_CONFIDENTIAL_CLIENT_SECRET
    code = await b2c_code(visitor, client_id=client_id)
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    url = f"{cloud.b2c_authority()}/oauth2/v2.0/token"
    form = {"grant_type": "authorization_code", "code": code}
    assert (await visitor.post(url, form, {"Authorization": f"Basic {basic}"})).status == 200


async def test_a_secret_expires_and_an_application_can_be_disabled(
    cloud: Cloud, visitor: Visitor, clock: TurnedClock
) -> None:
    token = (await visitor.partner_login())["refresh_token"]
    application = cloud.options.applications[credentials.PARTNER_CLIENT_ID]
    application.secret_expires_at = clock.seconds
    expired = await visitor.refresh(token)
    assert (code_of(expired), expired.document["error"]) == ("AADB2C90081", "invalid_client")
    application.enabled = False
    assert code_of(await visitor.refresh(token)) == "AADB2C90092"


async def test_a_grant_of_one_policy_does_not_serve_another(cloud: Cloud, visitor: Visitor) -> None:
    code = await b2c_code(visitor)
    other = cloud.b2c_authority("B2C_1_DoorEliot-DIY-SignUporSignIn")
    form = {"grant_type": "authorization_code", "code": code, "client_id": credentials.B2C_PUBLIC_CLIENT_ID}
    assert code_of(await visitor.post(f"{other}/oauth2/v2.0/token", form)) == "AADB2C90088"


async def test_a_policy_in_the_query_serves_like_one_in_the_path(cloud: Cloud, visitor: Visitor) -> None:
    authorize = visitor.b2c_url(f"{cloud.origin}/{credentials.TENANT}", p=credentials.POLICY)
    code = (await visitor.redirected(authorize))["code"]
    url = f"{cloud.origin}/{credentials.TENANT_ID}/oauth2/v2.0/token?p={credentials.POLICY.lower()}"
    form = {"grant_type": "authorization_code", "code": code, "client_id": credentials.B2C_PUBLIC_CLIENT_ID}
    assert (await visitor.post(url, form)).status == 200


async def test_the_old_refresh_token_stays_valid_where_rotation_is_lenient(visitor: Visitor) -> None:
    token = (await visitor.partner_login())["refresh_token"]
    first = (await visitor.refresh(token)).document["refresh_token"]
    assert first != token
    assert (await visitor.refresh(token)).status == 200
    assert (await visitor.refresh(first)).status == 200


async def test_reuse_revokes_the_family_where_rotation_is_strict(cloud: Cloud, visitor: Visitor) -> None:
    cloud.options.rotation = "strict"
    token = (await visitor.partner_login())["refresh_token"]
    newer = (await visitor.refresh(token)).document["refresh_token"]
    assert code_of(await visitor.refresh(token)) == "AADB2C90129"
    assert code_of(await visitor.refresh(newer)) == "AADB2C90129"
    assert (await visitor.refresh((await visitor.partner_login())["refresh_token"])).status == 200


async def test_refresh_tokens_expire_and_the_sliding_window_ends_them_all(
    cloud: Cloud, visitor: Visitor, clock: TurnedClock
) -> None:
    cloud.options.change(refresh_token_seconds=100, sliding_window_seconds=150)
    token = (await visitor.partner_login())["refresh_token"]
    clock.seconds += 99
    answer = (await visitor.refresh(token)).document
    assert answer["refresh_token_expires_in"] == 51
    clock.seconds += 1
    assert code_of(await visitor.refresh(token)) == "AADB2C90080"
    clock.seconds += 50
    assert code_of(await visitor.refresh(answer["refresh_token"])) == "AADB2C90080"


async def test_a_login_can_be_revoked_expired_or_lose_its_account(cloud: Cloud, visitor: Visitor) -> None:
    token = (await visitor.partner_login())["refresh_token"]
    cloud.options.people[credentials.USER].exists = False
    assert code_of(await visitor.refresh(token)) == "AADB2C90128"
    cloud.options.people[credentials.USER].exists = True
    cloud.revoke(credentials.OTHER_USER)
    assert (await visitor.refresh(token)).status == 200
    cloud.revoke(credentials.USER)
    assert code_of(await visitor.refresh(token)) == "AADB2C90129"
    token = (await visitor.partner_login())["refresh_token"]
    cloud.expire_logins()
    assert code_of(await visitor.refresh(token)) == "AADB2C90080"


async def test_another_person_and_a_stale_session_give_another_sub(cloud: Cloud, visitor: Visitor) -> None:
    async def sub(**changes: str) -> str:
        code = await b2c_code(visitor, **changes)
        answer = await visitor.b2c_token(grant_type="authorization_code", code=code)
        return str(visitor.claims(answer.document["id_token"])["sub"])

    cloud.options.stale_session_user = credentials.OTHER_USER
    assert await sub() == credentials.OTHER_USER_SUB
    assert await sub(prompt="login") == credentials.USER_SUB
    cloud.options.user = credentials.OTHER_USER
    assert await sub(prompt="login") == credentials.OTHER_USER_SUB


async def test_a_skewed_cloud_shows_it_in_tokens_and_date(cloud: Cloud, visitor: Visitor, clock: TurnedClock) -> None:
    cloud.options.clock_skew_seconds = 7200
    code = await b2c_code(visitor)
    answer = await visitor.b2c_token(grant_type="authorization_code", code=code)
    assert visitor.claims(answer.document["id_token"])["iat"] == int(clock.seconds) + 7200
    assert answer.headers["Date"] == "Fri, 15 Jan 2027 10:00:00 GMT"


async def test_id_tokens_can_be_forged_on_demand(cloud: Cloud, visitor: Visitor) -> None:
    cloud.options.change(id_token_claims={"aud": "someone-else", "exp": None}, id_token_algorithm="none")
    token = (await visitor.partner_login())["id_token"]
    assert visitor.claims(token)["aud"] == "someone-else"
    assert "exp" not in visitor.claims(token)
    assert token.endswith(".")


async def test_the_log_counts_calls_and_shows_no_secret(cloud: Cloud, visitor: Visitor) -> None:
    tokens = await visitor.partner_login()
    await visitor.refresh(tokens["refresh_token"])
    first, second = cloud.calls.of("token")
    assert (first.grant_type, second.grant_type) == ("authorization_code", "refresh_token")
    assert first.new_refresh_token == second.refresh_token == fingerprint(tokens["refresh_token"])
    assert first.parameters == ("client_id", "client_secret", "code", "grant_type")
    assert [call.status for call in cloud.calls] == [302, 200, 200]
    shown = repr(list(cloud.calls)) + str([call.as_json() for call in cloud.calls])
    for secret in (tokens["refresh_token"], tokens["id_token"], credentials.PARTNER_CLIENT_SECRET):
        assert secret not in shown


async def test_of_eight_refreshes_at_once_a_strict_cloud_grants_one(cloud: Cloud, visitor: Visitor) -> None:
    cloud.options.rotation = "strict"
    token = (await visitor.partner_login())["refresh_token"]
    answers = await asyncio.gather(*[visitor.refresh(token) for _ in range(8)])
    assert sorted(answer.status for answer in answers) == [200] + [400] * 7
