"""Writers killed at random moments: a file is then that of one whole save, and little is left over.

    python tests/fuzz/kill_saves.py --count 500 --seed 0

Each round forks one writer, or two, that replace one model file by this model and that, again and
again, and kills them with SIGKILL. The file must load as one of the two. Beside it there may be one
hidden file for each writer killed; the next save to the same path removes them.
"""

import argparse
import collections
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from subquad.io import load_model, save_model

WIDTH = 256
X = np.random.default_rng(0).standard_normal((40, 3))


def two_models():
    """Two models that predict differently, in files of different sizes."""
    from subquad.estimators import GaussNewtonRegressor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            GaussNewtonRegressor(width=width, max_steps=2, random_state=0).fit(X, X[:, 0])
            for width in (WIDTH, 2 * WIDTH)
        ]


def start_writer(models, path):
    """Fork a process that saves the models in turn until it is killed; return its id."""
    process = os.fork()
    if process:
        return process
    try:
        while True:
            for model in models:
                save_model(model, path)
    finally:
        os._exit(1)


def run(count, seed, folder):
    """Kill so many writers; return what was found, by name, and the most files left over."""
    rng, models = random.Random(seed), two_models()
    path = Path(folder, "model.subquad")
    expected = [model.predict(X) for model in models]
    found, most_left = collections.Counter(), 0
    save_model(models[0], path)
    for _ in range(count):
        writers = [start_writer(models, path) for _ in range(rng.choice([1, 1, 1, 2]))]
        time.sleep(rng.uniform(0.0, 0.03))
        for writer in writers:
            os.kill(writer, signal.SIGKILL)
            _, status = os.waitpid(writer, 0)
            if not os.WIFSIGNALED(status):
                found["a writer that failed"] += 1
        prediction = load_model(path).predict(X)
        which = [i for i, other in enumerate(expected) if np.array_equal(prediction, other)]
        found[f"model {which[0]}" if which else "another model"] += 1
        left = len(os.listdir(folder)) - 1
        found["left over"] += left
        most_left = max(most_left, left)
    save_model(models[0], path)
    found["left over in the end"] = len(os.listdir(folder)) - 1
    return found, most_left


def main():
    """Run from the command line; the exit status is 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found, most_left = run(args.count, args.seed, folder)
    print(f"{args.count} kills: {dict(found)}, at most {most_left} left over at once")
    failed = found["another model"] + found["a writer that failed"] + found["left over in the end"]
    return 1 if failed or most_left > 2 else 0


if __name__ == "__main__":
    sys.exit(main())
