"""n_threads means what it means in scikit-learn, inside what the machine really grants."""

from concurrent.futures import Future

import pytest

from subquad import _machine, _parallel
from subquad._parallel import resolve_threads


@pytest.fixture
def processors(monkeypatch):
    """Pretend that this process may use 6 processors and that OMP_NUM_THREADS is not set."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(_parallel, "available_processors", lambda: 6)


@pytest.fixture
def cgroups(monkeypatch, tmp_path):
    """Return a function that replaces this process's control groups by the files given to it."""

    def replace(membership, files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        real_read = _machine._read
        monkeypatch.setattr(
            _machine, "_read", lambda p: membership if p == "/proc/self/cgroup" else real_read(p)
        )
        monkeypatch.setattr(_machine, "_CGROUP_ROOT", tmp_path)
        _machine._least_quota.cache_clear()

    yield replace
    _machine._least_quota.cache_clear()


@pytest.mark.usefixtures("processors")
@pytest.mark.parametrize(
    ("asked", "threads"), [(None, 6), (1, 1), (7, 7), (-1, 6), (-2, 5), (-6, 1), (-100, 1)]
)
def test_n_threads_counts_up_from_one_or_back_from_all(asked, threads):
    assert resolve_threads(asked) == threads


@pytest.mark.usefixtures("processors")
@pytest.mark.parametrize(
    ("variable", "threads"), [("3", 3), (" 4,2 ", 4), ("9", 9), ("", 6), ("0", 6), ("many", 6)]
)
def test_a_usable_omp_num_threads_decides_what_all_means(monkeypatch, variable, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert resolve_threads(None) == resolve_threads(-1) == threads
    assert resolve_threads(2) == 2


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (0, ValueError, r"n_threads must be positive, negative or None; got 0\."),
        (2000, ValueError, r"n_threads must be at most 1024; got 2000\."),
        (2.0, TypeError, r"n_threads must be an integer; got 2\.0 \(float\)\."),
        (True, TypeError, r"n_threads must be an integer; got True \(bool\)\."),
        ("4", TypeError, r"n_threads must be an integer; got '4' \(str\)\."),
    ],
)
def test_other_numbers_of_threads_are_refused(bad, error, message):
    with pytest.raises(error, match=message):
        resolve_threads(bad)


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        ("0::/job/step", {"job/cpu.max": "150000 100000", "job/step/cpu.max": "max 100000"}),
        (
            "4:cpu,cpuacct:/job\n0::/",
            {
                "cpu,cpuacct/job/cpu.cfs_quota_us": "150000",
                "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_a_quota_of_one_and_a_half_processors_allows_two(monkeypatch, cgroups, membership, files):
    monkeypatch.setattr(_machine.os, "sched_getaffinity", lambda _: range(16), raising=False)
    cgroups(membership, files)
    assert _machine.available_processors() == 2


def test_a_quota_is_read_once_in_a_second_and_the_affinity_always(monkeypatch, cgroups):
    now, read = [100.0], []
    cgroups("0::/job", {"job/cpu.max": "300000 100000"})
    real_read = _machine._read
    monkeypatch.setattr(_machine, "_read", lambda p: read.append(p) or real_read(p))
    monkeypatch.setattr(_machine.time, "monotonic", lambda: now[0])
    for allowed, expected in ((16, 3), (2, 2), (16, 3)):
        affinity = range(allowed)
        monkeypatch.setattr(
            _machine.os, "sched_getaffinity", lambda _, a=affinity: a, raising=False
        )
        assert _machine.available_processors() == expected
    n_reads = len(read)
    cgroups("0::/job", {"job/cpu.max": "100000 100000"})
    _machine.available_processors()
    now[0] += 1.0
    assert _machine.available_processors() == 1
    assert 0 < n_reads < len(read)


@pytest.mark.parametrize(
    ("membership", "files"),
    [
        (
            "0::/job/step",
            {
                "job/memory.max": "5000000",
                "job/memory.current": "4000000",
                "job/memory.stat": "anon 3500000\ninactive_file 500000\n",
                "job/step/memory.max": "max",
                "job/step/memory.current": "1000000",
            },
        ),
        (
            "9:memory:/job",
            {
                "memory/job/memory.limit_in_bytes": "5000000",
                "memory/job/memory.usage_in_bytes": "3500000",
            },
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_available_memory_is_what_the_tightest_control_group_leaves(cgroups, membership, files):
    cgroups(membership, files)
    assert _machine.available_memory() == 1_500_000


def test_available_memory_is_unknown_where_nothing_can_be_read(monkeypatch):
    monkeypatch.setattr(_machine, "_read", lambda _: "")
    monkeypatch.delattr(_machine.os, "sysconf", raising=False)
    assert _machine.available_memory() is None


# ---- the calling thread works as others do
def test_items_are_taken_in_any_thread_and_come_back_in_order():
    items = list(range(50))
    for n_threads in (1, 2, 7, 100):
        assert _parallel.map_in_threads(lambda x: x * x, items, n_threads) == [x * x for x in items]


def test_a_thread_that_does_not_come_is_not_waited_for(monkeypatch):
    class Late:
        """A pool whose threads never begin."""

        def submit(self, work):
            return Future()

    monkeypatch.setattr(_parallel, "_helpers", Late())
    assert _parallel.map_in_threads(str, range(5), 3) == list("01234")


def test_maps_inside_of_maps_end():
    def inner(i):
        return sum(_parallel.map_in_threads(lambda j: i * j, range(10), 4))

    assert _parallel.map_in_threads(inner, range(20), 4) == [45 * i for i in range(20)]


@pytest.mark.parametrize("bad", [0, 3, 9])
def test_the_exception_of_an_item_is_raised_and_others_are_left(bad):
    def work(i):
        if i == bad:
            raise ArithmeticError(str(i))
        return i

    with pytest.raises(ArithmeticError, match=str(bad)):
        _parallel.map_in_threads(work, range(10), 3)
