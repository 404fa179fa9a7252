"""Checks of the answers to the exercises, out of sight of the questions.

A file `notebook_NN.py` holds the checks of one notebook: functions `exercise_1`, `exercise_2`, ...,
each of which takes the answer, and what else it needs of the notebook as keywords, and returns
`None` for a right answer and a hint for a wrong one.
"""

import importlib
from typing import Any


def check(exercise: str, answer: Any, **context: Any) -> None:
    """Says whether the answer to an exercise is right, and gives a hint if it is not.

    Args:
        exercise: number of the notebook and of the exercise, for example `"01.3"`.
        answer: `...` stands for none yet, of which nothing is said.
        context: what the check needs of the notebook.

    Raises:
        ValueError: if there is no such exercise.

    Example:

    >>> check("01.1", ...)
    """
    if answer is ...:
        return
    hint = verdict(exercise, answer, **context)
    print("Correct." if hint is None else f"Not yet: {hint}")


def verdict(exercise: str, answer: Any, **context: Any) -> str | None:
    """The hint that an answer deserves; `None` for a right one.

    Raises:
        ValueError: if there is no such exercise.
    """
    notebook, _, number = exercise.partition(".")
    try:
        checks = importlib.import_module(f"{__name__}.notebook_{notebook}")
        right = getattr(checks, f"exercise_{number}")
    except (ImportError, AttributeError):
        raise ValueError(
            f"An exercise is named as '01.3' is. Received: {exercise!r}, which is not there"
        ) from None
    try:
        return right(answer, **context)
    except Exception as error:  # an answer of another kind than was asked for
        return f"your answer made the check stop ({type(error).__name__}: {error})"
