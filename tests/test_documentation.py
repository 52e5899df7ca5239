"""Every block of the README and of the pages of docs runs, and prints, as the page says."""

import re

import pages
import pytest

# An optional package that a block needs, by the name under which the block imports it.
OPTIONAL = "matplotlib", "peft", "safetensors", "sklearn", "torch"
# Run by tests that also look at what these pages leave.
RUN_ELSEWHERE = {"fine_tuning", "influence"}

WITH_BLOCKS = [page for page in pages.PAGES if pages.blocks_of(page)]


def test_pages_with_blocks_are_found():
    expected = {"README.md", "index.md", "how_it_works.md", "torch.md", "tutorial.md"}
    assert expected <= {p.name for p in WITH_BLOCKS}


@pytest.mark.parametrize(
    "page",
    [page for page in WITH_BLOCKS if page.stem not in RUN_ELSEWHERE],
    ids=lambda page: page.stem,
)
def test_every_block_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    text = pages.python_of(page)
    needed = {name for name in OPTIONAL if re.search(rf"^\s*(import|from) {name}\b", text, re.M)}
    if any(language == "console" for language, _ in pages.blocks_of(page)):
        needed |= {"sklearn", "pyarrow"}  # the command fits tables
    for package in needed:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    pages.run(page)


@pytest.mark.parametrize(
    ("promised", "printed", "agrees"),
    [
        ("saved, 4.1 MB\n", "saved,  43 kB\n", True),
        ("saved, 4.1 MB\n", "stored, 4.1 MB\n", False),
        ("first\n...\nlast 2\n", "first\n1 2 3\n4 5 6\nlast 3\n", True),
        ("first\n...\nlast 2\n", "first\n1 2 3\n4 5 6\n", False),
    ],
)
def test_what_a_command_prints_is_compared_but_for_its_numbers(promised, printed, agrees):
    found = re.fullmatch(pages.pattern_of(promised), pages.without_numbers(printed), re.DOTALL)
    assert bool(found) == agrees
