import pytest

from tfprune.pruning.events import PruningEvent, geometric
from tfprune.structured import branches, scoring
from tfprune.structured.widths import CRITERIA, check_channel_settings, check_widths, expected_widths, width
from tfprune.utils.errors import ConfigError, SparsityError

WIDTHS = [  # channels, share that stays, multiple, channels that stay
    *((64, 0.5, 8, 32), (64, 0.55, 8, 32), (64, 0.6, 8, 40), (60, 1.0, 8, 60), (60, 0.99, 8, 56)),
    *((8, 0.1, 8, 8), (6, 0.5, 8, 6), (64, 0.01, 8, 8), (10, 0.5, 1, 5), (1, 0.1, 1, 1)),
]


@pytest.mark.parametrize(("size", "keep", "multiple", "expected"), WIDTHS)
def test_widths_are_multiples_and_never_grow(size, keep, multiple, expected):
    assert width(size, keep, multiple) == expected


def test_what_several_cuts_leave_is_rounded_once():
    sizes = {"a": 32, "b": 128, "c": 5}
    # 0.83 of 32 is 26.6, of the 24 that it rounds to 19.9; 0.83 ** 2 of 32 is 22.04
    two = [PruningEvent(rate=0.17)] * 2
    eights = dict.fromkeys(sizes, 8)
    assert expected_widths(sizes, two, eights) == {"a": 24, "b": 88, "c": 5}
    assert expected_widths(sizes, two, eights | {"a": 2, "c": 2}) == {"a": 22, "b": 88, "c": 4}
    assert expected_widths(sizes, [], eights) == sizes
    for steps in (1, 2, 5):
        assert expected_widths(sizes, geometric(0.5, steps), eights) == {"a": 16, "b": 64, "c": 5}


def test_a_width_that_was_not_asked_for_is_an_error():
    check_widths({"a": 16, "logits": 10}, {"a": 16}, "the model")
    with pytest.raises(SparsityError, match="the model: a has 24 channels where 16 were asked for"):
        check_widths({"a": 24}, {"a": 16}, "the model")


def test_settings_are_filled_in_and_bad_ones_are_named():
    filled = {"criterion": "l1", "multiple": 4, "slots": "keep", "dropout": "keep", "recalibrate": 0}
    assert check_channel_settings({"multiple": 4.0}) == filled
    for given, message in (
        ({"criterium": "l1"}, "unknown setting 'channels.criterium': did you mean criterion"),
        ({"criterion": "l3"}, "unknown channels.criterion 'l3'"),
        ({"multiple": 0}, "channels.multiple must be a whole number of at least 1"),
        ({"slots": "drop"}, "unknown channels.slots 'drop'"),
        ({"recalibrate": -1}, "channels.recalibrate must be a whole number of at least 0"),
        ({"dropout": 0.1}, "unknown channels.dropout 0.1"),
    ):
        with pytest.raises(ConfigError, match=message):
            check_channel_settings(given)


def test_there_is_a_criterion_for_each_name():
    assert {"filter": set(scoring.CRITERIA), "branch": set(branches.CRITERIA)} == {
        granularity: set(names) for granularity, names in CRITERIA.items()
    }
