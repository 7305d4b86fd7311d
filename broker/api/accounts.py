"""The account routes: rows, id token, login, refresh, logout.

Speaks to the services only through Backend. The one invariant: what a person pasted is a Secret from here on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from broker.api.audit import Given
from broker.api.call import answer, json_answer
from broker.api.parameters import bare_type, newest_known, no_query, vend_query
from broker.api.representation import id_token_body, tagged
from broker.api.tickets import not_modified
from broker.core.secret import Secret
from broker.errors import BadRequest

if TYPE_CHECKING:
    from broker.api import web
    from broker.api.audit import Audit
    from broker.api.backend import Backend
    from broker.api.call import Call
    from broker.api.shelter import Shelter


class AccountRoutes:
    """Handlers of /v1/accounts…."""

    def __init__(self, backend: Backend, audit: Audit, shelter: Shelter) -> None:
        self._backend = backend
        self._audit = audit
        self._shelter = shelter

    async def list(self, call: Call) -> web.StreamResponse:
        """GET /v1/accounts."""
        no_query(call.query)
        return json_answer({"accounts": self._backend.accounts()})

    async def show(self, call: Call) -> web.StreamResponse:
        """GET /v1/accounts/{name}."""
        no_query(call.query)
        return json_answer(self._backend.account(call.name))

    async def id_token(self, call: Call) -> web.StreamResponse:
        """GET /v1/accounts/{name}/id-token."""
        query = vend_query(call.query)
        newer_than = newest_known(call.header("If-None-Match"))
        vended = await self._backend.id_token(
            call.name,
            min_validity_seconds=query.min_validity_seconds,
            wait_seconds=query.wait_seconds,
            newer_than=newer_than,
        )
        if vended is None:
            return not_modified(newer_than)
        given = Given("id_token", vended.name, vended.id_token, vended.generation, vended.expires_in_seconds)
        self._audit.served(call.peer, asyncio.get_running_loop().time(), given)
        bare = bare_type(call.header("Accept"))
        if bare is not None:
            return answer(vended.id_token.reveal().encode(), content_type=bare, headers=tagged(vended.generation))
        return answer(id_token_body(vended), headers=tagged(vended.generation))

    async def homes(self, call: Call) -> web.StreamResponse:
        """GET /v1/accounts/{name}/homes."""
        no_query(call.query)
        return json_answer({"homes": await self._shelter.run(self._backend.homes(call.name))})

    async def begin_login(self, call: Call) -> web.StreamResponse:
        """POST /v1/accounts/{name}/login."""
        no_query(call.query)
        return json_answer(await self._shelter.run(self._backend.begin_login(call.name)), status=201)

    async def complete_login(self, call: Call) -> web.StreamResponse:
        """POST /v1/accounts/{name}/login/complete."""
        no_query(call.query)
        response = call.json_body().get("response")
        if not isinstance(response, str) or not response.strip():
            raise BadRequest(
                "the body needs a `response`: the redirect URL, its query, or the code",
                hint='send {"response": "…"}',
            )
        login = self._backend.complete_login(call.name, Secret(response.strip()))
        return json_answer(await self._shelter.run(login))

    async def refresh(self, call: Call) -> web.StreamResponse:
        """POST /v1/accounts/{name}/refresh."""
        no_query(call.query)
        return json_answer(await self._shelter.run(self._backend.refresh_account(call.name)))

    async def logout(self, call: Call) -> web.StreamResponse:
        """POST /v1/accounts/{name}/logout."""
        no_query(call.query)
        return json_answer(await self._shelter.run(self._backend.logout(call.name)))
