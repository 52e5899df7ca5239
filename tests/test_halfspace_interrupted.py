"""A half-space report is in its old state or its new one, and open, wherever an exception came."""

import contextvars
import copy
import gc
import queue
import sys
import threading

import numpy as np
import pytest
from reference_halfspace import Model, rows_of

from subquad import HalfSpaceReport
from subquad._kernels.half_space_turns import Turns
from subquad.halfspace import _store

pytestmark = pytest.mark.machine

ENGINES = ["tree", "scan"]
PATIENCE = 60  # seconds, after which a report counts as locked for good


class Interrupt(BaseException):
    """What Ctrl-C raises, in a kind of its own."""


class Watcher:
    """Notes the instructions that Python executes in a call."""

    def __init__(self):
        self.seen = []

    def run(self, call):
        """Return whether the call went through; every frame that it enters is watched."""
        before, collecting = sys.gettrace(), gc.isenabled()
        # An exception on the way out of `np.errstate` leaves its settings to the context it is in.
        context = contextvars.copy_context()
        gc.disable()  # what other packages do when garbage is collected is no part of the call
        sys._getframe().f_trace_opcodes = True  # or CPython 3.12 traces none of later frames
        sys.settrace(self._enter)
        try:
            context.run(call)
        except Interrupt:
            return False
        finally:
            sys.settrace(before)
            if collecting:
                gc.enable()
        return True

    def _enter(self, frame, event, arg):
        if frame.f_code is not Watcher.run.__code__:
            frame.f_trace_opcodes = True
            return self._step

    def _step(self, frame, event, arg):
        if event == "opcode":
            self.seen.append((frame.f_code, frame.f_lasti))
        return self._step


class Interrupter(Watcher):
    """Counts the instructions that Python executes in a call, and raises before one of them."""

    def __init__(self, moment):
        self.left = moment

    def _step(self, frame, event, arg):
        if event == "opcode":
            self.left -= 1
            if self.left == -1:  # the handlers of this exception run on undisturbed
                raise Interrupt
        return self._step


def moments_of(call):
    """The first and the last time that each instruction of a call is executed."""
    watcher = Watcher()
    assert watcher.run(call)
    first, last = {}, {}
    for moment, instruction in enumerate(watcher.seen):
        first.setdefault(instruction, moment)
        last[instruction] = moment
    return sorted({*first.values(), *last.values()})


class Elsewhere:
    """Another thread, which answers what this one asks it."""

    def __init__(self):
        self.calls, self.results = queue.SimpleQueue(), queue.SimpleQueue()
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self):
        while (call := self.calls.get()) is not None:
            try:
                self.results.put((call(), None))
            except BaseException as error:
                self.results.put((None, error))

    def in_time(self, call):
        """The result of a call in that thread, which must end."""
        self.calls.put(call)
        try:
            result, error = self.results.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError("the report is locked") from None
        if error is not None:
            raise error
        return result


@pytest.fixture(autouse=True)
def codes_in_every_dimension(monkeypatch):
    """Scans of few dimensions keep codes here, so that most has to change together."""
    monkeypatch.setattr(_store, "_CODED_FROM", 1)


@pytest.fixture
def elsewhere():
    thread = Elsewhere()
    yield thread
    thread.calls.put(None)


OFFSETS = [-np.inf, 0.3, 1.0]


def answers(report, A):
    return rows_of(*report.query_batch(A, OFFSETS, n_threads=1))


def answers_of(model, A):
    return [model.query(a, b) for a, b in zip(A, OFFSETS, strict=True)]


def same(got, want):
    """Whether two lists of answers, each some arrays, agree in every bit."""
    return all(
        np.array_equal(x, y)
        for g, w in zip(got, want, strict=True)
        for x, y in zip(g, w, strict=True)
    )


def agrees(report, model, A):
    """Whether a report answers as a model does."""
    return len(report) == len(model) and same(answers(report, A), answers_of(model, A))


class State:
    """What a report in the state of a model answers, and what further use of it must give."""

    def __init__(self, model, A, rng):
        self.A = A
        self.n_points, self.answers = len(model), answers_of(model, A)
        after = copy.deepcopy(model)
        self.points, self.there = rng.standard_normal((100, 3)).round(1), model.there()[::3]
        self.inserted = after.insert(self.points)
        self.moved = rng.standard_normal((self.there.size, 3)).round(1)
        after.update(self.there, self.moved)
        after.delete(self.there[::2])
        self.n_points_after, self.answers_after = len(after), answers_of(after, A)

    def is_state_of(self, n_points, got):
        return n_points == self.n_points and same(got, self.answers)

    def go_on(self, report):
        """Use the report further: what was interrupted has left nothing behind."""
        assert np.array_equal(report.insert(self.points), self.inserted)
        report.update(self.there, self.moved)
        report.delete(self.there[::2])
        assert len(report) == self.n_points_after
        assert same(answers(report, self.A), self.answers_after)


def state_of(report, states, A, elsewhere):
    """The state that the report is in, seen by another thread."""
    seen = elsewhere.in_time(lambda: (len(report), answers(report, A)))
    for state in states:
        if state.is_state_of(*seen):
            return state
    raise AssertionError("the report is in neither state")


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
    rng, elsewhere, engine, before, operation
):
    A = rng.standard_normal((3, 3)).round(1)
    untouched, old = started(rng, engine)
    for either in (untouched, old):
        before(either)
    new = copy.deepcopy(old)
    operation(new)
    old, new = State(old, A, rng), State(new, A, rng)
    trial, states = copy.deepcopy(untouched), []
    moments = moments_of(lambda: operation(trial))
    for moment in moments:
        report = copy.deepcopy(untouched)
        if Interrupter(moment).run(lambda report=report: operation(report)):
            continue  # asking the machine for its memory took fewer instructions than before
        states.append(state_of(report, (old, new), A, elsewhere))
        states[-1].go_on(report)
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
        State(state, A, rng).go_on(report)


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


def test_readers_are_inside_together_and_an_exception_lets_go(elsewhere):
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
    assert elsewhere.in_time(lambda: turns.alone(int)) == 0


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
