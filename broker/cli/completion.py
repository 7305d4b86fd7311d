"""Shell completion, generated from the parser.

Knows three shells' syntax and no command. The one invariant: what is completed is what the parser takes.
"""

from __future__ import annotations

from broker.cli import exit_codes
from broker.cli.commands import COMMANDS
from broker.cli.help import EXIT_CODES, MANUAL
from broker.cli.parser import PROGRAM, command_parsers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from broker.cli.terminal import Terminal


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Print the completion of a shell."""
    terminal.result({"bash": _bash, "zsh": _zsh, "fish": _fish}[args.shell]())
    return exit_codes.DONE


def words() -> dict[str, list[str]]:
    """For every command: its options and the words that its arguments are chosen from."""
    found = {name: _words_of(parser) for name, parser in command_parsers().items()}
    found["help"] += [EXIT_CODES, MANUAL, *COMMANDS]
    return found


def _words_of(parser: argparse.ArgumentParser) -> list[str]:
    options = ["--socket"]
    choices: list[str] = []
    for action in parser._actions:  # noqa: SLF001 (argparse has no other way to list them)
        options += [option for option in action.option_strings if option.startswith("--") and option not in options]
        choices += [str(choice) for choice in action.choices or [] if not action.option_strings]
    return [*choices, *options]


def _bash() -> str:
    cases = "\n".join(f'    {name}) words="{" ".join(each)}" ;;' for name, each in words().items())
    return f"""\
# bash completion of {PROGRAM}: source <({PROGRAM} completion bash)
_eliot_broker() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words="{" ".join(COMMANDS)} --socket --version --help" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${{COMP_WORDS[i]}}" in
{cases}
    *) continue ;;
    esac
    break
  done
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -F _eliot_broker {PROGRAM}"""


def _zsh() -> str:
    described = "\n".join(f"    '{name}:{_plain(command.summary)}'" for name, command in COMMANDS.items())
    cases = "\n".join(f"    {name}) compadd -- {' '.join(each)} ;;" for name, each in words().items())
    return f"""\
#compdef {PROGRAM}
# zsh completion of {PROGRAM}: source <({PROGRAM} completion zsh)
_eliot_broker() {{
  local -a commands
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
}}
compdef _eliot_broker {PROGRAM}"""


def _fish() -> str:
    lines = [f"# fish completion of {PROGRAM}: {PROGRAM} completion fish | source", f"complete -c {PROGRAM} -f"]
    for name, command in COMMANDS.items():
        lines.append(f"complete -c {PROGRAM} -n __fish_use_subcommand -a {name} -d '{_plain(command.summary)}'")
    for name, each in words().items():
        lines += [_fish_word(name, word) for word in each]
    return "\n".join(lines)


def _fish_word(name: str, word: str) -> str:
    what = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
    return f"complete -c {PROGRAM} -n '__fish_seen_subcommand_from {name}' {what}"


def _plain(text: str) -> str:
    return text.replace("'", "")
