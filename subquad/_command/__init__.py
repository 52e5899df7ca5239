"""The command ``subquad``: one function for each subcommand, and what they share.

::

    parser        every subcommand                       options    groups of options
    fit           subquad fit:  table -> columns -> comparison -> fit -> scores -> saved model
    saved         subquad predict, evaluate and info, what is done with a saved model
    plan          subquad plan
    completion    subquad completion

    tables/       a file, or the name of a data set, as typed columns and a target
    models/       columns as a matrix, the kinds of model, their comparison, the network's steps
    report        lines for a person, or JSON            describe   the sentence of each fact
    page          the page of --report                   pictures   its pictures
    forecast      memory and time of a fit           rank_forecast   of each rank that shares it
    errors        exit statuses and the checks all share stopping   signals
    ranks         the job of MPI that the command may run in      helpers   what its ranks tell

A subcommand returns an exit status. A reason to stop that is the user's to mend is raised as
``BadInput`` and becomes one sentence on standard error. Modules here import what is heavy
(scikit-learn, pyarrow, matplotlib) inside the function that needs it, since start-up counts.
"""
