"""Every option of the command and its default, in one place. Imports nothing heavy."""

import argparse

from subquad import __version__

SOURCE_HELP = (
    "a .csv, .tsv, .parquet or .npz file (arrays X and y), or a data set bundled with "
    "scikit-learn: digits, diabetes, breast_cancer"
)
WEIGHTS = ["dense", "int8", "implicit"]
WEIGHTS_HELP = (
    "weights between hidden layers: normals, stored; one of 163 values, a byte each (float32 "
    "only); or those values, made in cache and never stored (default dense)"
)


def build_parser():
    """Return the parser of ``subquad``."""
    parser = argparse.ArgumentParser(
        prog="subquad",
        description="Fit the last hidden layer of a wide network by Gauss-Newton.",
        epilog="Exit status: 0 done, 2 an input to mend, 130 Ctrl-C, 143 SIGTERM (both save the "
        "best model so far).",
    )
    parser.add_argument("--version", action="version", version=f"subquad {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add, module in (
        (_add_fit, "fit"),
        (_add_predict, "saved"),
        (_add_info, "saved"),
        (_add_plan, "forecast"),
    ):
        subparser = add(commands)
        subparser.set_defaults(module=module)
        subparser.add_argument(
            "--traceback", action="store_true", help="show the Python traceback of an error"
        )
    return parser


def _add_fit(commands):
    """``subquad fit``: data, network, training, output."""
    parser = commands.add_parser(
        "fit",
        help="fit a network to a table, with ridge beside it",
        description="Fit a wide network to a table and report it beside ridge on its features.",
    )
    parser.add_argument("source", metavar="SOURCE", help=SOURCE_HELP)
    _add_data(parser.add_argument_group("data"))
    text = parser.add_argument_group("how a table is written")
    _add_dialect(text)
    text.add_argument(
        "--na",
        metavar="TEXT",
        action="append",
        default=[],
        help="entry that stands for a missing value, as empty ones, NA and NaN do (repeatable); "
        "rows with a missing value are then left out, and counted",
    )
    _add_network(parser.add_argument_group("network"))
    _add_training(parser.add_argument_group("training"))
    output = parser.add_argument_group("output")
    model = output.add_mutually_exclusive_group()
    model.add_argument(
        "--model",
        metavar="FILE",
        help="save the fitted model here (default: the source's name with .subquad, in this "
        "folder; a file of that name is replaced)",
    )
    model.add_argument("--no-model", action="store_true", help="do not save the model")
    output.add_argument("--plot", metavar="FILE", help="save a picture of the residuals here")
    output.add_argument("--json", action="store_true", help="the result as JSON, alone on stdout")
    return parser


def _add_data(group):
    """Options of the data."""
    group.add_argument("--target", metavar="COLUMN", help="target column (NPZ: array, default y)")
    group.add_argument(
        "--ignore",
        metavar="COLUMN",
        action="append",
        default=[],
        help="column to leave out (repeatable)",
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
        "--seed", type=int, default=0, help="seed of the shuffle and the weights (default 0)"
    )
    group.add_argument(
        "--scale-features",
        action=argparse.BooleanOptionalAction,
        help="centre features and divide by their deviations (default: unless the columns have one "
        "unit, as pixels do)",
    )


def _add_dialect(group):
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


def _add_network(group):
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


def _add_training(group):
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


def _add_predict(commands):
    """``subquad predict``."""
    parser = commands.add_parser(
        "predict",
        help="predict a table's rows with a saved model",
        description="Predict each row of a table; columns are matched by name where it has names.",
    )
    parser.add_argument("model", metavar="MODEL", help="a file saved by fit")
    parser.add_argument("source", metavar="FILE", help=SOURCE_HELP)
    parser.add_argument("--output", metavar="CSV", help="write here (default: standard output)")
    parser.add_argument(
        "--proba", action="store_true", help="of a classifier, each class's probability as well"
    )
    _add_dialect(parser.add_argument_group("how a table is written"))
    return parser


def _add_info(commands):
    """``subquad info``."""
    parser = commands.add_parser(
        "info",
        help="say what a saved model is",
        description="Describe a saved model from its header; no array is read.",
    )
    parser.add_argument("model", metavar="MODEL", help="a file saved by fit")
    parser.add_argument("--json", action="store_true", help="the header as JSON")
    return parser


def _add_plan(commands):
    """``subquad plan``."""
    parser = commands.add_parser(
        "plan",
        help="forecast the memory and time of a fit",
        description="Forecast a fit's memory, and its time from a probe of this machine "
        "(about 0.2 s). Nothing large is allocated.",
    )
    required = dict(type=int, required=True)
    parser.add_argument("--n", **required, metavar="N", help="training rows")
    parser.add_argument("--width", **required, metavar="M", help="neurons in each hidden layer")
    parser.add_argument("--depth", **required, metavar="L", help="hidden layers, at least 2")
    parser.add_argument("--features", type=int, default=64, metavar="D", help="default 64")
    parser.add_argument("--outputs", type=int, default=1, metavar="C", help="default 1")
    parser.add_argument("--shift", type=float, default=0.0, metavar="B", help="default 0")
    parser.add_argument("--steps", type=int, default=5, metavar="K", help="default 5")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--readout", choices=["partition", "dense"], default="partition")
    parser.add_argument("--weights", choices=WEIGHTS, default="dense", help=WEIGHTS_HELP)
    parser.add_argument("--json", action="store_true", help="the forecast as JSON")
    return parser


def _regularization(text):
    """Either the word loo or a number."""
    try:
        return text if text == "loo" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be loo or a number; got {text!r}") from None
