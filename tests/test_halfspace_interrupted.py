"""A half-space report is in its old state or its new one, and open, wherever an exception came."""

import copy
import sys
import threading

import numpy as np
import pytest
from reference_halfspace import Model, rows_of

from subquad import HalfSpaceReport
from subquad._kernels.half_space_turns import Turns
from subquad.halfspace import _store

ENGINES = ["tree", "scan"]
PATIENCE = 60  # seconds, after which a report counts as locked for good


class Interrupt(BaseException):
    """What Ctrl-C raises, in a kind of its own."""


class Interrupter:
    """Counts the instructions that Python executes in a call, and raises before one of them."""

    def __init__(self, moment=None):
        self.moment, self.seen = moment, []

    def run(self, call):
        """Return whether the call went through; every frame that it enters is watched."""
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            call()
        except Interrupt:
            return False
        finally:
            sys.settrace(before)
        return True

    def _enter(self, frame, event, arg):
        if frame.f_code is not Interrupter.run.__code__:
            frame.f_trace_opcodes = True
            return self._step

    def _step(self, frame, event, arg):
        if event != "opcode":
            return self._step
        if len(self.seen) == self.moment:
            self.moment = None  # the handlers of this exception run on undisturbed
            raise Interrupt
        self.seen.append((frame.f_code, frame.f_lasti))
        return self._step


def moments_of(call):
    """The first and the last time that each instruction of a call is executed."""
    counting = Interrupter()
    assert counting.run(call)
    first, last = {}, {}
    for moment, instruction in enumerate(counting.seen):
        first.setdefault(instruction, moment)
        last[instruction] = moment
    return sorted({*first.values(), *last.values()})


def in_time(call):
    """The result of a call in another thread, which must end."""
    results = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the report is locked"
    assert results, "the call raised an exception"
    return results[0]


def answers(report, A):
    return rows_of(*report.query_batch(A, [-np.inf, 0.3, 1.0], n_threads=1))


def agrees(report, model, A):
    """Whether a report answers as a model does."""
    expected = [model.query(a, b) for a, b in zip(A, [-np.inf, 0.3, 1.0], strict=True)]
    return len(report) == len(model) and all(
        np.array_equal(x, y)
        for got, want in zip(answers(report, A), expected, strict=True)
        for x, y in zip(got, want, strict=True)
    )


def state_of(report, old, new, A):
    """The model whose state the report is in, seen by another thread: the old or the new."""
    for model in (old, new):
        if in_time(lambda model=model: agrees(report, model, A)):
            return model
    raise AssertionError("the report is in neither state")


def go_on(report, model, A, rng):
    """Use the report further: what was interrupted has left nothing behind."""
    model = copy.deepcopy(model)
    points = rng.standard_normal((100, 3)).round(1)
    there = model.there()[::3]
    assert np.array_equal(report.insert(points), model.insert(points))
    moved = rng.standard_normal((there.size, 3)).round(1)
    report.update(there, moved)
    model.update(there, moved)
    report.delete(there[::2])
    model.delete(there[::2])
    assert agrees(report, model, A)


def started(rng, engine):
    """A report that is full, so that insertions lengthen its arrays, and its model."""
    points = rng.standard_normal((130, 3)).round(1)
    report, model = HalfSpaceReport(points, engine, n_threads=1), Model(points)
    gone = np.arange(0, 20)
    report.delete(gone)
    model.delete(gone)
    return report, model


# Operations on a report or on its model, which have methods of the same names.


def insert(either):
    either.insert(np.linspace(-1, 2, 600).reshape(200, 3).round(1))


def delete(either):
    either.delete(np.arange(30, 90))


def update(either):
    either.update(np.arange(25, 125), np.linspace(-4, 4, 300).reshape(100, 3).round(1))


def query(either):
    either.query(np.ones(3), 0.3)


