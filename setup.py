"""Packaging: what is installed, with what, and the C runtime copied into the package."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent

DEMO = ["onnxruntime", "scikit-learn"]
LINT = ["mypy", "ruff", "types-protobuf", "types-pyserial"]
TUNE = ["xgboost", "psutil", "cloudpickle", "tornado"]  # what TVM's MetaSchedule and RPC want
EXACT = ["ortools"]  # proves or improves memory plans that the heuristics leave above the bound
IMAGES = ["pillow"]  # for `run --data` of a folder of images
PLOT = ["matplotlib"]
TEST = [
    *DEMO,
    *EXACT,
    *IMAGES,
    *LINT,
    *PLOT,
    *TUNE,
    "pytest",
    "pytest-cov",
    "pytest-xdist",
    "hypothesis",
    "setuptools>=71",  # the packaging test builds a wheel without network
    "torch==2.13.0",  # exact: an open range takes a build with gigabytes of CUDA packages
    "onnxscript",
    "ai-edge-litert",
    "kconfiglib",
    "pyyaml",
]


class BuildWithRuntime(build_py):
    """Copies runtime/c into the package, since an installed package has no checkout beside it."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "tvm_ondevice_train", "_runtime")
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / "runtime" / "c", target)


setup(
    name="tvm-ondevice-train",
    version="0.1.0",
    description="Compiles a model file into a C project that trains the model on a microcontroller",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=["tvm_ondevice_train*", "relay_passes*"]),
    include_package_data=True,
    cmdclass={"build_py": BuildWithRuntime},
    entry_points={"console_scripts": ["ondevice-train = tvm_ondevice_train.cli:main"]},
    install_requires=[
        # TVM renames its Python API between minor versions. A newer ffi satisfies this TVM's own
        # requirement, but crashes the constructor of MetaSchedule's TuneContext.
        "apache-tvm==0.27.0.post1",
        "apache-tvm-ffi==0.1.14.post1",
        "numpy",
        "onnx",
        "tflite",
        "click>=8.2",
        "rich",
        "jinja2",
        "pyelftools",
        "pyserial",
    ],
    extras_require={
        "demo": DEMO,
        "exact": EXACT,
        "images": IMAGES,
        "lint": LINT,
        "plot": PLOT,
        "test": TEST,
        "tune": TUNE,
    },
)
