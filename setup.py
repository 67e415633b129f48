"""Packaging of tfprune."""

import re
from pathlib import Path

from setuptools import find_packages, setup

EXPORT = [
    "ai-edge-litert>=2,<3",
    "backports-strenum<1.3",  # which ai-edge-litert needs; later ones refuse Python 3.11 and up
    "onnx>=1.17,<2",
    "onnxruntime>=1.20,<2",
    "tf2onnx>=1.17,<2",
]

MLFLOW = ["mlflow-skinny>=3,<4"]
# On Python 3.10 its newest protobuf leaves no tensorflow-metadata but an ancient one: not where it meets all extras.
MLFLOW_IN_TESTS = [f"{package}; python_version >= '3.11'" for package in MLFLOW]
RAY = ["ray>=2.50,<3"]
OPENML = ["scikit-learn>=1.5,<2"]  # its reader of OpenML
JAX = ["jax>=0.6,<0.12"]  # Keras 3 on JAX
OF_TORCH = ["sympy>=1.13,<2"]  # all that PyTorch imports beside the rest, so that scripts/test can install it alone
DOCS = ["furo>=2025.9,<2027", "myst-nb>=1.2,<2", "sphinx>=8.1,<10", "sphinx-copybutton>=0.5,<1"]

CLASSIFIERS = [
    "Development Status :: 4 - Beta",
    "Environment :: Console",
    "Intended Audience :: Developers",
    "Intended Audience :: Science/Research",
    "Operating System :: MacOS",
    "Operating System :: POSIX :: Linux",
    "Programming Language :: Python :: 3",
    *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
    "Programming Language :: Python :: 3 :: Only",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
    "Typing :: Typed",
]


def readme() -> str:
    """Returns README.md as a package index shows it: what is in the repository alone is left out, links become text."""
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = re.sub(r"^!\[[^\]]*\]\((?!https?:)[^)]*\)\n+(\*[^*]+\*\n)?", "", text, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]*)\]\((?!https?:|#)[^)]*\)", r"\1", text)


setup(
    name="tfprune",
    version="0.1.0",
    description="Prune Keras models in the middle of training",
    long_description=readme(),
    long_description_content_type="text/markdown",
    author="The tfprune authors",
    license="MIT",
    license_files=["LICENSE"],
    keywords="pruning sparsity compression keras tensorflow jax pytorch lottery-ticket",
    classifiers=CLASSIFIERS,
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["tfprune", "tfprune.*"]),
    package_data={"tfprune": ["py.typed"], "tfprune.reporting": ["templates/*"], "tfprune.data": ["penguins.csv"]},
    entry_points={"console_scripts": ["tfprune=tfprune.cli:main"]},
    install_requires=[
        "click>=8.1,<9",
        "h5py>=3.10,<4",
        "keras>=3.12,<3.16",  # Keras 3; comes with TensorFlow too
        "importlib_resources",  # tensorflow-datasets needs it and does not say so
        "jinja2>=3.1,<4",
        "matplotlib>=3.8,<4",
        "msgspec>=0.20,<1",  # the files of a run, each with its schema
        "numpy>=1.26,<3",
        "pillow>=10,<14",  # the sizes of images; matplotlib needs it anyway
        "pyarrow>=15,<27",  # tables; tensorflow-datasets needs it anyway
        "scipy>=1.15,<2",  # whose bootstrap takes a generator
        "setuptools>=68; python_version >= '3.12'",  # tfmot imports distutils, which Python no longer has
        "tabulate>=0.9,<1",
        "tensorboard>=2.20,<2.22",  # no longer comes with TensorFlow
        "tensorflow>=2.21,<2.22",
        "tensorflow-datasets>=4.9.10,<5",
        "tensorflow-model-optimization>=0.8.1,<0.9",
        "tf-keras>=2.21,<2.22",
        "tomli>=2,<3; python_version < '3.11'",
        "tqdm>=4.66,<5",
    ],
    extras_require={
        "export": EXPORT,
        "bench": ["torch==2.13.0"],
        "jax": JAX,
        "torch": ["torch>=2.6,<3"],  # Keras 3 on PyTorch; for CPUs alone: --index-url of PyTorch's CPU builds
        "openml": OPENML,
        "ray": RAY,
        "mlflow": MLFLOW,
        "docs": DOCS,
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "dev": [
            *DOCS,
            *JAX,
            *OF_TORCH,
            *OPENML,
            *EXPORT,
            *RAY,
            *MLFLOW_IN_TESTS,
            "docstring-parser>=0.16,<1",
            "hypothesis>=6.100,<7",
            "pip-audit>=2.7,<3",
            "pytest>=8,<10",
            "pytest-xdist>=3.5,<4",
            "ruff>=0.11,<1",
        ],
    },
)
