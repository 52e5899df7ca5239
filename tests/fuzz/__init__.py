"""Hostile calls of every public callable of the package, seeded, in processes of their own.

    python -m tests.fuzz --minutes 5 --seed 1          from the root of the repository
    python -m tests.fuzz --replay 1:4711               one case again, here, with its traceback

A case draws arguments that may be wrong in kind, shape, layout or value, and calls the package.
Every call must end in a value that equals the plain numpy definition up to the rounding of its
sums, or in a sentence of the package's own that names the argument; it may change no input.

    draws, sparse_draws    hostile arguments: numbers, arrays, sparse matrices
    attempts               one call, and what may come of it
    targets                what is called, and its definition: a file for each room
    cases                  which target a case number stands for
    public                 the public names, and those that are excused, with the reason
    worker, runner         a process that runs cases, and the one that watches it
"""
