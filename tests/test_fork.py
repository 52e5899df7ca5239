"""A forked process goes on with one thread, and does not wait for those of its parent."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = [
    pytest.mark.machine,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
]

PREAMBLE = """
    import multiprocessing, os, sys, warnings
    import numpy as np
    import subquad
    from subquad import HalfSpaceReport, fwht
    from subquad._kernels import hadamard
    from subquad._parallel import resolve_threads

    warnings.simplefilter("ignore")  # Python warns of forks beside threads, which are the point
    X = np.random.default_rng(0).standard_normal((64, 2**16))

    def in_child(function):
        child = os.fork()
        if child == 0:
            try:
                function()
            except BaseException as error:
                print(repr(error), file=sys.stderr)
                os._exit(1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    def check(statement):
        assert statement
"""


def run(script):
    """Run a script in a fresh process, which must end."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(PREAMBLE) + textwrap.dedent(script)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_transform_after_a_parallel_one_ends_in_the_child_and_has_the_same_bits():
    run("""
        expected = fwht(X, n_threads=2)
        in_child(lambda: check(np.array_equal(fwht(X, n_threads=2), expected)))
        in_child(lambda: in_child(lambda: check(np.array_equal(fwht(X), expected))))
        assert np.array_equal(fwht(X, n_threads=2), expected)
    """)


def test_a_number_of_threads_resolved_before_the_fork_is_harmless():
    run("""
        expected, out = fwht(X, n_threads=2), np.empty_like(X)
        def transform():
            hadamard.transform_rows(X, out, 1, 1.0, 2)
            check(np.array_equal(out, expected))
        in_child(transform)
    """)


def test_a_report_and_its_queries_go_on_in_the_child():
    run("""
        report = HalfSpaceReport(X[:, :3].copy(), n_threads=2)
        A = np.random.default_rng(1).standard_normal((200, 3))
        expected = report.query_batch(A, 0.1)
        def ask():
            report.update([0], np.zeros((1, 3)))
            report.update([0], X[:1, :3])
            for got, want in zip(report.query_batch(A, 0.1), expected):
                check(np.array_equal(got, want))
        in_child(ask)
    """)


def test_workers_of_multiprocessing_answer():
    run("""
        expected = fwht(X, n_threads=2)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            for got in pool.map(fwht, [X, X]):
                assert np.array_equal(got, expected)
    """)


def test_threads_are_one_in_the_child_of_a_process_that_had_several():
    run("""
        def alone():
            for asked in (None, 1, 2, 7, -1, -2):
                check(resolve_threads(asked) == 1)
            try:
                resolve_threads(0)
            except ValueError:
                return
            check(False)
        assert resolve_threads(2) == 2
        in_child(alone)
        assert resolve_threads(2) == 2
    """)


def test_a_child_of_a_process_that_never_had_several_may_have_them():
    run("""
        assert resolve_threads(1) == 1
        in_child(lambda: check(resolve_threads(2) == 2))
        in_child(lambda: check(np.array_equal(fwht(X, n_threads=2), fwht(X, n_threads=1))))
    """)
