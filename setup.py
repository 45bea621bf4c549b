"""Build: Cython modules from `_ext/`, and `_ext/` and `models/` mapped into the package."""

import os
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("BAYES_MESA_DEBUG") == "1"
# Not the bounds checks of a debug build as well: they would answer before the sanitizer can.
SANITIZE = os.environ.get("BAYES_MESA_SANITIZE") == "1"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
FLAGS = ["-O1", "-g"] if DEBUG or SANITIZE else ["-O3"]

# The only place for these: a directive in a file's header would silently override a debug build.
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    # The kernels rely on x/0 being infinite, in a debug build too.
    "cdivision": True,
    "nonecheck": DEBUG,
}

EXTENSIONS = [
    Extension(
        f"bayes_mesa._ext.{path.stem}",
        [str(path)],
        include_dirs=[np.get_include(), "_ext"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        # No contraction to fused multiply-add: the Python twins must agree to the last bit.
        extra_compile_args=["-ffp-contract=off", *FLAGS, *(SANITIZERS if SANITIZE else [])],
        extra_link_args=SANITIZERS if SANITIZE else [],
    )
    for path in sorted(Path("_ext").glob("*.pyx"))
]

setup(
    packages=[
        "bayes_mesa",
        *(
            f"bayes_mesa.{init.parent.name}"
            for init in sorted(Path("bayes_mesa").glob("*/__init__.py"))
        ),
        "bayes_mesa._ext",
        "bayes_mesa.models",
        "bayes_mesa.models.evidence",
    ],
    package_dir={
        "bayes_mesa": "bayes_mesa",
        "bayes_mesa._ext": "_ext",
        "bayes_mesa.models": "models",
        "bayes_mesa.models.evidence": "models/evidence",
    },
    package_data={
        "bayes_mesa.pages": ["templates/*"],
        "bayes_mesa.models": ["*.toml", "*.csv"],
        "bayes_mesa.models.evidence": ["*.toml", "*.csv"],
    },
    ext_modules=cythonize(
        EXTENSIONS,
        compiler_directives=DIRECTIVES,
        include_path=["_ext"],
        force=DEBUG or SANITIZE or os.environ.get("BAYES_MESA_FORCE") == "1",
    ),
)
