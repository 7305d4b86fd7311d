"""Who may do what: rules against a peer. Pure: names are resolved to ids elsewhere.

The one invariant: what is not allowed is denied, and an identity that is not known matches no rule.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Action(StrEnum):
    """What a request asks leave for: `look` is any peer's, `vend` the ticket's `allow`, the rest the admins'."""

    LOOK = "look"
    VEND = "vend"
    READ_ID_TOKEN = "read_id_token"  # an action's name
    ADMINISTER = "administer"


@dataclass(frozen=True, slots=True)
class Peer:
    """The process at the other end; `user` and `group_names` where the system knows them, `unit` None: no unit."""

    uid: int
    gid: int
    pid: int | None
    groups: frozenset[int] = frozenset()
    user: str | None = None
    group_names: frozenset[str] = frozenset()
    unit: str | None = None


def matches(rule: str, peer: Peer) -> bool:
    """Whether `rule` (user:NAME, uid:N, group:NAME, gid:N, unit:NAME) names this peer."""
    kind, _, value = rule.partition(":")
    match kind:
        case "user":
            return peer.user is not None and peer.user == value
        case "uid":
            return str(peer.uid) == value
        case "group":
            return value in peer.group_names
        case "gid":
            return str(peer.gid) == value or any(str(group) == value for group in peer.groups)
        case "unit":
            return peer.unit is not None and peer.unit == value
        case _:
            return False


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The rules in force: `own_uid` is the broker's own user, always an admin.

    `needs_names`, `needs_groups` and `needs_unit` say what of a peer some rule asks for:
    nobody looks up the rest.
    """

    own_uid: int
    admins: tuple[str, ...] = ()
    tickets: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    id_tokens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    needs_names: bool = field(init=False, repr=False, compare=False, default=False)
    needs_groups: bool = field(init=False, repr=False, compare=False, default=False)
    needs_unit: bool = field(init=False, repr=False, compare=False, default=False)

    def __post_init__(self) -> None:
        kinds = {rule.partition(":")[0] for rule in self._rules()}
        object.__setattr__(self, "needs_names", bool(kinds & {"user", "group"}))
        object.__setattr__(self, "needs_groups", bool(kinds & {"gid", "group"}))
        object.__setattr__(self, "needs_unit", "unit" in kinds)

    def _rules(self) -> Iterable[str]:
        yield from self.admins
        for rules in (*self.tickets.values(), *self.id_tokens.values()):
            yield from rules or ()

    def allows(self, action: Action, name: str, peer: Peer) -> bool:
        """Whether the peer may do `action` to the ticket or account `name`."""
        match action:
            case Action.LOOK:
                return True
            case Action.VEND:
                return self.may_vend(name, peer)
            case Action.READ_ID_TOKEN:
                return self.may_read_id_token(name, peer)
            case Action.ADMINISTER:
                return self.is_admin(peer)

    def is_admin(self, peer: Peer) -> bool:
        """Whether the peer may do admin work."""
        return peer.uid == self.own_uid or any(matches(rule, peer) for rule in self.admins)

    def may_vend(self, ticket: str, peer: Peer) -> bool:
        """Whether the peer may have this ticket: no `allow` in the configuration means whoever opened the socket."""
        rules = self.tickets.get(ticket, ())
        return rules is None or any(matches(rule, peer) for rule in rules) or peer.uid == self.own_uid

    def may_read_id_token(self, account: str, peer: Peer) -> bool:
        """Whether the peer may read this account's id token."""
        return self.is_admin(peer) or any(matches(rule, peer) for rule in self.id_tokens.get(account, ()))
