"""The directive ``subquad-options``: the options of a subcommand, from the parser of the command.

    ```{subquad-options} fit
    ```

So the page names every option there is, with its own help, and none that is gone.
"""

import argparse

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from subquad._command.parser import build_parser


def subcommands():
    """Return the parser of each subcommand by its name."""
    actions = build_parser()._actions
    return next(a for a in actions if isinstance(a, argparse._SubParsersAction)).choices


class Options(SphinxDirective):
    """One definition list for each group of options."""

    required_arguments = 1

    def run(self):
        """Return the nodes."""
        parser = subcommands()[self.arguments[0]]
        shown = []
        for group in parser._action_groups:
            if actions := [a for a in group._group_actions if a.help is not argparse.SUPPRESS]:
                title = group.title[0].upper() + group.title[1:]
                shown += [nodes.rubric(text=title), _definitions(actions)]
        return shown


def _definitions(actions):
    """Each option with its values as a term, and its help below."""
    listed = nodes.definition_list(classes=["subquad-options"])
    for action in actions:
        term = nodes.term("", "", nodes.literal(text=_written(action)))
        text = _sentence(action)
        listed += nodes.definition_list_item(
            "", term, nodes.definition("", nodes.paragraph(text=text))
        )
    return listed


def _written(action):
    """An option as it is typed."""
    names = ", ".join(action.option_strings)
    if isinstance(action, argparse.BooleanOptionalAction) or action.nargs == 0:
        return names
    choices = "|".join(map(str, action.choices)) if action.choices else None
    value = action.metavar or choices or action.dest.upper()
    return f"{names} {value}" if names else value


def _sentence(action):
    """The help of an option; what has none tells its default."""
    text = action.help or f"default {action.default}"
    return text[0].upper() + text[1:] + "."


def setup(app):
    """Add the directive."""
    app.add_directive("subquad-options", Options)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
