"""Pictures of a fit. Matplotlib is imported by the first one: ``pip install "subquad[plot]"``."""


def residuals(history, ax=None):
    """Draw the relative residual ``|r_t| / |r_0|`` after every step, on a logarithmic scale.

    Parameters
    ----------
    history : sequence of StepRecord
        ``history`` of a trainer or ``history_`` of an estimator.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the history holds no step.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    The dashed line falls by 1/3 a step, the rate that [SZZ24] proves for wide enough networks
    without regularisation. A regularised fit rightly ends above zero.

    Examples
    --------
    >>> from types import SimpleNamespace as Step
    >>> history = [Step(step=1, relative_residual=0.2), Step(step=2, relative_residual=0.03)]
    >>> axes = residuals(history)
    >>> axes.get_xlabel(), axes.get_yscale()
    ('step', 'log')
    """
    records = list(history)
    if not records:
        raise ValueError("history must hold at least one step; got none.")
    ax = _new_axes() if ax is None else ax
    steps = [0, *(record.step for record in records)]
    ax.plot(steps, [1.0, *(record.relative_residual for record in records)], marker="o")
    ax.plot(steps, [3.0**-step for step in steps], "--", color="gray", label="1/3 a step [SZZ24]")
    ax.set(xlabel="step", ylabel="relative residual $|r_t| / |r_0|$", yscale="log")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
    return ax


def _new_axes():
    """Axes of a new pyplot figure, so that a notebook shows it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            'residuals needs matplotlib. Install it with: pip install "subquad[plot]"'
        ) from error
    return pyplot.subplots()[1]
