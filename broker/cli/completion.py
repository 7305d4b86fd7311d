"""Shell completion, generated from the parser; names of tickets and accounts are the running broker's.

Knows three shells' syntax and no command. The one invariant: what is completed is what the parser takes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from broker.cli import exit_codes
from broker.cli.commands import COMMANDS
from broker.cli.daemon import client_for
from broker.cli.help import EXIT_CODES, MANUAL
from broker.cli.parser import PROGRAM, command_parsers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal

NAMES = {("name", "NAME"): "tickets", ("name", "ACCOUNT"): "accounts"}  # an argument's destination and metavar


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print the completion of a shell, or the names that it completes."""
    shells = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    terminal.result(shells[args.shell]() if args.shell in shells else "\n".join(_names(args)))
    return exit_codes.DONE


def _names(args: argparse.Namespace) -> list[str]:
    return [str(row["name"]) for row in client_for(args).status()[args.shell]]


@dataclass(frozen=True, slots=True)
class Words:
    """What may follow a command: what its arguments are chosen from, whose names they are, and its options."""

    choices: tuple[str, ...]
    names: str | None
    options: tuple[str, ...]


def words() -> dict[str, Words]:
    """For every command what may follow it."""
    found = {name: _words_of(parser) for name, parser in command_parsers().items()}
    found["help"] = replace(found["help"], choices=(EXIT_CODES, MANUAL, *COMMANDS))
    return found


def _words_of(parser: argparse.ArgumentParser) -> Words:
    options, choices, names = {"--socket": None}, [], None
    for action in parser._actions:  # noqa: SLF001 (argparse has no other way to list them)
        options.update(dict.fromkeys(option for option in action.option_strings if option.startswith("--")))
        if not action.option_strings:
            choices += [str(choice) for choice in action.choices or []]
            names = NAMES.get((action.dest, str(action.metavar)), names)
    return Words(tuple(choices), names, tuple(options))


def _asked(names: str) -> str:
    """What a shell runs for the names; the end of its line is the completion's: no message may stand in it."""
    return f"$({PROGRAM} completion {names} 2>/dev/null)"


def _bash() -> str:
    cases = "\n".join(f"    {name}) {_bash_words(each)} ;;" for name, each in words().items())
    return f"""\
# bash completion of {PROGRAM}: source <({PROGRAM} completion bash)
_eliot_broker() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words="{" ".join(COMMANDS)}" options="--socket --version --help" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${{COMP_WORDS[i]}}" in
{cases}
    *) continue ;;
    esac
    break
  done
  if [[ $current == -* || -z $words ]]; then words=$options; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _eliot_broker {PROGRAM}"""


def _bash_words(each: Words) -> str:
    found = _asked(each.names) if each.names else " ".join(each.choices)
    return f'words="{found}" options="{" ".join(each.options)}"'


def _zsh() -> str:
    described = "\n".join(f"    '{name}:{_plain(command.summary)}'" for name, command in COMMANDS.items())
    cases = "\n".join(f"    {name}) {_zsh_words(each)} ;;" for name, each in words().items())
    return f"""\
#compdef {PROGRAM}
# zsh completion of {PROGRAM}: source <({PROGRAM} completion zsh)
_eliot_broker() {{
  local -a commands found options
  commands=(
{described}
  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  case $words[2] in
{cases}
  esac
  if [[ $words[CURRENT] == -* ]] || ((! $#found)); then found=($options); fi
  compadd -- $found
}}
compdef _eliot_broker {PROGRAM}"""


def _zsh_words(each: Words) -> str:
    found = f'${{(f)"{_asked(each.names)}"}}' if each.names else " ".join(each.choices)
    return f"found=({found}) options=({' '.join(each.options)})"


def _fish() -> str:
    lines = [f"# fish completion of {PROGRAM}: {PROGRAM} completion fish | source", f"complete -c {PROGRAM} -f"]
    for name, command in COMMANDS.items():
        lines.append(f"complete -c {PROGRAM} -n __fish_use_subcommand -a {name} -d '{_plain(command.summary)}'")
    for name, each in words().items():
        known = [*([f"'{_asked(each.names).removeprefix('$')}'"] if each.names else []), *each.choices]
        follows = [f"-a {word}" for word in known] + [f"-l {option[2:]}" for option in each.options]
        lines += [f"complete -c {PROGRAM} -n '__fish_seen_subcommand_from {name}' {what}" for what in follows]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return text.replace("'", "")
