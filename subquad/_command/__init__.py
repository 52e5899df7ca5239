"""The command ``subquad``: reading tables, one module per subcommand, and what they print.

``parser`` holds every option and default; ``fit``, ``predict``, ``info`` and ``plan`` each have one
``run(args)`` that returns an exit status. A reason to stop that is the user's to mend is raised as
``BadInput`` and becomes one sentence on standard error. Modules here import what is heavy
(scikit-learn, pyarrow, matplotlib) inside the function that needs it, since start-up counts.
"""
