import numpy as np
import pytest

from tfprune.models import MODELS
from tfprune.utils.errors import ModelError


def test_texts_of_any_words_have_logits():
    model = MODELS["text_pool"]((6,), 3, words=10)
    assert model(np.array([[1, 9, 0, 0, 0, 0]])).shape == (1, 3)


def test_what_is_no_text_is_one_line():
    with pytest.raises(ModelError, match="needs texts"):
        MODELS["text_pool"]((8, 8, 3), 3)
