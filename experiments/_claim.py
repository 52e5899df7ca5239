"""What a claim is, what a number found is, and how the numbers make a verdict."""

import dataclasses
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Literal

import numpy as np
from scipy.stats import t as student


class Verdict(StrEnum):
    """What an experiment may say of a claim."""

    HOLDS = "holds"
    CORRECTED = "holds corrected"
    FAILS = "fails at usable sizes"
    UNTESTABLE = "not testable"


@dataclasses.dataclass(frozen=True)
class Claim:
    """One statement of a paper.

    Attributes
    ----------
    paper, place : str
        The key of the bibliography, and the theorem, lemma or line.
    statement : str
        What is claimed, in this package's notation.
    measured : str
        What the experiment measures, and on which inputs.
    rule : str
        Which numbers decide, in words: "holds" if ..., "holds corrected" if ....
    """

    paper: str
    place: str
    statement: str
    measured: str
    rule: str


@dataclasses.dataclass(frozen=True)
class Number:
    """One quantity, once for each seed, and the bounds that the claim sets.

    Attributes
    ----------
    name : str
        A noun phrase with the sizes it was measured at.
    values : tuple of float
        One value a seed.
    at_least, at_most : float
        The bounds; a number without bounds informs, and decides nothing.
    of : {"each", "mean"}
        Whether each seed must keep the bounds (claims "with high probability"), or the 95 %
        confidence interval of the mean (rates and expectations).
    form : {"printed", "corrected", "both"}
        Whether the bounds are those of the paper, of the corrected statement, or of both.
    """

    name: str
    values: tuple[float, ...]
    at_least: float = -np.inf
    at_most: float = np.inf
    of: Literal["each", "mean"] = "each"
    form: Literal["printed", "corrected", "both"] = "printed"

    def __post_init__(self) -> None:
        """Take any sequence of numbers, numpy's too."""
        object.__setattr__(self, "values", tuple(float(value) for value in self.values))

    @property
    def bounded(self) -> bool:
        """Whether the number decides anything."""
        return bool(np.isfinite(self.at_least) or np.isfinite(self.at_most))

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.values))

    @property
    def interval(self) -> tuple[float, float]:
        """Student's 95 % confidence interval of the mean."""
        n = len(self.values)
        if n < 2:
            return -np.inf, np.inf
        half = student.ppf(0.975, n - 1) * np.std(self.values, ddof=1) / np.sqrt(n)
        return self.mean - half, self.mean + half

    @property
    def kept(self) -> bool:
        """Whether the bounds are kept; a value that is not finite keeps none."""
        if not self.bounded:
            return True
        low, high = (
            self.interval if self.of == "mean" else (np.min(self.values), np.max(self.values))
        )
        return bool(self.at_least <= low and high <= self.at_most)

    @property
    def bounds(self) -> str:
        """The bounds in words: "at most 0.333 for each seed"."""
        if not self.bounded:
            return ""
        least = f"at least {self.at_least:.3g}" if np.isfinite(self.at_least) else ""
        most = f"at most {self.at_most:.3g}" if np.isfinite(self.at_most) else ""
        scope = "on average" if self.of == "mean" else "for each seed"
        text = " and ".join(part for part in (least, most) if part)
        return text if len(self.values) == 1 else f"{text} {scope}"


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one run of an experiment says.

    Attributes
    ----------
    numbers : tuple of Number
        All that was measured, the most telling first.
    verdict : Verdict
        What follows from the bounds.
    why : str
        One sentence.
    """

    numbers: tuple[Number, ...]
    verdict: Verdict
    why: str

    @classmethod
    def judge(
        cls,
        numbers: Sequence[Number],
        why: Mapping[Verdict, str],
        *,
        untestable: str = "",
    ) -> "Finding":
        """Return the finding that the numbers make.

        "holds" if all bounds of the printed form are kept; else "holds corrected" if there are
        bounds of a corrected form and all are kept; else "fails at usable sizes". "not testable"
        if nothing is bounded, or if the experiment says, by a test of its own, that these sizes
        cannot decide.

        Parameters
        ----------
        numbers : sequence of Number
            The measurements.
        why : mapping of Verdict to str
            The sentence for each verdict that one can explain beforehand.
        untestable : str
            Why the sizes cannot decide; empty where they can.
        """
        bounded = [number for number in numbers if number.bounded]
        printed = [number for number in bounded if number.form != "corrected"]
        corrected = [number for number in bounded if number.form != "printed"]
        mended = any(number.form == "corrected" for number in corrected)
        if untestable or not bounded:
            return cls(tuple(numbers), Verdict.UNTESTABLE, untestable or why[Verdict.UNTESTABLE])
        if printed and all(number.kept for number in printed):
            verdict = Verdict.HOLDS
        elif mended and all(number.kept for number in corrected):
            verdict = Verdict.CORRECTED
        else:
            verdict = Verdict.FAILS
        return cls(tuple(numbers), verdict, why.get(verdict) or _reason(verdict, numbers))

    def to_dict(self) -> dict:
        """Return what `from_dict` takes back, in types that JSON knows."""
        return {
            "verdict": str(self.verdict),
            "why": self.why,
            "numbers": [dataclasses.asdict(number) for number in self.numbers],
        }

    @classmethod
    def from_dict(cls, record: Mapping) -> "Finding":
        """Return the finding that `to_dict` wrote."""
        numbers = tuple(Number(**number) for number in record["numbers"])
        return cls(numbers, Verdict(record["verdict"]), record["why"])


def _reason(verdict: Verdict, numbers: Sequence[Number]) -> str:
    """The first number that misses its bounds, or that all keep them."""
    if verdict is Verdict.HOLDS:
        return "Every number keeps its bounds."
    missed = next(
        (number for number in numbers if not number.kept),
        None,
    )
    return f"The {missed.name} is not {missed.bounds}." if missed else "No printed bound is given."
