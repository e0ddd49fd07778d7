"""The reference pages ``docs/settings.md`` and ``docs/cli.md``, made from the code.

::

    python scripts/make_reference.py
"""

from __future__ import annotations

import argparse
import dataclasses
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from streamanon.cli import make_parser
from streamanon.config import Config, PersonRule, Setting, settings

_NOTE = "<!-- Made by python scripts/make_reference.py; do not edit. -->"
#: A command that has so many options of ``streamanon run`` only names them.
_MANY = 5
_KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}


def settings_page() -> str:
    """The settings, a table a section."""
    lines = ["# Settings", "", _NOTE, ""]
    lines += [
        "Set them in a profile (YAML) or with `--set section.name=value`. An unknown name is an error.",
        "",
    ]
    sections = get_type_hints(Config)
    for section, kind in sections.items():
        lines += [f"## {section}", "", kind.__doc__.strip(), ""]
        lines += ["| setting | takes | default | option | |", "|---|---|---|---|---|"]
        rows = [row for row in settings() if row[0].startswith(f"{section}.")]
        lines += [_row(*row) for row in rows] + [""]
    names = ", ".join(f"`{one.name}`" for one in dataclasses.fields(PersonRule))
    return "\n".join([*lines, f"Each of `identity.people` holds: {names}.", ""])


def _row(key: str, hint: Any, default: Any, setting: Setting) -> str:
    option = f"`{setting.flag}`" if setting.flag else ""
    shown = "none" if default in (None, ()) else str(default).lower()
    return f"| `{key}` | {_takes(hint, setting)} | {shown} | {option} | {setting.help} |"


def _takes(hint: Any, setting: Setting) -> str:
    if isinstance(hint, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return "list"
    limits = "" if setting.low is None else f", {_number(setting.low)} to {_number(setting.high)}"
    return _KINDS[hint] + limits


def _number(value: float | None) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def cli_page() -> str:
    """The commands, each with its arguments and options."""
    lines = ["# Command line", "", _NOTE, ""]
    of_run: dict[str, str] = {}
    for name, help_text, parser in _commands(make_parser(), "streamanon"):
        lines += [f"## {name}", "", f"{help_text[:1].upper()}{help_text[1:]}.", ""]
        actions = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
        rows = {_named(a): _cell((a.help or "").replace("%%", "%")) for a in actions}
        shared = [named for named, text in rows.items() if of_run.get(named) == text]
        if len(shared) < _MANY:
            shared = []
        own = [f"| `{named}` | {text} |" for named, text in rows.items() if named not in shared]
        lines += ["| argument | |", "|---|---|", *own, ""] if own else []
        if shared:
            names = ", ".join(f"`{named.split()[0].rstrip(',')}`" for named in shared)
            lines += [f"Also takes these options of `streamanon run`: {names}.", ""]
        of_run = of_run or rows
    return "\n".join(lines)


def _commands(
    parser: argparse.ArgumentParser, name: str
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """The commands that do something, with those below them."""
    for group in parser._actions:
        if isinstance(group, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in group._choices_actions}
            for verb, below in group.choices.items():
                inner = list(_commands(below, f"{name} {verb}"))
                yield from inner or [(f"{name} {verb}", helps[verb], below)]


def _named(action: argparse.Action) -> str:
    choices = "|".join(map(str, action.choices or ()))
    metavar = action.metavar or choices or action.dest.upper()
    metavar = metavar if isinstance(metavar, str) else " ".join(metavar)
    value = "" if action.nargs == 0 else f" {metavar}"
    named = ", ".join(action.option_strings) + value if action.option_strings else str(metavar)
    return _cell(named)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(folder: Path = Path("docs")) -> None:
    (folder / "settings.md").write_text(settings_page(), encoding="utf-8")
    (folder / "cli.md").write_text(cli_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
