"""The harness of hostile calls: it reaches every public name, and a few hundred calls of each room.

Longer runs: ``python -m tests.fuzz --minutes 5`` from the root of the repository.
"""

import struct
import sys

import numpy as np
import pytest
from fuzz import attempts, cases, draws, public, runner

import subquad
from subquad.hadamard import fwht

CASES_PER_TARGET = 12


def test_every_public_callable_is_fuzzed_or_excused():
    fuzzed = {name for each in cases.targets() for name in each.names}
    missing = public.callables() - fuzzed - public.EXCUSED.keys()
    assert not missing, f"give a target in tests/fuzz/targets to {sorted(missing)}"
    assert fuzzed | public.EXCUSED.keys() <= public.callables(), "names that are not public"


def test_every_public_module_is_looked_into():
    assert set(public.modules()) >= set(subquad._MODULES)


@pytest.mark.parametrize("each", cases.targets(), ids=lambda each: each.function.__name__)
def test_hostile_calls_end_in_a_right_value_or_a_sentence(each):
    with cases.recorded_warnings() as log:
        for number in range(CASES_PER_TARGET if each.share > 1 else 4):
            outcome = cases.run_case(2024, number, log, each)
            assert outcome.failure is None, f"case {number}: {outcome.calls[-1]}\n{outcome.trace}"


def attempted(function, *args, hostile=True, wrong=None):
    """What the harness says of a call: an exception, or None."""
    draw = draws.Draw(0, 0)
    draw.hostile, draw.wrong = hostile, wrong
    names = public.names() | {function: "a.function"}
    with cases.recorded_warnings() as log, pytest.MonkeyPatch.context() as patch:
        patch.setattr(public, "names", lambda: names)
        try:
            attempts.Attempt(draw, log)(function, *args)
        except (attempts.Failure, attempts.Refused) as error:
            return error


def overwriting(x):
    x[0] = 1.0


def raising(x):
    raise ValueError("x must be something else; got this.")


def slicing(x):
    return x[0, 0, 0, 0]


def warning(x):
    return 1.0 / x


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (overwriting, "argument 0 was changed"),
        (raising, "ValueError: x must be something else"),  # but not in the package's own line
        (slicing, "IndexError"),
        (warning, "RuntimeWarning: divide by zero"),
    ],
)
def test_the_harness_notices_a_call_that_ends_otherwise(function, text):
    failure = attempted(function, np.zeros(3))
    assert isinstance(failure, attempts.Failure)
    assert text in str(failure)


def test_the_harness_tells_refusals_that_are_right_from_others():
    assert isinstance(attempted(fwht, np.zeros(3)), attempts.Refused)
    assert "refused what is not wrong" in str(attempted(fwht, np.zeros(3), hostile=False))
    assert attempted(fwht, np.zeros(4), hostile=False) is None
    assert "answered although" in str(attempted(fwht, np.zeros(4), wrong="of a wrong dtype"))


def test_a_wrong_value_is_noticed_beyond_its_rounding():
    draw = draws.Draw(0, 0)
    attempt = attempts.Attempt(draw, [])
    attempt.calls.append(["a.function", "answered"])
    exact, size = np.array([1.0, 2.0]), np.array([4.0, 4.0])
    attempt.close(exact * (1 + 1e-16), exact, size, 3)
    with pytest.raises(attempts.Failure, match=r"at \(np.int64\(1\),\)"):
        attempt.close(exact + np.array([0.0, 1e-12]), exact, size, 3)
    with pytest.raises(attempts.Failure, match="dtype float64"):
        attempt.close(exact.astype(np.float32), exact, size, 3)


def test_a_case_can_be_replayed(capsys):
    assert runner.replay(7, 3) == 0
    assert capsys.readouterr().out.startswith(cases.target_of(3).names[0].split(".")[0])
    draw, again = draws.Draw(7, 3), draws.Draw(7, 3)
    for _ in range(20):
        first, second = draw.array((3, 4)), again.array((3, 4))
        assert repr(first) == repr(second)


@pytest.mark.parametrize(
    ("ends", "cause", "longest"),
    [
        ("os.kill(os.getpid(), 11)", "signal SIGSEGV", 300.0),
        ("sys.exit('torn')", "exit with status 1: torn", 300.0),
        ("time.sleep(600)", "a hang of more than 1 s", 1.0),
    ],
)
def test_the_case_that_ends_a_worker_is_named(tmp_path, ends, cause, longest):
    (tmp_path / "at").write_bytes(struct.pack("q", 41))  # the word that a worker leaves
    command = [sys.executable, "-c", f"import os, sys, time\n{ends}"]
    assert runner.watch(command, tmp_path, longest) == (42, cause)


def test_a_report_counts_calls_and_shows_the_first_failure_of_each_kind():
    counts = {("a.b", "checked"): 3, ("a.b", "refused"): 2, ("a.c", "failed"): 2}
    failures = [[8, "a.c: IndexError", "a.c", "IndexError: x"], [9, "a.c: IndexError", "a.c", "y"]]
    text = runner.report(counts, failures, seed=1, complete=False).splitlines()
    assert text[1].split() == ["a.b", "5", "3", "0", "2", "0"]
    assert text[3].split() == ["all", "7", "3", "0", "2", "2"]
    assert text[4] == "FAILED 2 times, --replay 1:8: a.c: IndexError: x"
