"""What tests have worker processes do, in a module that these can import by its name."""

import numpy as np


def changed(report):
    """Answers of a report, after changes of every kind where a worker may map it read-only."""
    first = report.query_batch(np.eye(3), 0.5)
    report.update([0, 5], np.ones((2, 3)))
    report.insert(np.full((3, 3), 2.0))
    report.delete([7])
    return (*first, *report.query_batch(np.eye(3), 0.5))


def flushed(kept):
    """W + dW after one update that flushes."""
    kept.update(np.ones((1, 30)), np.full((1, 20), 4.0))
    assert kept.rank == 0
    return kept.query(np.eye(20)).T
