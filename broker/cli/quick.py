"""The command lines of `ticket` as scripts write it and of `serve` as units do, read without argparse.

For the one that would take longer than the broker does, for the other it would stay in memory. Knows the plain forms
of four options and nothing else. The one invariant: what it takes, it reads as the parser
would; whatever it is not sure of, it leaves to the parser.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence
else:

    class Namespace:
        """Looks like argparse's."""


def ticket_arguments(argv: Sequence[str]) -> Namespace | None:
    """What `ticket NAME` was asked for, with --socket, --min-validity and --wait; None: ask the parser."""
    args = Namespace()
    args.name = args.socket = args.min_validity = args.wait = args.format = None
    args.json = False
    words = iter(argv)
    asked = False
    for word in words:
        if word == "--socket":
            args.socket = next(words, "")
            if not args.socket.startswith("/"):
                return None
        elif not asked:
            if word != "ticket":
                return None
            asked = True
        elif word in ("--wait", "--min-validity"):
            number = next(words, "")
            if not (number.isascii() and number.isdigit()):
                return None
            setattr(args, word[2:].replace("-", "_"), int(number))
        elif args.name is None and word and not word.startswith("-"):
            args.name = word
        else:
            return None
    return None if args.name is None else args


def serve_arguments(argv: Sequence[str]) -> Namespace | None:
    """What `serve` was asked for, with --config; None: ask the parser."""
    match list(argv):
        case ["serve"]:
            config = None
        case ["serve", "--config", config] if config and not config.startswith("-"):
            pass
        case _:
            return None
    args = Namespace()
    args.socket, args.config = None, config
    return args
