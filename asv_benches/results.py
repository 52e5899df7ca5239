"""Figures as data: a file for each processor in `results/`, with what the table scripts printed.

A file holds the processor's name, a note on the machine, and for each command, such as
"hadamard_table.py --levels best", the Markdown that it printed, the day, and the seconds it took.
A run on one processor never touches the file of another.
"""

import datetime
import json
import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "results"


class Results:
    """What was measured on one processor.

    Attributes
    ----------
    name, note : str
        The processor, and what else there is to know about the machine.
    tables : dict
        Commands, each with a dict of its "text" (a list of lines), "date" and "seconds"; the last
        two are None where they are not known.
    """

    def __init__(self, path, name="", note=""):
        self.path, self.name, self.note, self.tables = Path(path), name, note, {}
        if self.path.exists():
            held = json.loads(self.path.read_text(encoding="utf-8"))
            self.name, self.tables = held["processor"], held["tables"]
            self.note = note or held["note"]

    def text(self, command):
        """Return what a command printed, or None."""
        table = self.tables.get(command)
        return table and "\n".join(table["text"])

    def enter(self, command, text, seconds=None, date=None):
        """Take what a command printed, and write the file, which is replaced as a whole."""
        lines = text.strip().splitlines()
        self.tables[command] = {"date": date, "seconds": seconds, "text": lines}
        held = {"processor": self.name, "note": self.note, "tables": self.tables}
        self.path.parent.mkdir(exist_ok=True)
        spare = self.path.with_suffix(".new")
        spare.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(spare, self.path)


def of_all(folder=FOLDER):
    """Return the results of every processor, sorted by the names of their files."""
    return [Results(path) for path in sorted(Path(folder).glob("*.json"))]


def today():
    """Return the day as a text."""
    return datetime.date.today().isoformat()
