import gzip

import numpy as np

from tfprune.pruning import counts as measure


def test_sparsity_counts_zeros_a_kernel_and_overall():
    kernels = {"a": np.array([[0.0, 1.0], [2.0, 0.0]]), "b": np.array([1.0, 1.0, 0.0, 3.0])}
    assert measure.sparsity(0.4, kernels) == {
        "requested": 0.4,
        "achieved": 3 / 8,
        "layers": {"a": {"zeros": 2, "size": 4}, "b": {"zeros": 1, "size": 4}},
    }
    assert measure.sparsity(0.0, {})["achieved"] == 0.0


def test_parameters_count_all_weights():
    weights = [np.array([0.0, 1.0]), np.array([[2.0]])]
    assert measure.parameters(weights) == {"parameters": 3, "nonzero_parameters": 2}


def test_bytes_are_those_of_gzip_and_do_not_depend_on_the_time(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"x" * 1000)
    (tmp_path / "sub" / "b").write_bytes(b"y" * 500)
    sizes = measure.folder_bytes(tmp_path)
    assert sizes["raw"] == 1500
    assert sizes["gzip"] == sum(len(gzip.compress(c, 9, mtime=0)) for c in (b"x" * 1000, b"y" * 500))


def test_zeros_compress():
    dense = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    sparse = np.where(np.arange(10_000) % 10 == 0, dense, 0).astype(np.float32)
    assert measure.array_bytes([dense])["raw"] == measure.array_bytes([sparse])["raw"] == 40_000
    assert measure.array_bytes([sparse])["gzip"] < 0.3 * measure.array_bytes([dense])["gzip"]
