"""The command line: `alexnet-keras`, or `python -m alexnet_keras`.

Nothing that imports Keras stands at the top of these files: --help and errors of arguments come at
once.
"""

import sys

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
        print(f"alexnet-keras: error: {error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(f"alexnet-keras: {error}", file=sys.stderr)
        return 128 + error.number
    except KeyboardInterrupt:
        print("alexnet-keras: interrupted", file=sys.stderr)
        return 130
