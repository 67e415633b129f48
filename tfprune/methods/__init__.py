"""The pruning methods. A new one is a file beside this one and a line in `METHODS`."""

from tfprune.utils.registry import Registry

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
        "fine_tuned": "tfprune.methods.fine_tuned:FineTuned",
        "rate_rewinding": "tfprune.methods.rate_rewinding:RateRewinding",
        "gradual": "tfprune.methods.gradual:Gradual",
        "early_bird": "tfprune.methods.early_bird:EarlyBird",
        "random_at_init": "tfprune.methods.random_at_init:RandomAtInit",
        "magnitude_at_init": "tfprune.methods.magnitude_at_init:MagnitudeAtInit",
        "snip": "tfprune.methods.snip:Snip",
        "grasp": "tfprune.methods.grasp:Grasp",
        "synflow": "tfprune.methods.synflow:Synflow",
        "set": "tfprune.methods.set:Set",
        "rigl": "tfprune.methods.rigl:Rigl",
    },
)
TRIALS = (BASELINE, "pruned", "lottery", "dynamic")  # what is compared unless methods are named
