"""Fits that go on where others stopped, from states and files that may not be what they claim."""

import copy
import os
import tempfile

import numpy as np

from subquad import io
from subquad.networks import WideNetwork
from subquad.training import LastLayerGaussNewton

from ..cases import target

_TRAINER = "training.LastLayerGaussNewton"
_X = np.random.default_rng(0).standard_normal((6, 3))
_Y = _X[:, 0] * _X[:, 1]


def _trainer(draw, **options):
    network = WideNetwork(3, width=128, rng=draw.choice((0, 0, 0, 1)), dtype=draw.dtype())
    draw.hostile = True  # it may be another fit
    options |= {"max_steps": 2, "regularization": draw.choice((0.0, 1e-2))}
    return LastLayerGaussNewton(network.last_layer(_X), _Y, **options)


def _damaged(draw, state):
    """The state with one of its values lost or replaced, here or in one of its dicts."""
    state = copy.deepcopy(state)
    place = state
    while True:
        key = draw.choice(sorted(place))
        inner = place[key]
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            inner = inner[0]
        if not isinstance(inner, dict) or not inner or draw.chance(0.3):
            break
        place = inner
    if draw.chance(0.3):
        del place[key]
    else:
        wrong = (None, 3, -1, "x", [], {}, np.nan, [None], [[]], np.ones(2), 10**30, True, [3])
        place[key] = draw.choice(wrong)
    return state


@target(f"{_TRAINER}.state_dict", f"{_TRAINER}.load_state_dict", share=6)
def states(draw, attempt):
    first = _trainer(draw)
    for _ in range(draw.between(0, 2)):
        first.step()
    state = attempt(first.state_dict)
    second = _trainer(draw)
    given = state
    if draw.chance(0.7):
        given = _damaged(draw, state)
        if draw.chance(0.1):
            given = draw.option((None, 3, [], {}, "state"))
    attempt(second.load_state_dict, given)
    if given is state:
        attempt.equal(second.outputs, first.outputs)
    else:
        attempt.holds(np.isfinite(second.outputs).all(), "outputs must be finite")


@target(
    "io.Checkpoint",
    *(f"io.Checkpoint.{name}" for name in ("begin", "save", "remove", "__call__")),
    "io.is_checkpoint",
    share=2,
)
def checkpoints(draw, attempt):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "fit")
        if draw.chance(0.5):
            _read(draw, attempt, path)
        else:
            _written(draw, attempt, path)


def _written(draw, attempt, path):
    draw.hostile = True
    given = path
    if draw.goes_wrong():
        given = draw.choice(
            (3.5, None, "", ".", "/", "/no/such/folder/x", "a\0b", (), [], b"/\xff")
        )
    about = draw.option((None, {"a": 1}))
    callback = draw.choice((None, [].append)) if not draw.goes_wrong() else draw.choice((3, "x"))
    kept = attempt(io.Checkpoint, given, about=about, callback=callback)
    trainer = _trainer(draw)
    attempt(kept.begin, draw.option((trainer,)))
    attempt(kept, trainer.step())
    if not attempt(kept.save):
        return
    attempt.equal(attempt(io.is_checkpoint, given), True)
    again = _trainer(draw)
    attempt(attempt(io.Checkpoint, given, about=about, resume=True).begin, again)
    attempt.equal(again.outputs, trainer.outputs)
    attempt(kept.remove)
    attempt.equal(os.path.exists(path), False)


def _read(draw, attempt, path):
    """Resume from a file with some bytes changed or cut off."""
    trainer = _trainer(draw)
    kept = io.Checkpoint(path)
    kept.begin(trainer)
    trainer.step()
    kept.save()
    with open(path, "rb") as file:
        content = bytearray(file.read())
    for _ in range(draw.between(0, 3)):
        content[draw.between(0, len(content) - 1)] ^= 1 << draw.between(0, 7)
    with open(path, "wb") as file:
        file.write(content)
    attempt(io.is_checkpoint, path)
    again = _trainer(draw)
    attempt(attempt(io.Checkpoint, path, resume=True).begin, again)
    attempt.equal(again.outputs, trainer.outputs)
