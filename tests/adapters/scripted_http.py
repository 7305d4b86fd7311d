"""The blocking HTTP client, played by hand: an answer (or a failure) by URL, and what was asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from broker.adapters.transport import BlockingHttp
from broker.core.answer import HttpAnswer

if TYPE_CHECKING:
    from broker.adapters.transport import HttpRequest


class ScriptedHttp(BlockingHttp):
    """Answers by URL; a URL nobody prepared is a bug of the test."""

    def __init__(self) -> None:
        self.answers: dict[str, HttpAnswer | Exception] = {}
        self.requests: list[HttpRequest] = []

    def request(self, request: HttpRequest) -> HttpAnswer:
        self.requests.append(request)
        answer = self.answers[request.url]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def count(self, url: str) -> int:
        return sum(request.url == url for request in self.requests)


def json_answer(document: Any, status: int = 200, **headers: str) -> HttpAnswer:
    return HttpAnswer(status, {"content-type": "application/json", **headers}, json.dumps(document).encode())
