"""Model files changed at random: each is refused in a sentence, or is a model that predicts.

    python tests/fuzz/mutate_models.py --count 10000 --seed 0

A mutation is a function of (random numbers, bytes of a model file) that returns other bytes: cut,
overwritten, shuffled, or taken apart and put together again with another header, other arrays,
other sizes. `attempt` says what came of one. It is long for its many kinds.
"""

import argparse
import collections
import contextlib
import functools
import io
import json
import random
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from subquad._command.saved import info
from subquad.io import ModelFileError, load_model, save_model

HOSTILE = [
    *(
        None,
        True,
        -1,
        0,
        0.5,
        10**7,
        10**8,
        2**31,
        2**63,
        -(2**64),
        10**400,
        1e300,
        1e-320,
        "",
        "x",
    ),
    *("\x1b[31mred\x07", "\ud800", "nan", "../../x", "__class__", [], {}, [[]], [1, "a"], {"a": 1}),
    *({"float": "nan"}, {"float": "inf"}, {"array": "factors_.0"}, {"array": "unknown"}),
    *({"dtype": "O"}, {"dict": {"a": 1}}, {"tuple": [1, 2]}, {"strings": [1]}, {"import": "os"}),
]
TYPES = ["<f8", "<f4", "<f2", ">f8", "<f16", "<c16", "<i8", "|u1", "|i1", "|b1", "<U3", "|O", "|V8"]
ODD_TYPES = ["<U0", "<U999999999", "f8,f8", "", "<f3", "object", "<M8[s]"]


@functools.cache
def whole_files():
    """Bytes of one small model of each kind."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from subquad import estimators

    X = np.random.default_rng(0).standard_normal((24, 3))
    labels = np.array(["low", "mid", "high"], dtype=object)[np.digitize(X[:, 0], [-0.5, 0.5])]
    small = {"width": 96, "max_steps": 2, "random_state": 0, "shift": 0.0}
    models = [
        (estimators.GaussNewtonRegressor(**small), X[:, 0] * X[:, 1]),
        (estimators.GaussNewtonRegressor(**small, weights="int8", dtype="float32"), X[:, 0]),
        (estimators.GaussNewtonRegressor(**small, weights="implicit", depth=3), X[:, 0]),
        (estimators.GaussNewtonClassifier(**{**small, "width": 192}), labels),
        (estimators.NTKRegressor(depth=1), X[:, :2] * X[:, 1:]),
        (estimators.NTKClassifier(depth=(1, 2)), labels),
        (estimators.NTKClassifier(depth=1), np.c_[X[:, 0] > 0, X[:, 1] > 0].astype(int)),
        (estimators.FactoredRegressor(width=64, outer_size=8, random_state=0), X[:, 0]),
        (
            estimators.HalfSpaceSGDRegressor(width=64, shift=0.0, n_epochs=1, random_state=0),
            X[:, 0],
        ),
        (make_pipeline(StandardScaler(), estimators.NTKRegressor(depth=1)), X[:, 0]),
    ]
    files = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model, y in models:
            save_model(model.fit(X, y), Path(folder, "m"), notes={"columns": ["a", "b", "c"]})
            files.append(Path(folder, "m").read_bytes())
    return files


# Mutations of bytes.


def cut(rng, content):
    """Keep a beginning, or an end."""
    place = rng.randrange(len(content))
    return content[:place] if rng.random() < 0.8 else content[place:]


def overwrite(rng, content):
    """Change a few bytes, rather where sizes and names stand."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        near_end = rng.random() < 0.5
        place = len(content) - 1 - rng.randrange(900) if near_end else rng.randrange(len(content))
        content[place] = rng.choice(
            [0, 255, rng.randrange(256), content[place] ^ 1 << rng.randrange(8)]
        )
    return bytes(content)


def move(rng, content):
    """Take a piece out, and put it in elsewhere or not at all, once or more often."""
    start = rng.randrange(len(content))
    stop = start + rng.choice([1, 4, 30, 1000])
    piece, rest = content[start:stop], content[:start] + content[stop:]
    place = rng.randrange(len(rest))
    return rest[:place] + rng.choice([0, 1, 3]) * piece + rest[place:]


