"""The compiled kernel, built where there is a compiler; everything else about the package stands in pyproject.toml."""

from __future__ import annotations

import sysconfig

from setuptools import Extension, setup

FOLDER = "blocklistd/kernel"
STABLE = not sysconfig.get_config_var("Py_GIL_DISABLED")
"""A Python without the lock has no stable ABI; it runs the pure code."""

setup(
    ext_modules=[
        Extension(
            "blocklistd.kernel._kernel",
            sources=[f"{FOLDER}/{name}.c" for name in ("module", "text", "lookup", "hot", "flatten", "patch")],
            depends=[f"{FOLDER}/kernel.h"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
            py_limited_api=True,
            optional=True,  # without a compiler the pure code does the same
        )
    ]
    if STABLE
    else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE else {},
)
