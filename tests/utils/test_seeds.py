from tfprune.utils.seeds import derive


def test_seeds_are_the_same_on_every_machine():
    assert derive(0, "split") == 3022168259


def test_each_purpose_and_each_run_has_a_seed_of_its_own():
    seeds = {derive(root, purpose) for root in range(50) for purpose in ("split", "init", "order")}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**32 for seed in seeds)
