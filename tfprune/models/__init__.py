"""The models. A new one is a file beside this one (or a function in one) and a line in `MODELS`.

A model is a function `(input_shape, classes, *, settings...) -> keras.Model` that returns logits.
"""

from tfprune.utils.registry import Registry

MODELS = Registry(
    "model",
    {
        "mlp": "tfprune.models.mlp:mlp",
        "lenet": "tfprune.models.convnets:lenet",
        "conv2": "tfprune.models.convnets:conv2",
        "conv4": "tfprune.models.convnets:conv4",
        "conv6": "tfprune.models.convnets:conv6",
        "resnet8": "tfprune.models.resnets:resnet8",
        "resnet20": "tfprune.models.resnets:resnet20",
        "resnet56": "tfprune.models.resnets:resnet56",
        "flowers_resnet": "tfprune.models.resnets:flowers_resnet",
        "mobilenetv2": "tfprune.models.mobilenets:mobilenetv2",
        "unet": "tfprune.models.unets:unet",
        "text_pool": "tfprune.models.texts:text_pool",
    },
)
