"""webvm.engine.browser: the shared suite, run inside Pyodide in Chromium."""

import ast
from pathlib import Path

import pytest

from . import page, shared

IN_PAGE = [node.name for node in ast.parse((Path(__file__).parent / "in_page.py").read_text()).body
           if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]


@pytest.fixture(scope="module")
def failures():
    return page.run("in_page.suite")


@pytest.mark.parametrize("name", [*shared.all_tests(), *IN_PAGE])
def test_in_the_page(name, failures):
    assert not failures[name], failures[name]
