"""Tables as text."""

import pytest

from fcn.solvers.console.text import columns


def test_names_stand_left_numbers_right_and_columns_fit_their_widest_cell():
    assert columns([("percent", "IU", "accuracy"), ("a", 3.5, "10"), ("longer name", "–", "")]) == (
        "percent       IU  accuracy\n"
        "a            3.5        10\n"
        "longer name    –")


def test_numbers_stand_right_in_the_first_column_too():
    assert columns([("factor", "IU"), (128, 1), (8, 22)]) == "factor  IU\n   128   1\n     8  22"


def test_a_row_that_lacks_a_cell_is_refused():
    with pytest.raises(ValueError):
        columns([("a", 1), ("b",)])


def test_no_rows_are_no_text():
    assert columns([]) == ""
