import pytest

from tfprune.models import MODELS
from tfprune.utils.errors import ModelError


def test_there_are_logits_for_each_pixel():
    model = MODELS["unet"]((24, 40, 3), 4)
    assert model.output_shape == (None, 24, 40, 4) and model.output.dtype == "float32"


def test_images_that_cannot_be_halved_are_one_line():
    with pytest.raises(ModelError, match="unet"):
        MODELS["unet"]((25, 40, 3), 4)
