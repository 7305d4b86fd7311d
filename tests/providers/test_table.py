"""The README's table is what the contract tests run over; what it notes of a provider is shown by a test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from broker.errors import BrokerError, UpstreamRejected
from tests.providers import test_contract
from tests.providers.holder import Holder
from tests.providers.table import CASES, NOTES, table
from tests.providers.ways import WAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.providers.houses import House

README = Path(__file__).resolve().parents[2] / "README.md"


def test_every_column_is_a_contract_test_and_every_contract_test_a_column() -> None:
    assert set(CASES) == {name for name in vars(test_contract) if name.startswith("test_")}
    assert all(note.evidence in globals() and note.case in CASES for note in NOTES)
    assert {note.provider for note in NOTES} <= {way.provider for way in WAYS}


def test_the_readme_has_the_table() -> None:
    assert table() in README.read_text(), "make it anew: python -m tests.providers.table"


@pytest.mark.slow
async def test_oidc_provider_gives_no_refresh_token_without_prompt_consent(
    house_of: Callable[[str], House], tmp_path: Path
) -> None:
    """The login then lasts as long as its id token, and says why."""
    way = next(way for way in WAYS if way.house == "oidc-provider")
    house = house_of(way.house)
    holder = Holder(replace(way.account(house), prompt=None), tmp_path, environ=house.environ)
    pending = await holder.begin()
    await holder.finish(pending, house.log_in(pending.authorization_url))
    assert holder.session.refresh_token is None
    with pytest.raises(BrokerError, match="the provider gave no refresh token"):
        await holder.refresh()
    holder.close()


@pytest.mark.slow
async def test_authlib_takes_a_secret_with_odd_characters_in_the_form_only(
    house_of: Callable[[str], House], tmp_path: Path
) -> None:
    """The other providers decode it, as the RFC says, so ours goes on encoding it."""
    way = next(way for way in WAYS if way.client_id == "broker-odd")
    house, oauth = house_of(way.house), replace(way.account(house_of(way.house)).oauth, client_auth="basic")
    holder = Holder(replace(way.account(house), oauth=oauth), tmp_path, environ=house.environ)
    pending = await holder.begin()
    with pytest.raises(UpstreamRejected, match="invalid_client"):
        await holder.finish(pending, house.log_in(pending.authorization_url))
    holder.close()
