import pytest

from tfprune.utils import checks
from tfprune.utils.errors import ConfigError


@pytest.mark.parametrize(("value", "expected"), [(0, 0.0), (0.5, 0.5), ("0.25", 0.25), ("1/3", 1 / 3), ("1e-3", 1e-3)])
def test_fractions_are_read(value, expected):
    assert checks.check_fraction("sparsity", value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, r"sparsity must be a fraction in \[0, 1\), got 1"),
        (-0.1, "got -0.1"),
        (30, "for 30 % write 0.3"),
        ("30%", "not a percentage, got 30%: write 0.3"),
        ("x%", "not a percentage"),
        ("abc", "must be a number, got 'abc'"),
        ("1/0", "must be a number"),
        (float("nan"), "got nan"),
        (True, "must be a number, got True"),
        (None, "must be a number"),
        ([0.1], "must be a number"),
    ],
)
def test_what_is_no_fraction_is_refused_with_the_remedy(value, message):
    with pytest.raises(ConfigError, match=message):
        checks.check_fraction("sparsity", value)


@pytest.mark.parametrize("value", [0, -1, 1.5, float("inf"), float("nan"), "ten", True])
def test_whole_numbers_start_at_their_least(value):
    assert checks.check_whole("epochs", "3", least=1) == 3
    with pytest.raises(ConfigError, match="epochs must be a"):
        checks.check_whole("epochs", value, least=1)


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_positive_numbers(value):
    with pytest.raises(ConfigError, match="learning_rate must be a finite number above 0"):
        checks.check_positive("learning_rate", value)


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan")])
def test_numbers_of_at_least(value):
    assert checks.check_least("epsilon", 0, 0.0) == 0.0
    with pytest.raises(ConfigError, match="epsilon must be a finite number of at least 0"):
        checks.check_least("epsilon", value, 0.0)


@pytest.mark.parametrize("value", [(0.2, 0.5), [0.2, 0.5], "0.2,1/2"])
def test_events_are_read(value):
    assert checks.check_events("events", value) == (0.2, 0.5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((0.5, 0.2), "events must increase, got 0.5, 0.2"),
        ((0.5, 0.5), "must increase"),
        ((0.0, 0.5), r"must be a fraction in \(0, 1\), got 0"),
        ((0.5, 1.0), r"must be a fraction in \(0, 1\), got 1"),
        ((), "at least one"),
        (None, "must be a list"),
        ("a,b", "must be a number, got 'a'"),
    ],
)
def test_events_outside_the_run_or_out_of_order_are_refused(value, message):
    with pytest.raises(ConfigError, match=message):
        checks.check_events("events", value)


def test_switches_choices_names_and_widths():
    assert checks.check_switch("shuffle", False) is False
    assert checks.check_choice("scope", "layer", ("layer", "global")) == "layer"
    assert checks.check_names("exclude", "a, b") == ("a", "b")
    assert checks.check_whole_numbers("hidden", "12,6") == (12, 6)
    assert checks.check_whole_numbers("hidden", 12) == (12,)
    for check, value in [
        (checks.check_switch, "yes"),
        (checks.check_names, 5),
        (checks.check_names, [5]),
        (checks.check_whole_numbers, {}),
        (checks.check_whole_numbers, [0]),
    ]:
        with pytest.raises(ConfigError, match="must be"):
            check("setting", value)
    with pytest.raises(ConfigError, match="did you mean layer"):
        checks.check_choice("scope", "layers", ("layer", "global"))


def test_a_setting_under_an_older_name_counts_unless_both_are_given():
    assert checks.from_alias("exclude", (), "spare", ("a",)) == ("a",)
    assert checks.from_alias("exclude", ("a",), "spare", ()) == checks.from_alias("exclude", ("a",), "spare", ("a",))
    with pytest.raises(ConfigError, match="spare is an older name of exclude, and both are given"):
        checks.from_alias("exclude", ("a",), "spare", ("b",))
