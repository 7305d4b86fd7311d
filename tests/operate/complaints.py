"""What users of sister projects complain of, most often first: nine rows, and how each is met in the sandbox.

Data: every scene is what is done to the stand-in cloud (as its HTTP control would be told) and what a person types
then. The one invariant: each scene has an account and a door of its own, so none sees what another left behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

COMPLAINTS = {
    1: "quota and 429 storms that the program made itself: polling, and every 401 starting a refresh",
    2: "the login died silently; nobody was told; a new login every few days",
    3: "the reply URL does not match the ones configured on the application; the code is refused",
    4: 'an expired client secret meant "uninstall and install again"',
    5: "an answer changed its format and the parser broke",
    6: "consent given with the wrong account, out of a stale browser session",
    7: "the new refresh token was lost, in a crash or on its way; a corrupted token file",
    8: "tokens and keys in logs and error texts",
    9: "no way to log in on a headless machine; requests that hang for ever",
}

Change = tuple[str, dict[str, Any]]
STORM: Change = ("scenario", {})  # the scenario of the same name, at the moment when it strikes
CLEAR: Change = ("clear", {})


@dataclass(frozen=True)
class Scene:
    """One way in which a row comes about; `name` is its account's, `door-NAME` its ticket's, and often a scenario's.

    `play`: a Change is made to the cloud, a line is typed, "kill" and "damage" are done to the daemon and its files.
    Before it the account is logged in, unless `stranger`. `calls`: what all of it may cost at the call-in operation,
    told only where the broker makes no attempt of its own meanwhile.
    """

    row: int
    name: str
    play: tuple[Change | str, ...]
    calls: int | None = None
    stranger: bool = False
    told: str = ""  # the event that the hook must have heard

    @property
    def title(self) -> str:
        """Of its chapter in the golden file."""
        return f"{self.row} {self.name}"


def ask(name: str) -> tuple[str, str]:
    """Ask for the ticket, and then why."""
    return f"ticket door-{name}", f"why door-{name}"


SCENES = (
    Scene(1, "quota", (("quota", {}), *ask("quota"), "ticket door-quota"), calls=1, told="quota.exhausted"),
    Scene(1, "rate-limit", (STORM, *ask("rate-limit"), "ticket door-rate-limit"), calls=1),
    Scene(1, "refused", (STORM, *ask("refused"), "ticket door-refused"), calls=2),
    Scene(2, "login-expired", (STORM, "refresh login-expired", *ask("login-expired")), told="login.required"),
    Scene(2, "ending", ("why door-ending",), told="login.ending"),
    Scene(3, "reply-url", (STORM, "login reply-url --paste", ("applications", {"redirect_uris": ["REGISTERED"]}),
                           "login reply-url --paste"), stranger=True),
    Scene(3, "reply-url-late", (("faults", {"endpoint": "token", "error": "AADB2C90006"}),
                                "login reply-url-late --paste"), stranger=True),
    Scene(3, "expired-code", (STORM, "login expired-code --paste"), stranger=True),
    Scene(3, "cancelled", (("options", {"login_answer": "cancel"}), "login cancelled --paste"), stranger=True),
    Scene(4, "secret-expired", (STORM, "refresh secret-expired", "why door-secret-expired",
                                ("applications", {"secret_expires_at": None}), "refresh secret-expired")),
    Scene(5, "changed-answers", (STORM, "refresh changed-answers", *ask("changed-answers"))),
    Scene(5, "captive-portal", (STORM, "refresh captive-portal", *ask("captive-portal"))),
    Scene(5, "outage", (STORM, "refresh outage", *ask("outage"))),
    Scene(6, "wrong-account", (STORM, "login wrong-account --paste", "why door-wrong-account"), calls=0),
    Scene(6, "wrong-from-the-start", (("scenario", {"name": "wrong-account"}), "login wrong-from-the-start --paste",
                                      *ask("wrong-from-the-start")), calls=2, stranger=True),
    Scene(7, "lost-answer", (STORM, "refresh lost-answer", "refresh lost-answer", "why door-lost-answer")),
    Scene(7, "lost-but-lenient", (("faults", {"endpoint": "token", "fault": {"reset": "after_commit"}}),
                                  "refresh lost-but-lenient", "refresh lost-but-lenient")),
    Scene(7, "killed", (("options", {"rotation": "strict"}), "kill", "refresh killed", *ask("killed"))),
    Scene(7, "damaged", ("damage", *ask("damaged")), told="store.damaged"),
    Scene(8, "telltale", (STORM, "refresh telltale", *ask("telltale"), "login telltale --paste")),
    Scene(9, "headless", ("login headless --paste", "why door-headless"), stranger=True),
    Scene(9, "nothing-pasted", ("login nothing-pasted --paste < /dev/null",), stranger=True),
    Scene(9, "hanging", (STORM, *ask("hanging"))),
)  # fmt: skip
