"""``subquad completion``: a script that completes the command, made of the parser's own options."""

import argparse

from subquad._command.errors import SUCCESS

BASH = """\
_subquad() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$word")); return
    fi
    case "${{COMP_WORDS[1]}} $before" in
{choices}
    esac
    if [ -z "$words" ] && [[ "$word" == -* ]]; then
        case "${{COMP_WORDS[1]}}" in
{options}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _subquad subquad
"""
ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def completion(args):
    """Print the script; return the exit status."""
    print(_fish() if args.shell == "fish" else (ZSH if args.shell == "zsh" else "") + _bash())
    return SUCCESS


def _subcommands():
    """Actions of each subcommand by its name."""
    from subquad._command.parser import build_parser

    actions = build_parser()._actions
    found = next(a for a in actions if isinstance(a, argparse._SubParsersAction)).choices
    return {name: parser._actions for name, parser in found.items()}


def _bash():
    """Script for bash, which zsh can read."""
    choices, options = [], []
    for name, actions in _subcommands().items():
        words = " ".join(option for action in actions for option in action.option_strings)
        options.append(f'        {name}) words="{words}" ;;')
        for action in actions:
            if not (values := _values(action)):
                continue
            if not action.option_strings:
                choices.append(f'        "{name} {name}") words="{values}" ;;')
            for option in action.option_strings:
                choices.append(f'        "{name} {option}") words="{values}" ;;')
    return BASH.format(
        commands=" ".join(_subcommands()), choices="\n".join(choices), options="\n".join(options)
    )


def _fish():
    """Script for fish."""
    lines = []
    for name, actions in _subcommands().items():
        lines.append(f"complete -c subquad -n __fish_use_subcommand -a {name}")
        for action in actions:
            values = _values(action)
            given = f" -x -a '{values}'" if values else ("" if action.nargs == 0 else " -r")
            names = [option[2:] for option in action.option_strings if option.startswith("--")]
            for option in names:
                where = f"-n '__fish_seen_subcommand_from {name}'"
                lines.append(f"complete -c subquad {where} -l {option}{given}")
            if values and not action.option_strings:
                where = f"-n '__fish_seen_subcommand_from {name}'"
                lines.append(f"complete -c subquad {where} -x -a '{values}'")
    return "\n".join(lines)


def _values(action):
    """Words that an option may take, with blanks between them."""
    from subquad._command.options import KINDS, KindOrFile

    words = KINDS if isinstance(action, KindOrFile) else action.choices
    return " ".join(map(str, words)) if words else ""
