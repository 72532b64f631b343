# SPDX-License-Identifier: MIT
"""Tests of what runs the product. They share the system tests' servers."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))


def pytest_configure(config):
    config.addinivalue_line("markers", "nightly: takes minutes; scripts/test.sh nightly")
