"""Measure anew the tables of a page, each by the command that stands above it.

    python asv_benches/performance_page.py [--only NAME,... ] [--minutes 60] [--processor NAME]
        [--note TEXT] [--extra "--cpu"] [--plots FOLDER] [--page docs/torch.md] [--no-measuring]

The page has blocks that begin with `<!-- table: SCRIPT OPTIONS -->` and end with `<!-- end -->`.
Each command is run from the folder of this script, and what it prints is kept in the folder
`results`, in the file of this processor. Every block then shows the tables of each processor that
has some, one below the other, and a block `<!-- glance: SCRIPT ... -->` a column of ratios for each
processor. Figures of other processors stay as they are.

All tables together take at most --minutes, and what was measured is kept as soon as a table is
done: one that would take longer is stopped and keeps its figures of before. --only takes names of
scripts. --processor names this processor, where what it calls itself says too little; --note says
what else there is to know about the machine. --extra is appended to every command. --plots writes,
besides, a picture of each table that has ratios (cells such as 3.1x) to a folder, as SVG. With
--no-measuring the page is written from the results that are there.
"""

import argparse
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import processor
import results

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent / "docs" / "performance.md"
BLOCK = re.compile(r"(<!-- table: (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
GLANCE = re.compile(r"(<!-- glance: (.+?) -->\n)(.*?)(<!-- end of glance -->)", re.DOTALL)
# The file of tables that stood on a page before results were kept.
UNNAMED = "unnamed", "a processor that was not recorded"
RATIO = re.compile(r"[\d.e+]+x")


def printed(command, extra="", timeout=None):
    """Return what a script prints, given its name and options; raise if it takes too long."""
    words = [*shlex.split(command), *shlex.split(extra)]
    script = [sys.executable, str(FOLDER / words[0]), *words[1:]]
    # A session of its own, which ends with all the processes that the script started in it.
    with subprocess.Popen(
        script, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            text, _ = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, script)
    return text


def commands_of(text, only=()):
    """Return the commands of a page, or those of some scripts."""
    commands = [command for _, command, _, _ in BLOCK.findall(text)]
    return [command for command in commands if not only or stem(command) in only]


def stem(command):
    """Return the name of a command's script."""
    return Path(shlex.split(command)[0]).stem


def measure(commands, held, run, minutes=math.inf, clock=time.monotonic):
    """Run commands and keep what they print; return those that were not done in time.

    `run(command, timeout)` raises subprocess.TimeoutExpired after so many seconds.
    """
    end, late = clock() + 60 * minutes, []
    for command in commands:
        start = clock()
        before = held.tables.get(command, {}).get("seconds")
        said = f"; {before:.0f} s the last time" if before else ""
        print(f"{command} ({max(0, end - start):.0f} s left{said})", file=sys.stderr, flush=True)
        try:
            if start >= end:
                raise subprocess.TimeoutExpired(command, 0)
            text = run(command, None if math.isinf(end) else end - start)
        except subprocess.TimeoutExpired:
            late.append(command)
            continue
        held.enter(command, text, round(clock() - start, 1), results.today())
    return late


def keep_unnamed(text, folder):
    """Take the tables of a page that no results hold into a file of their own."""
    kept = results.Results(folder / f"{UNNAMED[0]}.json", UNNAMED[1])
    every = results.of_all(folder)
    for _, command, content, _ in BLOCK.findall(text):
        if tables_of(content) and all(held.text(command) is None for held in every):
            kept.enter(command, content)


def written(text, every):
    """Return the text of a page with the tables of all results in its blocks."""

    def block(match):
        head, command, old, end = match.groups()
        parts = [captioned(held, command) for held in every if held.text(command) is not None]
        return f"{head}\n" + "\n\n".join(parts) + f"\n\n{end}" if parts else head + old + end

    def glance(match):
        head, names, _, end = match.groups()
        return f"{head}\n{at_a_glance(commands_of(text, names.split()), every)}\n\n{end}"

    return GLANCE.sub(glance, BLOCK.sub(block, text))


def captioned(held, command):
    """Return the tables of a command, below the processor's name."""
    return f"**{held.name}**\n\n{held.text(command)}"


def at_a_glance(commands, every):
    """Return a table: the geometric mean of each column of ratios, processor by processor."""
    every = [held for held in every if any(held.text(command) for command in commands)]
    cells = {}
    for command in commands:
        for place, held in enumerate(every):
            for label, mean in mean_ratios(held.text(command) or ""):
                row = cells.setdefault((stem(command), label), [""] * len(every))
                row[place] = f"{mean:.3g}x"
    heads = ["table", "ratio", *(held.name for held in every)]
    lines = ["| " + " | ".join(heads) + " |", "|---|---" + "|---:" * len(every) + "|"]
    lines += [f"| `{name}` | {label} | {' | '.join(row)} |" for (name, label), row in cells.items()]
    return "\n".join(lines)


def mean_ratios(markdown):
    """Yield (name, geometric mean) of the columns of ratios of a text's tables.

    The paragraph that stands above a table is a part of the name.
    """
    for paragraph, table in zip(titles_of(markdown), tables_of(markdown), strict=True):
        for label, values in ratios(*table)[1].items():
            mean = math.exp(sum(map(math.log, values)) / len(values))
            yield f"{paragraph} {label}".strip(), mean


def titles_of(markdown):
    """Return what stands above each table of a text, or an empty text."""
    above, titles = "", []
    for paragraph in re.split(r"\n\s*\n", markdown.strip()):
        if paragraph.startswith("|"):
            titles.append(above)
        above = "" if paragraph.startswith("|") else paragraph
    return titles


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
            name = f"{stem(command)}_{number}.svg"
            if plot(*table, folder / name):
                print(f"wrote {folder / name}")


def options_of(words=None):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="docs/performance.md by default")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--minutes", type=float, default=60, help="of all tables; 60 by default")
    parser.add_argument("--processor", default=processor.name(), metavar="NAME")
    parser.add_argument("--note", default="")
    parser.add_argument("--extra", default="")
    parser.add_argument("--plots", type=Path, metavar="FOLDER")
    parser.add_argument("--no-measuring", action="store_true", help="write the results there are")
    options = parser.parse_args(words)
    options.only = [name for word in options.only for name in word.split(",") if name]
    return options


def main(words=None):
    """Measure, write the page, and draw; return 1 where a table was not done in time."""
    options, late = options_of(words), []
    text = options.page.read_text(encoding="utf-8")
    if not options.no_measuring:
        keep_unnamed(text, results.FOLDER)
        path = results.FOLDER / f"{processor.file_name(options.processor)}.json"
        held = results.Results(path, options.processor, options.note)
        late = measure(
            commands_of(text, options.only), held,
            lambda command, timeout: printed(command, options.extra, timeout), options.minutes,
        )  # fmt: skip
        for command in late:
            print(f"not done in time: {command}", file=sys.stderr)
    text = written(text, results.of_all(results.FOLDER))
    options.page.write_text(text, encoding="utf-8")
    if options.plots is not None:
        draw_all(text, options.plots)
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main())
