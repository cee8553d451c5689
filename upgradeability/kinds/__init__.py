"""Kinds of tasks, one module each: what differs between them

A module that is put here is found by itself. Names with an underscore are further rooms of a kind,
such as `recommendation_files`.
"""
from pkgutil import iter_modules

MODULES = {found.name: f"{__name__}.{found.name}" for found in iter_modules(__path__) if "_" not in found.name}
