"""What this process may use: memory and processors, inside the limits of a container."""

import functools
import math
import os
import time
from pathlib import Path

from subquad._kernels import _simd

_CGROUP_ROOT = Path("/sys/fs/cgroup")
# Read the quota of processors so often: the files take longer than a product of small matrices.
_QUOTA_SECONDS = 1.0


def available_memory():
    """Return the bytes this process can still allocate without swapping, or None if unknown.

    The smallest of the kernel's own estimate and the room left in every enclosing control group.
    """
    known = [room for room in (_free_memory(), *_group_rooms()) if room is not None]
    return min(known, default=None)


def available_processors():
    """Return how many processors this process may use: affinity mask and control-group quota.

    A quota that is changed is noticed within a second. Where OMP_PROC_BIND or OMP_PLACES is set,
    OpenMP counts: it binds the thread that loads it to one of its processors, and the mask of that
    thread tells of no other.
    """
    if bound := _simd.bound_processors():
        count = bound
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min(count, _least_quota(int(time.monotonic() / _QUOTA_SECONDS))))


@functools.lru_cache(maxsize=1)
def _least_quota(_now):
    """Return the least of the control groups' quotas, or infinity; read anew when `_now` moves."""
    return min(_group_quotas(), default=math.inf)


def _free_memory():
    """Return the bytes free or reclaimable on the whole machine."""
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _group_rooms():
    """Yield the bytes left in each control group that limits this process; page cache is free."""
    for folder in _group_folders("memory"):
        for limit, usage in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            allowed, used = _read(folder / limit).strip(), _read(folder / usage).strip()
            if allowed.isdigit() and used.isdigit():
                yield max(0, int(allowed) - int(used) + _page_cache(folder))


def _page_cache(folder):
    """Return the bytes of file cache that the control group gives up before it runs out."""
    for line in _read(folder / "memory.stat").splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0


def _group_quotas():
    """Yield the whole processors that each control group grants, rounded up."""
    for folder in _group_folders("cpu"):
        quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
        if not period:
            quota = _read(folder / "cpu.cfs_quota_us").strip()
            period = _read(folder / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit():
            yield math.ceil(int(quota) / int(period))


def _group_folders(controller):
    """Yield the folders of this process's control group and its ancestors, in versions 1 and 2."""
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _CGROUP_ROOT / controllers if controllers else _CGROUP_ROOT
        inside = Path(path.lstrip("/"))
        yield from (root / part for part in (inside, *inside.parents))


def _read(path):
    """Return the text of a small file; none where there is nothing to read."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
