"""The command ``subquad``: one function for each subcommand, and what they share.

::

    parser        every option and its default
    fit           subquad fit:  data -> task -> split -> estimator -> scores -> saved model
    saved         subquad predict and subquad info, what is done with a saved model
    forecast      subquad plan, and the memory forecast of a fit

    tables        a file, or the name of a data set, as a matrix and a target
      columns     CSV, TSV, Parquet: named columns         arrays      NPZ
      delimited   the text of CSV and TSV as it stands     targets     labels, numbers, the task
    scores        of a fit, and of ridge beside it
    report        lines for a person, or JSON              describe    the sentence of each fact
    errors        exit statuses and the checks all share

A subcommand returns an exit status. A reason to stop that is the user's to mend is raised as
``BadInput`` and becomes one sentence on standard error. Modules here import what is heavy
(scikit-learn, pyarrow, matplotlib) inside the function that needs it, since start-up counts.
"""
