"""What each experiment says at its smallest size.

The seeds are those of set "a", so that nothing here fails by chance on a machine that rounds as
others do. How often fresh draws would say something else was counted for each of them, by `python
-m experiments.szz24.lemma_d5 --smallest --repeat 12`: none of 12 sets of seeds said anything but
what is expected, for all but three. [SZZ24], Lemma E.4 (10 of 12 differed), [BPSW21], Lemma B.1 (3
of 12) and [QSY23], Theorem 5.6 (1 of 12) were given larger sizes, and the first also a rule by the
root mean square over the seeds; none of 30 sets that had no part in this choice differed. No
difference in 12 sets excludes, at 95 %, that more than 22 % of all draws differ, and in 30 sets
more than 10 %.
"""

HOLDS, CORRECTED = "holds", "holds corrected"
FAILS, UNTESTABLE = "fails at usable sizes", "not testable"

SZZ24 = {
    "theorem_1_1": CORRECTED,
    "theorem_1_2": CORRECTED,
    "section_4_linear_time": HOLDS,
    "section_4_structured": HOLDS,
    "section_4_activations": HOLDS,
    "lemma_c2": FAILS,
    "lemma_c4": HOLDS,
    "lemma_d5": HOLDS,
    "lemma_d9": HOLDS,
    "theorem_d10": CORRECTED,
    "remark_d11": HOLDS,
    "lemma_e2": HOLDS,
    "lemma_e4": CORRECTED,
    "lemma_e5": CORRECTED,
    "remark_e6": FAILS,
    "lemma_e7": HOLDS,
    "corollary_e8": CORRECTED,
    "lemma_f6": HOLDS,
    "remark_f7": CORRECTED,
    "lemma_f8": CORRECTED,
    "lemma_f9": HOLDS,
    "lemma_f10": CORRECTED,
    "lemma_f12": HOLDS,
    "lemma_f13": HOLDS,
    "theorem_f14": HOLDS,
    "fact_f16": CORRECTED,
    "definition_f20": UNTESTABLE,
    "lemma_f28": HOLDS,
}

BPSW21 = {
    "lemma_b1": HOLDS,
    "lemma_b2": HOLDS,
    "lemma_c2": CORRECTED,
    "lemma_c3": HOLDS,
    "lemma_c4": HOLDS,
    "lemma_c5": CORRECTED,
    "table_1": HOLDS,
    "theorem_1_1": HOLDS,
    "theorem_d4": HOLDS,
}

QSY23 = {
    "corollary_6_8": CORRECTED,
    "definition_1_1": HOLDS,
    "lemma_5_3": HOLDS,
    "lemma_6_2": HOLDS,
    "lemma_6_6": HOLDS,
    "theorem_1_5": HOLDS,
    "theorem_5_1": HOLDS,
    "theorem_5_6": HOLDS,
}

AS22 = {
    "equation_20": CORRECTED,
    "lemma_4_1": CORRECTED,
    "lemma_4_2": HOLDS,
    "lemma_5_1": CORRECTED,
    "theorem_4_1": CORRECTED,
    "theorem_5_1": CORRECTED,
}

EXPECTED = {
    f"experiments.{paper}.{name}": verdict
    for paper, verdicts in {"szz24": SZZ24, "bpsw21": BPSW21, "qsy23": QSY23, "as22": AS22}.items()
    for name, verdict in verdicts.items()
}