def overwrite_text(rng, content):
    """Change characters of the header, which keeps its length and gets a sound checksum."""
    entries = taken_apart(content)
    text = bytearray(entries["header.json"])
    for _ in range(rng.choice([1, 2, 5])):
        text[rng.randrange(len(text))] = rng.choice(b'{}[]",:0123456789eE-.\\u\x00\x1b\xff')
    return put_together({**entries, "header.json": bytes(text)})


# Mutations of parts, in a sound zip.


def taken_apart(content):
    """Contents of the entries by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def put_together(entries, compression=zipfile.ZIP_STORED):
    """Bytes of a zip of these entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def forge_header(rng, content):
    """Replace, remove or add values anywhere in the header."""
    entries = taken_apart(content)
    header = json.loads(entries["header.json"])
    for _ in range(rng.choice([1, 1, 2, 4])):
        holder, key = rng.choice(places(header))
        what = rng.random()
        if what < 0.2:
            del holder[key]
        elif what < 0.3 and isinstance(holder, dict):
            holder[rng.choice(["x", "__class__", "predict", "\x1b[2J", "array"])] = rng.choice(
                HOSTILE
            )
        elif what < 0.4:
            other, other_key = rng.choice(places(header))
            holder[key] = json.loads(json.dumps(other[other_key]))
        else:
            holder[key] = rng.choice(HOSTILE)
    return put_together({**entries, "header.json": json.dumps(header).encode()})


def places(value):
    """Every (holder, key) inside a value of JSON."""
    found, left = [], [value]
    while left:
        holder = left.pop()
        keys = holder if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            found.append((holder, key))
            if isinstance(holder[key], (dict, list)) and holder[key]:
                left.append(holder[key])
    return found or [({"a": 1}, "a")]


def nest(rng, content):
    """Put a value in so many brackets, or so many values in one."""
    entries = taken_apart(content)
    depth = rng.choice([10, 60, 100, 900, 20_000, 10**6])
    opened, closed = rng.choice([("[", "]"), ('{"dict":', "}"), ('{"tuple":[', "]}")])
    deep = opened * depth + "1" + closed * depth
    wide = "[" + ",".join(["[]"] * depth) + "]"
    text = entries["header.json"].decode()
    key = rng.choice(['"notes": {', '"state": {', '"parameters": {'])
    text = text.replace(key, f'{key}"deep": {rng.choice([deep, wide])}, ', 1)
    return put_together({**entries, "header.json": text.encode()})


def forge_array(rng, content):
    """Put another array in an array's place, in the header too or not."""
    entries = taken_apart(content)
    header = json.loads(entries["header.json"])
    name = rng.choice(list(header["arrays"]))
    described = header["arrays"][name]
    shape = list(described["shape"])
    what = rng.random()
    if what < 0.3:
        described["shape"] = [rng.choice([0, 1, 2, 10**6, 2**40, 2**62]) for _ in shape]
    elif what < 0.4:
        described["dtype"] = rng.choice(TYPES + ODD_TYPES)
    else:
        array = as_array(rng, shape)
        entries[f"{name}.npy"] = array
        if rng.random() < 0.8:
            with io.BytesIO(array) as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            described.update(shape=list(shape), dtype=dtype.str)
    return put_together({**entries, "header.json": json.dumps(header).encode()})


def as_array(rng, shape):
    """Bytes of an array of about this shape and of any type."""
    shape = [max(0, size + rng.choice([0, 0, 0, 1, -1])) for size in shape]
    if rng.random() < 0.2:
        shape = rng.choice([[], [0], [*shape, 1], shape[::-1], [0, 10**6]])
    values = np.random.default_rng(rng.randrange(2**32)).standard_normal(shape)
    if rng.random() < 0.3:
        values = values * rng.choice([np.nan, np.inf, 0.0, 1e300, 1e-300])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = np.asarray(values).astype(rng.choice(TYPES))
    buffer = io.BytesIO()
    np.save(buffer, np.asfortranarray(array) if rng.random() < 0.3 else array, allow_pickle=True)
    return buffer.getvalue()


def forge_preamble(rng, content):
    """Change what stands before the numbers of an array."""
    entries = taken_apart(content)
    name = rng.choice([name for name in entries if name.endswith(".npy")])
    array = bytearray(entries[name])
    for _ in range(rng.choice([1, 2, 10])):
        array[rng.randrange(128)] = rng.choice(b"\x00\x93\xff0129(),<>f'{}T -")
    if rng.random() < 0.2:
        array[10:120] = b"(" * 110
    return put_together({**entries, name: bytes(array)})


