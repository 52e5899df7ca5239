"""Every subcommand and its options. Imports nothing heavy."""

import argparse

from subquad import __version__
from subquad._command import options
from subquad._command.options import SOURCE_HELP, WEIGHTS, WEIGHTS_HELP


def build_parser():
    """Return the parser of ``subquad``."""
    parser = argparse.ArgumentParser(
        prog="subquad",
        description="Fit a table: by ridge, a wide network's kernel, or a wide network, whichever "
        "is best.",
        epilog="Exit status: 0 done, 2 an input to mend, 130 Ctrl-C, 143 SIGTERM (both save the "
        "best model so far).",
    )
    parser.add_argument("--version", action="version", version=f"subquad {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add, module in (
        (_add_fit, "fit"),
        (_add_predict, "saved"),
        (_add_evaluate, "saved"),
        (_add_info, "saved"),
        (_add_plan, "plan"),
        (_add_completion, "completion"),
    ):
        subparser = add(commands)
        subparser.set_defaults(module=module)
        subparser.add_argument(
            "--traceback", action="store_true", help="show the Python traceback of an error"
        )
    return parser


def _add_fit(commands):
    """``subquad fit``: data, model, network, training, output."""
    parser = commands.add_parser(
        "fit",
        help="fit the best of a few models to a table",
        description="Fit a table: compare a few models, fit the best to all training rows, and "
        "save it. An option of the network asks for the network, as --model gn does.",
    )
    parser.add_argument("source", metavar="SOURCE", help=SOURCE_HELP)
    options.add_data(parser.add_argument_group("data"))
    options.add_dialect(parser.add_argument_group("how a table is written"))
    options.add_network(parser.add_argument_group("network"))
    options.add_training(parser.add_argument_group("training"))
    output = parser.add_argument_group("model and output")
    output.add_argument(
        "--model",
        metavar="auto|ntk|gn|ridge|FILE",
        action=options.KindOrFile,
        help="the kind of model: the kernel of a wide network, a wide network fitted by "
        "Gauss-Newton, ridge, or whichever of them predicts best (default auto); any other word "
        "is a file, as with --output",
    )
    parser.set_defaults(kind=None)
    output.add_argument(
        "--output",
        dest="model",
        metavar="FILE",
        help="save the fitted model here (default: the source's name with .subquad, in this "
        "folder; a file of that name is replaced)",
    )
    output.add_argument("--no-model", action="store_true", help="do not save the model")
    output.add_argument("--report", metavar="HTML", help="save a page about the fit here")
    output.add_argument(
        "--plot", metavar="FILE", help="save a picture of the network's residuals here"
    )
    output.add_argument("--json", action="store_true", help="the result as JSON, alone on stdout")
    return parser


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
    parser.add_argument(
        "--interval",
        type=float,
        metavar="P",
        help="of a regression, the bounds between which an observation is with this probability, "
        "such as 0.9",
    )
    parser.add_argument("--id", metavar="COLUMN", help="column to copy in front of each row")
    options.add_dialect(parser.add_argument_group("how a table is written"))
    return parser


def _add_evaluate(commands):
    """``subquad evaluate``."""
    parser = commands.add_parser(
        "evaluate",
        help="score a saved model on a table with its target",
        description="Predict each row of a table that has the model's target, and score that.",
    )
    parser.add_argument("model", metavar="MODEL", help="a file saved by fit")
    parser.add_argument("source", metavar="FILE", help=SOURCE_HELP)
    parser.add_argument("--target", metavar="COLUMN", help="default: that of the fit")
    parser.add_argument("--json", action="store_true", help="the scores as JSON")
    options.add_dialect(parser.add_argument_group("how a table is written"))
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
    parser.add_argument(
        "--model",
        dest="kind",
        choices=["gn", "ntk"],
        default="gn",
        help="gn, a network (default), or ntk, the kernel of its infinite width",
    )
    parser.add_argument("--n", type=int, required=True, metavar="N", help="training rows")
    parser.add_argument(
        "--width", type=int, metavar="M", help="neurons in each hidden layer of a network"
    )
    parser.add_argument(
        "--depth", type=int, metavar="L", help="hidden layers, at least 2; ntk chooses if not given"
    )
    parser.add_argument(
        "--landmarks",
        type=int,
        metavar="M",
        help="of ntk, the rows that stand for all (default: 2048 for more than 16384 rows)",
    )
    parser.add_argument("--features", type=int, default=64, metavar="D", help="default 64")
    parser.add_argument("--outputs", type=int, default=1, metavar="C", help="default 1")
    parser.add_argument("--shift", type=float, default=0.0, metavar="B", help="default 0")
    parser.add_argument("--steps", type=int, default=5, metavar="K", help="default 5")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--readout", choices=["partition", "dense"], default="partition")
    parser.add_argument("--weights", choices=WEIGHTS, default="dense", help=WEIGHTS_HELP)
    parser.add_argument(
        "--ranks",
        type=int,
        default=1,
        metavar="P",
        help="ranks of a job of MPI that share the neurons, or the equations of landmarks: the "
        "forecast is for each (default 1)",
    )
    parser.add_argument("--json", action="store_true", help="the forecast as JSON")
    return parser


def _add_completion(commands):
    """``subquad completion``."""
    parser = commands.add_parser(
        "completion",
        help="print a script that completes the command in a shell",
        description="Print a script that completes subcommands, options and files: in bash, "
        'eval "$(subquad completion bash)".',
    )
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])
    return parser
