"""Measure anew the tables of a page, each by the command that stands above it.

    python asv_benches/performance_page.py [--only NAME ...] [--extra "--cpu"] [--plots FOLDER]
                                           [--page docs/torch.md]

The page has blocks that begin with `<!-- table: SCRIPT OPTIONS -->` and end with `<!-- end -->`;
what is between is replaced by what the script prints, run from the folder of this one. --only takes
names of scripts; --extra is appended to every command. --plots writes, besides, a picture of each
table that has ratios (cells such as 3.1x) to a folder, as SVG.
"""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent / "docs" / "performance.md"
BLOCK = re.compile(r"(<!-- table: (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
RATIO = re.compile(r"[\d.e+]+x")


def printed(command, extra=""):
    """Return what a script prints, given its name and options."""
    words = [*shlex.split(command), *shlex.split(extra)]
    script = [sys.executable, str(FOLDER / words[0]), *words[1:]]
    return subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True).stdout


def measured(text, run, only=None):
    """Return the text of the page with its blocks replaced by `run(command)`."""

    def replaced(block):
        head, command, _, end = block.groups()
        if only and Path(shlex.split(command)[0]).stem not in only:
            return block.group()
        return f"{head}\n{run(command).strip()}\n\n{end}"

    return BLOCK.sub(replaced, text)


def tables_of(markdown):
    """Return the tables of a text: (heads, rows of cells)."""
    lines = [line.strip() for line in markdown.splitlines()]
    tables, rows = [], []
    for line in [*lines, ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            tables.append((rows[0], rows[2:]))
            rows = []
    return tables


def ratios(heads, rows):
    """Return the labels of the rows, and the columns of ratios by name."""
    columns = [c for c in range(len(heads)) if all(RATIO.fullmatch(row[c]) for row in rows)]
    first = next((c for c, head in enumerate(heads) if "(" in head), len(heads))
    labels = [", ".join(row[: min([first, *columns])]) for row in rows]
    return labels, {heads[c]: [float(row[c].rstrip("x")) for row in rows] for c in columns}


def plot(heads, rows, path):
    """Draw the ratios of a table as bars; return whether it has any."""
    from matplotlib.figure import Figure

    labels, series = ratios(heads, rows)
    if not series:
        return False
    figure = Figure(figsize=(8, 1 + 0.25 * len(labels) * len(series)), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(series)
    for k, (name, values) in enumerate(series.items()):
        places = [i + k * height for i in range(len(labels))]
        axes.barh(places, values, height, label=name)
    axes.set_yticks([i + 0.4 - height / 2 for i in range(len(labels))], labels)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="times the seconds of subquad")
    axes.axvline(1, color="black", linewidth=1)
    axes.legend()
    figure.savefig(path)
    return True


def draw_all(text, folder):
    """Write a picture of every table with ratios."""
    folder.mkdir(parents=True, exist_ok=True)
    for _, command, content, _ in BLOCK.findall(text):
        for number, table in enumerate(tables_of(content), start=1):
            name = f"{Path(shlex.split(command)[0]).stem}_{number}.svg"
            if plot(*table, folder / name):
                print(f"wrote {folder / name}")


def main(words=None):
    """Measure, write the page, and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="docs/performance.md by default")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--extra", default="")
    parser.add_argument("--plots", type=Path, metavar="FOLDER")
    parser.add_argument("--no-measuring", action="store_true", help="draw the page as it is")
    options = parser.parse_args(words)
    text = options.page.read_text(encoding="utf-8")
    if not options.no_measuring:
        text = measured(text, lambda command: printed(command, options.extra), options.only)
        options.page.write_text(text, encoding="utf-8")
    if options.plots is not None:
        draw_all(text, options.plots)


if __name__ == "__main__":
    main()
