"""How images of uint8 are scaled for models that do not do it themselves."""

SCALES = {"unit": (1 / 255, 0.0), "signed": (1 / 127.5, -1.0)}
NORMALISING = ("Rescaling", "Normalization", "BatchNormalization")  # layers that show that a model does it itself
FIRST_LAYERS = 4  # among which one of those has to be
