import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet_keras.common import check_choice, check_integer, check_number

integers = st.integers(-(2**31), 2**31 - 1)
numpy_integers = st.sampled_from([np.int8(-3), np.uint8(200), np.int32(0), np.int64(2**40)])
numbers = st.floats(allow_nan=False, allow_infinity=False)
numpy_numbers = st.sampled_from([np.float16(0.1), np.float32(-0.5), np.float64(1e300)])
no_numbers = st.sampled_from(
    [True, False, np.True_, None, "1", "", [1], (), {}, 1j, math.nan, math.inf, -math.inf]
    + [np.float32("nan"), np.float64("inf"), np.array(1), np.array([1, 2]), np.datetime64(1, "s")]
)


def accepted(check, *arguments, **bounds):
    try:
        check(*arguments, **bounds)
    except ValueError as error:
        assert str(error).startswith("`n` must be ")
        assert str(error).endswith(f". Received: n={arguments[1]!r}")
        return False
    return True


@given(integers | numpy_integers, integers, st.none() | integers)
def test_integers_within_the_range_come_back_plain(value, minimum, maximum):
    within = minimum <= value and (maximum is None or value <= maximum)
    assert accepted(check_integer, "n", value, minimum=minimum, maximum=maximum) == within
    plain = check_integer("n", value, minimum=int(value), maximum=int(value))
    assert type(plain) is int and json.loads(json.dumps(plain)) == value


@given(no_numbers | st.floats() | numpy_numbers)
def test_what_is_no_integer_is_refused(value):
    assert not accepted(check_integer, "n", value, minimum=-(2**63))


@given(numbers | integers | numpy_numbers | numpy_integers, *[st.none() | numbers] * 3)
def test_numbers_within_the_limits_come_back_plain(value, minimum, above, below):
    number = float(value)
    within = (
        (minimum is None or number >= minimum)
        and (above is None or number > above)
        and (below is None or number < below)
    )
    assert accepted(check_number, "n", value, minimum=minimum, above=above, below=below) == within
    plain = check_number("n", value, minimum=number)
    assert type(plain) is float and json.loads(json.dumps(plain)) == number


@given(no_numbers | st.sampled_from([10**400, -(10**400)]))
def test_what_is_no_finite_number_is_refused(value):
    assert not accepted(check_number, "n", value, minimum=-math.inf)


@pytest.mark.parametrize(
    "bounds, said",
    [
        ({"minimum": 0}, "of at least 0"),
        ({"above": 0}, "greater than 0"),
        ({"minimum": 0, "below": 1}, "of at least 0 and less than 1"),
        ({"below": -2}, "less than -2"),
    ],
)
def test_limits_are_named(bounds, said):
    with pytest.raises(ValueError, match=f"must be a finite number {said}. Received: n=-1"):
        check_number("n", -1, **bounds)


choices = st.lists(st.none() | st.text() | st.integers(0, 20), unique_by=repr, min_size=1)


@given(choices, st.data())
def test_choices_come_back_as_they_are_listed(allowed, data):
    choice = data.draw(st.sampled_from(allowed))
    kinds = {int: np.int64, str: np.str_}
    for value in (choice, kinds.get(type(choice), lambda x: x)(choice)):
        assert check_choice("n", value, iter(allowed)) is choice


@given(choices, st.none() | st.text() | st.integers(0, 20) | no_numbers)
def test_other_choices_are_refused(allowed, value):
    assert accepted(check_choice, "n", value, allowed) == any(
        type(value) is type(choice) and value == choice for choice in allowed
    )
