"""What goes into the page's memory snapshot; called once, by web/snapshot.mjs, when a site is built.

A snapshot holds no files and no JavaScript objects. So whatever the machine imports is imported here, and of every other
module of the package the code is kept, to be run when somebody imports it: those that reach for `js` need the page first.
"""

import gc
import importlib.abc
import importlib.util
import pkgutil
import sys
from types import CodeType

import webvm
import webvm.machine
from webvm.machine import remember


class Kept(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports modules from code that is in memory."""

    def __init__(self, codes: dict[str, CodeType]):
        self._codes = codes

    def find_spec(self, name, path, target=None):
        return importlib.util.spec_from_loader(name, self) if name in self._codes else None

    def is_package(self, name):
        return any(other.startswith(name + ".") for other in self._codes)

    def get_code(self, name):
        return self._codes[name]

    def get_source(self, name):
        return None


def prepare() -> None:
    """Make memory what a snapshot should hold."""
    codes = {}
    for module in pkgutil.walk_packages(webvm.__path__, "webvm.", onerror=lambda name: None):
        if module.name not in sys.modules:
            codes[module.name] = importlib.util.find_spec(module.name).loader.get_code(module.name)
    remember()
    sys.meta_path.insert(0, Kept(codes))
    gc.collect()
    gc.freeze()
