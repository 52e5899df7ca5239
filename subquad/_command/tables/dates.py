"""Dates as tables write them: ISO 8601, or one of a few other ways that fits every entry."""

import numpy as np

# Tried in this order. A column that fits day first and month first alike is left as text.
FORMS = ("%Y/%m/%d", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%m/%d/%Y", "%d/%m/%Y")
FORMS += ("%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y")


def form_of(texts):
    """Return the form in which all texts are dates, or None."""
    if not texts or not all(any(map(str.isdigit, text)) for text in texts[:100]):
        return None
    if not np.isnat(parsed(texts, "iso")).any():
        return "iso"
    fitting = [form for form in FORMS if not np.isnat(parsed(texts, form)).any()]
    return fitting[0] if len(fitting) == 1 else None


def parsed(texts, form):
    """Return texts as datetime64[us], shape (n,); NaT for one that is not of the form."""
    import pyarrow
    from pyarrow import compute

    texts = pyarrow.array([*texts], pyarrow.string())
    if form != "iso":
        return _as_numpy(compute.strptime(texts, form, "us", error_is_null=True))
    for zone in (None, "UTC"):
        try:
            return _as_numpy(texts.cast(pyarrow.timestamp("us", zone)))
        except pyarrow.ArrowInvalid:
            continue
    return np.array([_one(text) for text in texts.to_pylist()], dtype="datetime64[us]")


def parts_of(values):
    """Return what dates say, a dictionary of (n,): the time that runs, and places in its circles.

    The days since 1970 are NaN for a gap, and the sines and cosines 0.
    """
    gaps = np.isnat(values)
    filled = np.where(gaps, np.datetime64(0, "us"), values)
    days = filled.astype(np.int64) / 86_400e6
    circles = {
        "year": (filled - filled.astype("datetime64[Y]")).astype(np.int64) / (365.25 * 86_400e6),
        "week": np.floor(days + 3) / 7,  # 1970 began on a Thursday
        "day": days % 1,
    }
    parts = {"time": np.where(gaps, np.nan, days)}
    for name, turns in circles.items():
        angle = 2 * np.pi * (turns % 1)
        parts[f"sine of the {name}"] = np.where(gaps, 0.0, np.sin(angle))
        parts[f"cosine of the {name}"] = np.where(gaps, 0.0, np.cos(angle))
    return parts


def _one(text):
    """One date of ISO 8601, or NaT."""
    import pyarrow

    for zone in (None, "UTC"):
        try:
            return pyarrow.scalar(text).cast(pyarrow.timestamp("us", zone)).as_py().replace(
                tzinfo=None
            )  # fmt: skip
        except (pyarrow.ArrowInvalid, OverflowError, ValueError):
            continue
    return np.datetime64("NaT", "us")


def _as_numpy(array):
    """An Arrow array of times without their zone."""
    return np.asarray(array.to_numpy(zero_copy_only=False)).astype("datetime64[us]")
