"""Every experiment runs at its smallest size, says what is known of it, and is complete."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from expected_verdicts import EXPECTED

ROOT = Path(__file__).resolve().parents[1]

if not (ROOT / "experiments").is_dir():
    pytest.skip("the experiments are not beside these tests", allow_module_level=True)
sys.path.append(str(ROOT))  # at the end: what is installed comes before the sources

from experiments.__main__ import discover  # noqa: E402
from experiments._claim import Claim, Finding, Number, Verdict  # noqa: E402
from experiments._page import section, sections_of, write  # noqa: E402
from experiments._run import SIZE_NAMES, report, run, seeds_of  # noqa: E402

pytestmark = pytest.mark.sources
MODULES = {module.__name__: module for module in discover()}


@pytest.mark.parametrize("name", MODULES)
def test_the_smallest_size_says_what_is_known(name):
    finding = run(MODULES[name], "smallest")
    assert finding.verdict == EXPECTED[name], report(MODULES[name], finding)
    assert all(np.isfinite(number.values).all() for number in finding.numbers)
    assert Finding.from_dict(json.loads(json.dumps(finding.to_dict()))) == finding
    assert MODULES[name].CLAIM.place in report(MODULES[name], finding)
    pair = {"a": finding, "b": finding}
    paper = name.split(".")[1]
    assert f"`python -m {name}`" in section(paper, [MODULES[name]], {name: pair})


def test_every_experiment_is_expected_to_say_something():
    assert sorted(EXPECTED) == sorted(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_an_experiment_states_a_claim_its_source_and_a_rule(name):
    module = MODULES[name]
    claim = module.CLAIM
    assert isinstance(claim, Claim)
    assert claim.paper.lower() == name.split(".")[1]
    for text in (claim.place, claim.statement, claim.measured, claim.rule, module.__doc__):
        assert text
    for text in (claim.statement, claim.measured, claim.rule):
        assert text.endswith((".", "?"))
    assert tuple(module.SIZES) == SIZE_NAMES
    for size in SIZE_NAMES:
        seeds = {key: set(seeds_of(module, size, key)) for key in ("a", "b", "fresh")}
        assert not seeds["a"] & seeds["b"]
        assert not (seeds["a"] | seeds["b"]) & seeds["fresh"]


def test_no_verdict_is_written_down():
    # One place makes verdicts; an experiment only explains them.
    for module in MODULES.values():
        source = Path(module.__file__).read_text(encoding="utf-8")
        assert "Finding.judge(" in source
        assert "verdict=" not in source
        assert "Finding(" not in source


WHY = {verdict: f"Because it {verdict}." for verdict in Verdict}


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ([Number("x", [1.0, 2.0], at_most=2.0)], Verdict.HOLDS),
        ([Number("x", [1.0, 2.1], at_most=2.0)], Verdict.FAILS),
        ([Number("x", [1.0, np.nan], at_most=2.0)], Verdict.FAILS),
        ([Number("x", [1.0, 2.0], at_most=2.0, of="mean")], Verdict.FAILS),  # the interval is wide
        ([Number("x", [1.0, 1.01], at_most=2.0, of="mean")], Verdict.HOLDS),
        ([Number("x", [1.0, 2.0])], Verdict.UNTESTABLE),
        (
            [Number("x", [3.0], at_most=2.0), Number("y", [3.0], at_most=4.0, form="corrected")],
            Verdict.CORRECTED,
        ),
        (
            [Number("x", [3.0], at_most=2.0), Number("y", [5.0], at_most=4.0, form="corrected")],
            Verdict.FAILS,
        ),
        ([Number("y", [3.0], at_most=4.0, form="corrected")], Verdict.CORRECTED),
    ],
)
def test_the_verdict_follows_from_the_bounds(numbers, verdict):
    assert Finding.judge(numbers, WHY).verdict == verdict
    assert Finding.judge(numbers, {Verdict.UNTESTABLE: "No bound."}).why
    doubtful = Finding.judge(numbers, WHY, untestable="The sizes are too small.")
    assert doubtful.verdict == Verdict.UNTESTABLE
    assert doubtful.why == "The sizes are too small."


def test_the_interval_is_students():
    # Of 0, 1, 2: mean 1, standard error 1 / sqrt(3), quantile 4.3027 for two degrees of freedom.
    assert Number("x", [0.0, 1.0, 2.0]).interval == pytest.approx(
        (1 - 2.4841, 1 + 2.4841), abs=1e-4
    )


def test_a_page_keeps_the_sections_of_papers_that_are_not_run_again(tmp_path):
    page = tmp_path / "claims.md"
    page.write_text("# Title\n\n## [SZZ24] Training\n\nold\n\n## [AS22] Efficient\n\nkept\n")
    assert sections_of(page)["as22"] == "## [AS22] Efficient\n\nkept\n"
    assert list(sections_of(page)) == ["szz24", "as22"]


def test_a_page_is_made_of_kept_findings_and_says_where_seed_sets_disagree(tmp_path):
    name, folder, page = "experiments.szz24.lemma_d5", tmp_path / "kept", tmp_path / "claims.md"
    folder.mkdir()
    for seeds, value in (("a", 1.0), ("b", 3.0)):
        finding = Finding.judge([Number("x", [value], at_most=2.0)], WHY)
        text = json.dumps(finding.to_dict())
        (folder / f"{name}.{seeds}.json").write_text(text, encoding="utf-8")
    write(page, [MODULES[name]], folder=folder)
    text = page.read_text(encoding="utf-8")
    assert "seed sets disagree: a **holds**, b **fails at usable sizes**" in text
    assert list(sections_of(page)) == ["szz24"]
