from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from broker.sandbox import api_fault, credentials
from broker.sandbox.api_errors import API_ERRORS
from broker.sandbox.meter import Meter

if TYPE_CHECKING:
    from broker.sandbox import Cloud
    from broker.sandbox.options import CallInShape, QuotaFormat
    from tests.sandbox.conftest import TurnedClock, Visitor


async def id_token(visitor: Visitor) -> str:
    return str((await visitor.partner_login())["id_token"])


async def test_a_quota_that_is_exhausted_refuses_also_where_there_is_no_daily_limit() -> None:
    meter = Meter()
    meter.count("key", 0.0)
    assert meter.blocked_seconds(meter.days, "key", limit=0, length=86_400, now=1.0) == 0.0
    meter.exhaust("key", 1.0, left_seconds=60)
    assert meter.blocked_seconds(meter.days, "key", limit=0, length=86_400, now=1.0) == 60.0


async def test_a_good_call_yields_the_answer_of_the_vendors_page(visitor: Visitor, clock: TurnedClock) -> None:
    answer = await visitor.call_in(await id_token(visitor))
    [unit] = answer.document["audiovideounits"]
    assert answer.status == 200
    assert unit["sender"] == {
        "addressType": "addressLocation", "system": "videodoorentry", "plant": {"id": credentials.PLANT_ID},
    }  # fmt: skip
    claims = visitor.claims(unit["ticket"])
    assert (claims["iat"], claims["exp"]) == (clock.seconds, clock.seconds + 300)


async def test_the_subscription_key_is_looked_at_first(visitor: Visitor) -> None:
    missing = await visitor.call_in("nonsense", key="")
    invalid = await visitor.call_in("nonsense", key="wrong")
    assert (missing.status, invalid.status) == (401, 401)
    assert missing.document["message"].startswith("Access denied due to missing subscription key.")
    assert invalid.document["message"].startswith("Access denied due to invalid subscription key.")


async def test_only_a_raw_signed_unexpired_id_token_of_a_known_application_opens(
    cloud: Cloud, visitor: Visitor, clock: TurnedClock
) -> None:
    tokens = await visitor.partner_login()
    good = tokens["id_token"]
    for wrong in ("", "nonsense", f"Bearer {good}", tokens["access_token"], good[:-4] + "AAAA"):
        answer = await visitor.call_in(wrong)
        assert (answer.status, answer.document) == (401, {"statusCode": 401, "message": "Unauthorized"}), wrong
    cloud.options.id_token_claims = {"aud": "someone-else"}
    assert (await visitor.call_in(await id_token(visitor))).status == 401
    assert (await visitor.call_in(good)).status == 200
    clock.seconds += 3600
    assert (await visitor.call_in(good)).status == 401


async def test_the_other_three_combinations_can_be_wanted(cloud: Cloud, visitor: Visitor) -> None:
    tokens = await visitor.partner_login()
    cloud.options.change(api_token="access_token", api_scheme="Bearer")
    assert (await visitor.call_in(f"Bearer {tokens['access_token']}")).status == 200
    assert (await visitor.call_in(tokens["access_token"])).status == 401
    assert (await visitor.call_in(f"Bearer {tokens['id_token']}")).status == 401


async def test_a_withdrawn_key_makes_old_id_tokens_useless(cloud: Cloud, visitor: Visitor) -> None:
    token = await id_token(visitor)
    cloud.rotate_keys(keep_old=True)
    assert (await visitor.call_in(token)).status == 200
    cloud.rotate_keys(keep_old=False)
    assert (await visitor.call_in(token)).status == 401


async def test_an_unknown_home_is_a_401_and_an_offline_gateway_a_404(cloud: Cloud, visitor: Visitor) -> None:
    token = await id_token(visitor)
    assert (await visitor.call_in(token, plant_id=credentials.OTHER_PLANT_ID)).status == 401
    assert (await visitor.call_in(token, device_id="nobody")).status == 401
    cloud.options.gateway_online = False
    assert (await visitor.call_in(token)).document == {"statusCode": 404, "message": "Resource not found"}


async def test_an_accept_header_without_json_is_a_406(visitor: Visitor) -> None:
    assert (await visitor.call_in(await id_token(visitor), accept="text/plain")).status == 406


@pytest.mark.parametrize(
    ("written", "left_seconds", "expected"),
    [
        ("hh:mm:ss", 25_280, "Out of call volume quota. Quota will be replenished in 07:01:20."),
        ("d.hh:mm:ss", 86_400 + 25_280, "Out of call volume quota. Quota will be replenished in 1.07:01:20."),
        ("days", 183_168, "Out of call volume quota. Quota will be replenished in 2.12 days."),
        ("retry-after", 60, "Out of call volume quota."),
        ("silent", 60, "Out of call volume quota."),
    ],
)
async def test_a_used_up_quota_tells_its_end_in_every_format_seen(
    cloud: Cloud, visitor: Visitor, written: QuotaFormat, left_seconds: int, expected: str
) -> None:
    cloud.options.quota_format = written
    token = await id_token(visitor)
    cloud.exhaust_quota(left_seconds=left_seconds)
    answer = await visitor.call_in(token)
    assert (answer.status, answer.document["message"]) == (403, expected)
    assert answer.headers.get("Retry-After") == ("60" if written == "retry-after" else None)


