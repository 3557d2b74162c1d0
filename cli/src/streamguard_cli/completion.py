"""``streamguard completion SHELL``: a script that completes verbs and flags, read off the parser."""

import argparse

from streamguard_cli.output import result

_BASH = """\
_streamguard() {{
  local line=" ${{COMP_WORDS[*]:1:COMP_CWORD-1}} " words
  case "$line" in
{cases}
    *) words="{verbs}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
  [[ ${{#COMPREPLY[@]}} -gt 0 ]] || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -F _streamguard streamguard"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n" + _BASH


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verb."""
    parser = commands.add_parser("completion", help="print a completion script")
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="bash|zsh|fish")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script for one shell."""
    from streamguard_cli.__main__ import build_parser  # it imports this module

    found = words(build_parser())
    result(_fish(found) if options.shell == "fish" else _bash(found, options.shell))
    return 0


def words(
    parser: argparse.ArgumentParser, verbs: tuple[str, ...] = ()
) -> dict[tuple[str, ...], list[str]]:
    """Return what may follow each verb: its own verbs, choices and flags."""
    found: dict[tuple[str, ...], list[str]] = {verbs: []}
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of them
        found[verbs] += [flag for flag in action.option_strings if flag.startswith("--")]
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            found[verbs] += list(action.choices)
            for name, child in action.choices.items():
                found |= words(child, (*verbs, name))
        elif action.choices:
            found[verbs] += [str(choice) for choice in action.choices]
    return found


def _bash(found: dict[tuple[str, ...], list[str]], shell: str) -> str:
    deepest_first = sorted((verbs for verbs in found if verbs), key=len, reverse=True)
    cases = "\n".join(
        f'    *" {" ".join(verbs)} "*) words="{" ".join(found[verbs])}" ;;'
        for verbs in deepest_first
    )
    script = _ZSH if shell == "zsh" else _BASH
    return script.format(cases=cases, verbs=" ".join(found[()]))


def _fish(found: dict[tuple[str, ...], list[str]]) -> str:
    lines = ["complete -c streamguard -f"]
    for verbs, following in found.items():
        seen = [f"__fish_seen_subcommand_from {verb}" for verb in verbs]
        condition = "; and ".join(seen) or "__fish_use_subcommand"
        for word in following:
            what = f"-l {word.removeprefix('--')}" if word.startswith("--") else f"-a {word}"
            lines.append(f"complete -c streamguard -n '{condition}' {what}")
    return "\n".join(lines)
