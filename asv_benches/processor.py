"""The processor that figures come from: its name, and that name as part of a file's."""

import os
import platform
import re
import subprocess
from pathlib import Path


def name():
    """Return the processor's own name, such as AMD EPYC 9754, without what each maker adds."""
    found = from_proc() or from_sysctl() or platform.processor() or platform.machine()
    found = re.sub(r"\((R|TM|r|tm)\)|\bCPU\b|\bProcessor\b|\d+-Core|@.*", " ", found)
    return " ".join(found.split()) or "unknown"


def from_proc(path="/proc/cpuinfo"):
    """Return the name that Linux gives, with the model's numbers where it names only a brand."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    pairs = [map(str.strip, line.partition(":")[::2]) for line in lines if ":" in line]
    facts = dict(reversed([tuple(pair) for pair in pairs]))  # those of the first processor
    found = facts.get("model name", "")
    # A virtual machine may say no more than "AMD EPYC".
    if found and not re.search(r"\d", found) and "cpu family" in facts:
        found += f" family {facts['cpu family']} model {facts['model']}"
    return found


def from_sysctl():
    """Return the name that macOS gives."""
    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def file_name(of):
    """Return a processor's name in small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", of.lower()).strip("-")


def count():
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
