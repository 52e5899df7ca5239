"""Every block of Python in the README and in the pages of docs runs as it is printed."""

import re

import pages
import pytest

# An optional package that a block needs, by the name under which the block imports it.
OPTIONAL = "matplotlib", "peft", "safetensors", "sklearn", "torch"
# Run by tests that also look at what these pages leave.
RUN_ELSEWHERE = {"fine_tuning", "influence"}

WITH_BLOCKS = [page for page in pages.PAGES if pages.blocks_of(page)]


def test_pages_with_blocks_are_found():
    assert {"README.md", "index.md", "how_it_works.md", "torch.md"} <= {p.name for p in WITH_BLOCKS}


@pytest.mark.parametrize(
    "page",
    [page for page in WITH_BLOCKS if page.stem not in RUN_ELSEWHERE],
    ids=lambda page: page.stem,
)
def test_every_block_runs_and_prints_what_it_says(page, tmp_path, monkeypatch):
    text = "\n".join(pages.blocks_of(page))
    for package in OPTIONAL:
        if re.search(rf"^\s*(import|from) {package}\b", text, re.MULTILINE):
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    pages.run(page)
