"""What `subquad fit` fits: columns as numbers, one of three kinds of model, the best by comparison.

::

    encoding   typed columns -> a matrix: gaps filled, categories as indicators, dates as parts
    scales     centres and scales of its columns, as they are or as the target demands
    kinds      ridge, ntk or gn on that matrix
    compare    the candidates by cross-validation
"""
