"""The pruning methods. A new one is a file beside this one and a line in `METHODS`."""

from tfprune.registry import Registry

METHODS = Registry(
    "method",
    {
        "unpruned": "tfprune.methods.unpruned:Unpruned",
        "pruned": "tfprune.methods.pruned:Pruned",
        "lottery": "tfprune.methods.lottery:Lottery",
        "dynamic": "tfprune.methods.dynamic:Dynamic",
    },
)
