"Kinds of tasks, one module each: what differs between them. A module that is put here is found by itself."
from pkgutil import iter_modules

from ..kind import KINDS

for found in iter_modules(__path__):
    KINDS.setdefault(found.name, f'{__name__}.{found.name}')
