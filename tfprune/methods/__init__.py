"""The pruning methods. A new one is a file beside this one and a line in `METHODS`."""

from tfprune.registry import Registry

BASELINE = "unpruned"  # what the others are held against, and whose training some of them begin with

METHODS = Registry(
    "method",
    {
        "unpruned": "tfprune.methods.unpruned:Unpruned",
        "pruned": "tfprune.methods.pruned:Pruned",
        "lottery": "tfprune.methods.lottery:Lottery",
        "dynamic": "tfprune.methods.dynamic:Dynamic",
        "random": "tfprune.methods.random:Random",
        "shuffled": "tfprune.methods.shuffled:Shuffled",
        "reinitialised": "tfprune.methods.reinitialised:Reinitialised",
        "small_dense": "tfprune.methods.small_dense:SmallDense",
        "longer": "tfprune.methods.longer:Longer",
    },
)
TRIALS = (BASELINE, "pruned", "lottery", "dynamic")  # what is compared unless methods are named
