"""The command line: `alexnet-keras`, or `python -m alexnet_keras`.

Nothing that imports Keras stands at the top of these files: --help and errors of arguments come at
once.
"""

import re
import shlex
import sys
from collections.abc import Iterable

from alexnet_keras.cli.commands import COMMANDS
from alexnet_keras.cli.options import parser
from alexnet_keras.common import Interrupted


def main(argv: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        argv: the arguments; `None` for those of the process.

    Returns:
        The exit status: 0, or 1 where something could not be done; 130 when interrupted.
    """
    arguments = parser(COMMANDS).parse_args(argv)
    arguments.words = sys.argv[1:] if argv is None else argv
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        return arguments.command(arguments) or 0
    except (ValueError, OSError, ImportError) as error:
        message = _with_options(str(error), vars(arguments))
        print(f"alexnet-keras: error: {message}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(f"alexnet-keras: {_with_options(str(error), vars(arguments))}", file=sys.stderr)
        return 128 + error.number
    except KeyboardInterrupt:
        print("alexnet-keras: interrupted", file=sys.stderr)
        return 130


def _with_options(message: str, options: Iterable[str]) -> str:
    """Adds to the arguments that a message of the library names how they are spelt as options.

    Args:
        message: with arguments in backquotes, alone or with a value.
        options: names of the arguments that are options.

    Example:

    >>> _with_options("Try a smaller `learning_rate`, or `skip_bad=True`.", ["learning_rate"])
    'Try a smaller `learning_rate` (--learning-rate), or `skip_bad=True`.'
    >>> _with_options("`resume('runs/a b')` goes on", ["resume"])
    "`resume('runs/a b')` (--resume 'runs/a b') goes on"
    """
    left = set(options)

    def with_option(found):
        name, value = found[1], found[2] or found[3] or "True"
        if name not in left:
            return found[0]
        left.remove(name)  # once in a message is enough
        option = f"--{name.replace('_', '-')}"
        if value != "True":
            option += f" {shlex.quote(value.strip(chr(34) + chr(39)))}"
        return f"{found[0]} ({option})"

    return re.sub(r"`(\w+)(?:=([^`]*)|\(([^`]*)\))?`", with_option, message)