def move_most_and_delete_most(either):
    """What leads to another tree, and to other blocks where there is none."""
    either.insert(np.linspace(9, 12, 3 * 900).reshape(900, 3))
    either.update(np.arange(25, 125), np.linspace(-4, 4, 300).reshape(100, 3).round(1))
    either.delete(np.arange(30, 1025))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("before", "operation"),
    [
        (query, insert),
        (query, delete),
        (query, update),
        (update, query),
        (move_most_and_delete_most, query),
    ],
    ids=["insert", "delete", "update", "query after moves", "query that builds again"],
)
def test_an_exception_at_any_instruction_leaves_the_old_or_the_new_state(
    rng, engine, before, operation
):
    A = rng.standard_normal((3, 3)).round(1)
    untouched, old = started(rng, engine)
    for either in (untouched, old):
        before(either)
    new = copy.deepcopy(old)
    operation(new)
    trial, states = copy.deepcopy(untouched), []
    moments = moments_of(lambda: operation(trial))
    for moment in moments:
        report = copy.deepcopy(untouched)
        if Interrupter(moment).run(lambda report=report: operation(report)):
            continue  # asking the machine for its memory took fewer instructions than before
        states.append(state_of(report, old, new, A))
        go_on(report, states[-1], A, rng)
    assert len(states) > max(200, 0.9 * len(moments))
    assert states[0] is old
    assert operation is query or states[-1] is new


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("operation", [insert, update], ids=lambda f: f.__name__)
def test_running_out_of_memory_at_any_allocation_changes_nothing(
    rng, engine, operation, monkeypatch
):
    A, longer = rng.standard_normal((3, 3)).round(1), _store._longer
    for allowed in range(4):
        report, model = started(rng, engine)
        report.delete(np.arange(125, 130))
        model.delete(np.arange(125, 130))
        left = iter([True] * allowed)

        def scarce(*args, left=left):
            if not next(left, False):
                raise MemoryError
            return longer(*args)

        old = copy.deepcopy(model)
        operation(model)
        monkeypatch.setattr(_store, "_longer", scarce)
        try:
            operation(report)
            state = model
        except MemoryError:
            state = old
        monkeypatch.undo()
        assert agrees(report, state, A)
        go_on(report, state, A, rng)


def test_a_writer_who_waits_is_not_overtaken_by_readers():
    turns, order, inside = Turns(), [], threading.Event()

    def read_until_someone_waits():
        inside.set()
        while not turns.gate.locked():
            pass
        later.start()
        order.append("first reader")

    first = threading.Thread(target=lambda: turns.together(read_until_someone_waits))
    writer = threading.Thread(target=lambda: turns.alone(order.append, "writer"))
    later = threading.Thread(target=lambda: turns.together(order.append, "later reader"))
    first.start()
    assert inside.wait(PATIENCE)
    writer.start()
    for thread in (first, writer, later):
        thread.join(PATIENCE)
    assert order == ["first reader", "writer", "later reader"]


def test_readers_are_inside_together_and_an_exception_lets_go():
    turns, meeting = Turns(), threading.Barrier(3, timeout=PATIENCE)
    readers = [threading.Thread(target=turns.together, args=(meeting.wait,)) for _ in range(2)]
    for reader in readers:
        reader.start()
    meeting.wait()
    for reader in readers:
        reader.join(PATIENCE)
    for turn in (turns.alone, turns.together):
        with pytest.raises(ZeroDivisionError):
            turn(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        turns.together(int, prepare=lambda alone: 1 // 0)
    assert in_time(lambda: turns.alone(int)) == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_readers_see_whole_states_in_order_while_a_writer_changes_everything(rng, engine):
    A = rng.standard_normal((3, 3)).round(1)
    points = rng.standard_normal((700, 3)).round(1)
    report, model = HalfSpaceReport(points, engine), Model(points)
    states = [copy.deepcopy(model)]
    changes = []
    for _ in range(12):
        there = rng.permutation(model.there())
        new = rng.standard_normal((150, 3)).round(1)
        changes += [
            ("delete", (there[:100],)),
            ("update", (there[100:250], new)),
            ("insert", (new,)),
        ]
        for name, arguments in changes[-3:]:
            getattr(model, name)(*arguments)
            states.append(copy.deepcopy(model))
    expected = [[state.query(a, 0.3) for a in A] for state in states]
    problems, done = [], threading.Event()

    def same(got, want):
        return all(
            np.array_equal(x, y)
            for g, w in zip(got, want, strict=True)
            for x, y in zip(g, w, strict=True)
        )

    def read():
        least, n_answers = 0, 0
        while not done.is_set():
            n_answers += 1
            seen = report if n_answers % 5 else copy.deepcopy(report)
            got = rows_of(*seen.query_batch(A, 0.3))
            found = [i for i in range(least, len(states)) if same(got, expected[i])]
            if not found:
                problems.append("an answer of no state, or of one that was past")
                return
            least = found[0]

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for name, arguments in changes:
        getattr(report, name)(*arguments)
    done.set()
    for reader in readers:
        reader.join(PATIENCE)
    assert not problems
    assert same(rows_of(*report.query_batch(A, 0.3)), expected[-1])
