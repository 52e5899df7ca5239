"""What each experiment says at its smallest size.

The seeds are those of set "a", so that nothing here fails by chance. A fresh draw would say
something else with a probability below 10 %: each verdict was the same in all of 30 fresh sets of
seeds (`python -m experiments.szz24.lemma_d5 --smallest --repeat 30`), which a probability of
10 % would allow in 4 of 100 cases.
"""

HOLDS, CORRECTED = "holds", "holds corrected"
FAILS, UNTESTABLE = "fails at usable sizes", "not testable"

SZZ24 = {
    "lemma_d5": HOLDS,
}

BPSW21 = {}

QSY23 = {}

AS22 = {}

EXPECTED = {
    f"experiments.{paper}.{name}": verdict
    for paper, verdicts in {"szz24": SZZ24, "bpsw21": BPSW21, "qsy23": QSY23, "as22": AS22}.items()
    for name, verdict in verdicts.items()
}
