"""Groups of options that subcommands share, and their values. Imports nothing heavy."""

import argparse

SOURCE_HELP = (
    "a .csv, .tsv, .parquet, .feather, .jsonl, .xlsx or .npz file (arrays X and y), - for standard "
    "input, or a data set bundled with scikit-learn: digits, diabetes, breast_cancer"
)
WEIGHTS = ["dense", "int8", "implicit"]
WEIGHTS_HELP = (
    "weights between hidden layers: normals, stored; one of 163 values, a byte each (float32 "
    "only); or those values, made in cache and never stored (default dense)"
)
KINDS = ("auto", "ntk", "gn", "ridge")


class KindOrFile(argparse.Action):
    """A word of `KINDS` is the kind of the model; anything else is the file to save it in."""

    def __call__(self, parser, namespace, value, option_string=None):
        """Keep the value in its place."""
        setattr(namespace, "kind" if value in KINDS else "model", value)


def add_data(group):
    """Options of the data."""
    group.add_argument("--target", metavar="COLUMN", help="target column (NPZ: array, default y)")
    group.add_argument(
        "--ignore",
        metavar="COLUMN",
        action="append",
        default=[],
        help="column to leave out; several with commas between them, or the option again",
    )
    group.add_argument(
        "--id", metavar="COLUMN", help="column that names the rows: left out, as by --ignore"
    )
    group.add_argument(
        "--gaps",
        choices=["fill", "drop"],
        default="fill",
        help="missing values of features: filled with the median, or a category of their own, "
        "beside a column that tells where (default), or their rows left out and counted",
    )
    group.add_argument(
        "--task",
        choices=["auto", "regression", "classification"],
        default="auto",
        help="default auto: text, booleans and at most 20 distinct integers are classes",
    )
    group.add_argument(
        "--test-fraction",
        type=float,
        metavar="F",
        help="rows held out, after a shuffle (default 0.25; digits 797 of 1797, so 1000 train)",
    )
    group.add_argument(
        "--cv",
        type=int,
        metavar="K",
        help="test by K folds instead, each held out once, and fit all rows",
    )
    group.add_argument(
        "--seed", type=int, default=0, help="seed of the shuffle and the weights (default 0)"
    )
    group.add_argument(
        "--scale-features",
        action=argparse.BooleanOptionalAction,
        help="centre features and divide by their deviations (default: unless the columns have one "
        "unit, as pixels do)",
    )


def add_dialect(group):
    """Options of a text file, of fit and of predict."""
    group.add_argument(
        "--sep",
        metavar="CHARACTER",
        help="column separator, or the word tab (default: by the suffix, or by a header that would "
        "be one column)",
    )
    group.add_argument(
        "--encoding", help="such as latin-1 (default: UTF-8, or that of a byte-order mark)"
    )
    group.add_argument(
        "--decimal",
        choices=[".", ","],
        default=".",
        metavar="MARK",
        help="decimal mark, a point or a comma (default a point)",
    )
    group.add_argument(
        "--thousands", metavar="CHARACTER", help="thousands separator (default none)"
    )
    group.add_argument(
        "--na",
        metavar="TEXT",
        action="append",
        default=[],
        help="entry that stands for a missing value, as empty ones, NA and NaN do (repeatable); "
        "rows without a target are then left out, and counted",
    )


def add_network(group):
    """Options of the network; one left out takes the estimator's own default."""
    group.add_argument("--width", type=int, help="neurons in each hidden layer (default 2048)")
    group.add_argument("--depth", type=int, help="hidden layers, at least 2 (default 2)")
    group.add_argument(
        "--shift", type=float, help="shift of the activation: larger is sparser (default 0)"
    )
    group.add_argument(
        "--readout",
        choices=["partition", "dense"],
        help="neurons of several outputs: apart, or shared (default partition)",
    )
    group.add_argument("--weights", choices=WEIGHTS, help=WEIGHTS_HELP)
    group.add_argument(
        "--dtype", choices=["float32", "float64"], help="precision of the network (default float64)"
    )


def add_training(group):
    """Options of the training."""
    group.add_argument(
        "--regularization",
        type=_regularization,
        metavar="loo|MU",
        help="loo chooses by leave-one-out, 0 interpolates (default loo)",
    )
    group.add_argument(
        "--max-steps", type=int, metavar="K", help="most Gauss-Newton steps (default 20)"
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="go on where the same command was interrupted, by the checkpoint that it left beside "
        "the model",
    )
    group.add_argument(
        "--threads",
        type=int,
        metavar="T",
        help="threads to use (default: all this process may use)",
    )


def _regularization(text):
    """Either the word loo or a number."""
    try:
        return text if text == "loo" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be loo or a number; got {text!r}") from None