def forge_archive(rng, content):
    """Compress, rename, double, leave out or add entries."""
    entries, what = taken_apart(content), rng.randrange(5)
    name = rng.choice(list(entries))
    if what == 0:
        return put_together(entries, rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    if what == 1:
        entries[rng.choice(["x.npy", "../x", "\x1b.npy", "x"])] = entries.pop(name)
    elif what == 2:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            buffer = io.BytesIO(content)
            with zipfile.ZipFile(buffer, "a") as archive:
                archive.writestr(name, b"1")
            return buffer.getvalue()
    elif what == 3:
        del entries[name]
    else:
        entries.update({f"{i}.npy": b"" for i in range(rng.choice([1, 1000]))})
    return put_together(entries)


def blow_up(rng, content):
    """A small zip of a header or an array that is hundreds of megabytes of zeros or brackets."""
    entries = taken_apart(content)
    name = rng.choice(list(entries))
    filled = rng.choice([b"\0", b"[", b" "]) * (64 * 2**20)
    return put_together({**entries, name: filled}, zipfile.ZIP_DEFLATED)


MUTATIONS = [
    *(cut, overwrite, overwrite, move, overwrite_text, forge_header, forge_header, forge_header),
    *(forge_array, forge_array, forge_preamble, forge_archive, nest),
]


def mutated(seed):
    """Bytes of the model file that a seed stands for, and the name of what was done to it."""
    rng = random.Random(seed)
    content = rng.choice(whole_files())
    mutation = blow_up if rng.random() < 0.003 else rng.choice(MUTATIONS)
    return mutation(rng, content), mutation.__name__


def attempt(path):
    """Load and describe a file; return "refused" or "loaded", or say what is wrong with either."""
    outcome = "refused"
    try:
        model = load_model(path)
    except ModelFileError as error:
        sentence = str(error)
        if len(sentence) > 400 or not sentence.isprintable() or not sentence.endswith("."):
            return f"refused in no sentence: {sentence[:1000]!r}"
    else:
        outcome = "loaded"
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            prediction = model.predict(np.zeros((1, model.n_features_in_)))
        if len(prediction) != 1:
            return f"predicts {prediction!r}"
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(ModelFileError):
        info(SimpleNamespace(model=str(path), json=False))
    if not all(line.isprintable() for line in shown.getvalue().splitlines()):
        return "shows what a terminal obeys"
    return outcome


class Peak:
    """Bytes of memory that a block takes at its peak, beside what was held before; Linux alone."""

    def __enter__(self):
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._before = self._field("VmRSS")
        return self

    def __exit__(self, *_):
        self.n_bytes = self._field("VmHWM") - self._before

    def _field(self, name):
        try:
            lines = Path("/proc/self/status").read_text().splitlines()
        except OSError:
            return 0
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def run(count, seed, folder):
    """Attempt so many mutations; return counts by outcome, failures, most seconds, most bytes."""
    counts, failures, slowest, largest = collections.Counter(), [], (0.0, ""), (0, "")
    path = Path(folder, "m")
    for i in range(count):
        content, name = mutated(f"{seed}.{i}")
        path.write_bytes(content)
        del content
        started = time.perf_counter()
        try:
            with Peak() as peak:
                outcome = attempt(path)
        except BaseException:
            outcome = traceback.format_exc()
        slowest = max(slowest, (time.perf_counter() - started, f"{name} {seed}.{i}"))
        largest = max(largest, (peak.n_bytes, f"{name} {seed}.{i}"))
        if outcome not in ("refused", "loaded"):
            failures.append(f"{name} {seed}.{i}: {outcome}")
        counts[outcome if outcome in ("refused", "loaded") else "failed"] += 1
    return counts, failures, slowest, largest


def main():
    """Run from the command line; the exit status is 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts, failures, slowest, largest = run(args.count, args.seed, folder)
    print("\n".join(failures[:20]))
    print(f"{args.count} mutations: {dict(counts)}")
    print(f"slowest {slowest[0]:.3f} s ({slowest[1]})")
    print(f"most memory {largest[0] / 1e6:.1f} MB ({largest[1]})")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
