"""What the sandbox answers differs from what others' providers answer only where it is listed here, with the reason.

A field that every other provider sends and the sandbox does not is `missing`; one that none of them sends and the
sandbox does is `extra`. The list is held both ways: an entry that is no longer true fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.providers.shapes import OTHERS, OURS, Shapes, shapes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.providers.houses import House

pytestmark = pytest.mark.slow
Difference = tuple[str, str, str]  # document, "missing" or "extra", field

FACT_2 = "the facts on token answers, confirmed: "
FACT_ID_TOKEN = "the facts on the id token, confirmed: "

BOTH_GRANTS = ("answer to a code", "answer to a refresh token")
ANY_REALM: dict[Difference, str] = {
    ("metadata", "missing", "userinfo_endpoint"): "left out of the sandbox: the broker never asks it",
}
ELIOT: dict[Difference, str] = ANY_REALM | {
    **{
        (document, "extra", field): FACT_2 + "a field that B2C sends"
        for document in BOTH_GRANTS
        for field in ("not_before", "client_info", "refresh_token_expires_in", "id_token_expires_in")
    },
    **{
        (document, "extra", field): FACT_ID_TOKEN + "a claim that B2C makes"
        for document in ("id token", "id token of a refresh")
        for field in ("nbf", "tfp", "oid", "ver")
    },
}
KNOWN: dict[str, dict[Difference, str]] = {
    "oidc": ANY_REALM,
    "b2c": ELIOT
    | {
        (document, "missing", field): FACT_2 + "an answer for an id token only has no access token"
        for document in BOTH_GRANTS
        for field in ("access_token", "expires_in")
    },
    "partner": ELIOT,  # its portal's scopes make an access token besides
}


@pytest.fixture(scope="module")
def others(house_of: Callable[[str], House]) -> list[Shapes]:
    return [shapes_of(source, house_of(source.house)) for source in OTHERS.values()]


@pytest.mark.parametrize("kind", OURS)
def test_the_sandbox_differs_only_as_listed(kind: str, others: list[Shapes], house_of: Callable[[str], House]) -> None:
    ours = shapes_of(OURS[kind], house_of("sandbox"))
    assert differences(ours, others) == set(KNOWN[kind])


@pytest.mark.parametrize("kind", OURS)
def test_a_field_that_others_send_too_is_of_their_kind(
    kind: str, others: list[Shapes], house_of: Callable[[str], House]
) -> None:
    ours = shapes_of(OURS[kind], house_of("sandbox"))
    for document, shape in ours.items():
        for field, found in shape.items():
            kinds = {other[document].get(field) for other in others} - {None}
            assert not kinds or found in kinds, (document, field, found, kinds)


def differences(ours: Shapes, others: list[Shapes]) -> set[Difference]:
    found: set[Difference] = set()
    for document, shape in ours.items():
        everywhere = set.intersection(*(set(other[document]) for other in others))
        anywhere = set.union(*(set(other[document]) for other in others))
        found |= {(document, "missing", field) for field in everywhere - set(shape)}
        found |= {(document, "extra", field) for field in set(shape) - anywhere}
    return found