async def test_the_quota_counts_a_day_for_each_subscription_key(
    cloud: Cloud, visitor: Visitor, clock: TurnedClock
) -> None:
    cloud.options.change(daily_quota=2, id_token_seconds=200_000)
    token = await id_token(visitor)
    assert [(await visitor.call_in(token)).status for _ in range(3)] == [200, 200, 403]
    assert (await visitor.call_in(token, key=credentials.OTHER_SUBSCRIPTION_KEY)).status == 200
    assert cloud.quota_used() == 2
    clock.seconds += 86_399
    assert (await visitor.call_in(token)).status == 403
    clock.seconds += 1
    assert (await visitor.call_in(token)).status == 200
    assert cloud.quota_used() == 1


async def test_too_many_calls_a_minute_are_told_how_long_to_wait(
    cloud: Cloud, visitor: Visitor, clock: TurnedClock
) -> None:
    cloud.options.rate_limit = 1
    token = await id_token(visitor)
    await visitor.call_in(token)
    clock.seconds += 3
    answer = await visitor.call_in(token)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "57")
    assert answer.document["message"] == "Rate limit is exceeded. Try again in 57 seconds."
    clock.seconds += 57
    assert (await visitor.call_in(token)).status == 200


def tickets(document: Any) -> list[str]:
    return [unit["sender"]["plant"]["id"] for unit in document["audiovideounits"]]


async def test_answers_come_in_every_shape(cloud: Cloud, visitor: Visitor) -> None:
    token = await id_token(visitor)

    async def shaped(shape: CallInShape) -> Any:
        cloud.options.call_in_shape = shape
        return await visitor.call_in(token)

    assert (await shaped("empty")).document == {"audiovideounits": []}
    assert (await shaped("no_units")).document == {}
    assert (await shaped("blank")).document["audiovideounits"][0]["ticket"] == ""
    assert tickets((await shaped("mixed")).document) == [credentials.OTHER_PLANT_ID, credentials.PLANT_ID]
    assert tickets((await shaped("foreign")).document) == [credentials.OTHER_PLANT_ID]
    assert (await shaped("wrapped")).document["data"]["ticket"]
    no_content = await shaped("no_content")
    assert (no_content.status, no_content.body) == (204, "")
    assert (await shaped("redirect")).status == 302
    html = await shaped("html")
    assert (html.status, html.headers["Content-Type"][:9]) == (200, "text/html")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        _ = (await shaped("truncated")).document


async def test_tickets_may_be_opaque_or_say_other_things(cloud: Cloud, visitor: Visitor) -> None:
    token = await id_token(visitor)
    cloud.options.ticket_kind = "opaque"
    assert "." not in (await visitor.call_in(token)).document["audiovideounits"][0]["ticket"]
    cloud.options.change(ticket_kind="jwt", ticket_claims={"exp": None, "plantId": "x"})
    claims = visitor.claims((await visitor.call_in(token)).document["audiovideounits"][0]["ticket"])
    assert "exp" not in claims
    assert claims["plantId"] == "x"


@pytest.mark.parametrize("name", API_ERRORS)
async def test_every_error_of_the_table_can_be_queued(cloud: Cloud, visitor: Visitor, name: str) -> None:
    cloud.script.add("call_in", api_fault(name))
    answer = await visitor.call_in("whatever")
    status, message = API_ERRORS[name]
    assert (answer.status, answer.document) == (status, {"statusCode": status, "message": message})
    assert answer.headers.get("Retry-After") == ("57" if status == 429 else None)


async def test_the_catalogue_lists_plants_and_modules_in_three_shapes(cloud: Cloud, visitor: Visitor) -> None:
    headers = {"Authorization": await id_token(visitor), "Ocp-Apim-Subscription-Key": credentials.SUBSCRIPTION_KEY}
    url = f"{cloud.origin}/servicecatalog/api/v3.0/plants"
    plants = (await visitor.get(url, headers)).document
    assert [plant["id"] for plant in plants] == [credentials.PLANT_ID]
    modules = (await visitor.get(f"{url}/{credentials.PLANT_ID}/modules", headers)).document
    assert [module["id"] for module in modules] == [credentials.DEVICE_ID, credentials.OTHER_DEVICE_ID]
    cloud.options.catalog_shape = "plants"
    assert (await visitor.get(url, headers)).document == {"plants": plants}
    cloud.options.catalog_shape = "value"
    assert (await visitor.get(url, headers)).document == {"value": plants}
    assert (await visitor.get(f"{url}/nowhere/modules", headers)).status == 404
    assert (await visitor.get(url)).status == 401
