"""Build flags and probes; everything else is declared in pyproject.toml.

Environment variables
    SUBQUAD_DEBUG=1      bounds and None checks in every kernel, C assertions on
    SUBQUAD_OPENMP=0     build without OpenMP (one thread), without asking the compiler
    SUBQUAD_OPENMP=system  use the threads of the compiler's OpenMP library, not the package's own
"""

import os
import pathlib
import re
import subprocess
import sys
import sysconfig
import tempfile

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = pathlib.Path("subquad/_kernels")
# Cython generates this module for all kernels: its memory views, once in place of fifteen times.
UTILITIES = "subquad._kernels._memory_views"
DEBUG = os.environ.get("SUBQUAD_DEBUG", "0") not in ("", "0")
# No -march and no -ffast-math: a wheel runs on every machine of its architecture, and the faster
# instruction sets are compiled beside the baseline and chosen at import (simd/multiversion.h).
# ISO C forbids to contract a * b + c where the compiler could; without that there is no FMA.
COMPILE_FLAGS = [
    "-O1" if DEBUG else "-O3",
    "-std=c11",
    "-ffp-contract=fast",
    "-fvisibility=hidden",
    "-Wno-psabi",
]
# Strip the symbols, three quarters of a wheel, but for debugging. Apple's linker has no such flag.
LINK_FLAGS = [] if DEBUG or sys.platform == "darwin" else ["-s"]
# Kernels that promise to round each product and each sum, on every instruction set.
FURTHER_FLAGS = {"half_space": ["-ffp-contract=off"]}

# Flags with which GCC's OpenMP code runs on the package's own threads, and what each kernel then
# links in place of libgomp.
OWN_TEAMS = ["-fopenmp", "-DSQ_OWN_TEAMS"]
TEAMS = KERNELS / "teams"

OPENMP_PROBE = """
#include <omp.h>
int main(void) {
    int count = 0;
    #pragma omp parallel reduction(+:count)
    count += 1;
    return count == omp_get_max_threads() ? 0 : 1;
}
"""


def runs(source, compile_flags, link_flags):
    """Return whether the C program in this file compiles, links and ends well."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    with tempfile.TemporaryDirectory() as folder:
        program = str(pathlib.Path(folder, "probe"))
        command = [*compiler.split(), *compile_flags, str(source), "-o", program, *link_flags]
        try:
            subprocess.run(command, check=True, capture_output=True)
            subprocess.run([program], check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return False
    return True


def openmp_flags():
    """Return (compile, link) flags under which a small OpenMP program builds and runs, or None."""
    candidates = [(["-fopenmp"], ["-fopenmp"])]
    if sys.platform == "darwin":
        candidates.insert(0, (["-Xpreprocessor", "-fopenmp"], ["-lomp"]))
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "probe.c")
        source.write_text(OPENMP_PROBE)
        return next((flags for flags in candidates if runs(source, *flags)), None)


def threads_flags():
    """Return (compile, link) flags for parallel regions, and whether their threads are our own.

    Whoever builds is told where there are none.
    """
    asked = os.environ.get("SUBQUAD_OPENMP", "1")
    if asked == "0":
        return [], [], False
    if asked != "system" and runs(TEAMS / "probe.c", ["-O3", *OWN_TEAMS], ["-pthread"]):
        return OWN_TEAMS, ["-pthread"], True
    flags = openmp_flags()
    if flags is None:
        print(
            "subquad: this C compiler cannot build a program with OpenMP, so the kernels will run "
            "on one thread. Results are the same. On macOS, `brew install libomp` supplies it.",
            file=sys.stderr,
        )
        return [], [], False
    return *flags, False


class BuildKernels(build_ext):
    """Compile on all processors; ask for OpenMP only when something is really compiled."""

    def finalize_options(self):
        """Build as many extensions at once as there are processors, unless told otherwise."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        """Compile, with the threads that the probes found."""
        if self.compiler.compiler_type == "msvc":
            sys.exit(
                "subquad: the kernels do not compile with Microsoft's compiler yet. On Windows, "
                "build and run subquad under WSL, with GCC or Clang."
            )
        compile_flags, link_flags, are_own = threads_flags()
        entries = self.team_entries(compile_flags) if are_own else []
        for extension in self.extensions:
            extension.extra_compile_args += compile_flags
            extension.extra_link_args += link_flags
            extension.extra_objects += entries
        super().build_extensions()

    def team_entries(self, compile_flags):
        """Return the object file that every kernel links in place of libgomp, compiled once."""
        return self.compiler.compile(
            [str(TEAMS / "gomp.c")],
            output_dir=self.build_temp,
            extra_postargs=[*COMPILE_FLAGS, *compile_flags],
            depends=[flags_stamp(), str(TEAMS / "teams.h")],
        )


def flags_stamp():
    """Return a file that changes when the flags do: nothing else would rebuild the kernels."""
    stamp = pathlib.Path("build/flags.txt")
    asked = [os.environ.get(name) for name in ("CFLAGS", "SUBQUAD_OPENMP")]
    flags = f"{COMPILE_FLAGS} {LINK_FLAGS} {FURTHER_FLAGS} {asked} debug={DEBUG}\n"
    if not stamp.exists() or stamp.read_text() != flags:
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(flags)
    return str(stamp)


def headers_of(path, found):
    """Add to `found` the package's own headers that a source names, and those that they name."""
    for name in re.findall(r'[<"]([\w./]+\.h)[>"]', path.read_text()):
        for header in (KERNELS / name, KERNELS / "simd" / name, TEAMS / name):
            if header.exists() and header not in found:
                found.add(header)
                headers_of(header, found)
    return found


def kernel(path):
    """Return the extension of one .pyx, with the C file of its name in simd/ if there is one."""
    sources = [path]
    body = KERNELS / "simd" / f"{path.stem}.c"
    if body.exists():
        sources.append(body)
    if path.stem == "_teams":
        sources.append(TEAMS / "pool.c")
    headers = set().union(*(headers_of(source, set()) for source in sources))
    return Extension(
        f"subquad._kernels.{path.stem}",
        [str(source) for source in sources],
        include_dirs=[str(KERNELS), str(KERNELS / "simd")],
        depends=[flags_stamp(), *map(str, sorted(headers))],
        extra_compile_args=[
            *COMPILE_FLAGS,
            *FURTHER_FLAGS.get(path.stem, []),
            *([] if DEBUG else ["-DNDEBUG"]),
        ],
        extra_link_args=list(LINK_FLAGS),
    )


def shared_utilities():
    """Return the extension that holds what Cython would compile into every kernel."""
    return Extension(
        UTILITIES,
        [UTILITIES.replace(".", "/") + ".c"],
        depends=[flags_stamp()],
        extra_compile_args=[*COMPILE_FLAGS, *([] if DEBUG else ["-DNDEBUG"])],
        extra_link_args=list(LINK_FLAGS),
    )


def kernels():
    """Return the extensions of all kernels; there is no package without them."""
    paths = sorted(KERNELS.glob("*.pyx"))
    if not paths:
        sys.exit(
            f"subquad: no kernels (*.pyx) in {KERNELS.resolve()}. Build from the folder that holds "
            "setup.py, in a complete clone or source distribution."
        )
    return [*map(kernel, paths), shared_utilities()]


directives = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    "cdivision": not DEBUG,
}

if __name__ == "__main__":
    setup(
        ext_modules=cythonize(
            kernels(),
            build_dir="build/cython-debug" if DEBUG else "build/cython",
            compiler_directives=directives,
            shared_utility_qualified_name=UTILITIES,
        ),
        cmdclass={"build_ext": BuildKernels},
    )
