"""Every claim of the four papers, an experiment anyone can run.

One module a claim, in a folder a paper. Each holds three names:

    CLAIM                   what the paper says, where, and by which rule a verdict is reached
    SIZES                   parameters by the name of a size: "smallest", "default", "full"
    measure(size, seeds)    the experiment, which returns a `Finding`

From the root of a clone:

    python -m experiments                              list the experiments
    python -m experiments.szz24.lemma_d5               run one (--full, --seeds b, --json)
    python -m experiments --all --table docs/claims.md run all, write the page

A verdict is never written down: it follows from the numbers by the rule in `Finding.judge`. The
default size of an experiment takes less than a minute on one core; the smallest, which the tests
run, about half a second. "full" is the size nearest to the paper's that a patient person runs.
"""
