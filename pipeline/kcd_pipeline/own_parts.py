"""Parts of the user's own, named in a recipe as `package.module:callable`: models, value functions, policies.

A part that was passed to a function of the Python interface as an object is recorded as `object:package.module.Class`.
That name tells people what it was; nothing is ever imported by it.
"""

import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

from kcd_pipeline.errors import UserError

PASSED = "object:"  # how the name of a part that was passed as an object begins


def is_own_part(name: str) -> bool:
    """Return True if `name` has the form of a part of the user's own."""
    return ":" in name


def is_passed_object(name: str) -> bool:
    """Return True if `name` was recorded for a part that was passed as an object."""
    return name.startswith(PASSED)


def passed_name(part: object) -> str:
    """Return the name by which an object that was passed is recorded: `object:package.module.Class`."""
    kind = type(part)
    parts = re.findall(r"\w+", f"{kind.__module__}.{kind.__qualname__}".replace("<locals>", ""))
    return f"{PASSED}{'.'.join(parts)}"


def load_part(name: str, key: str) -> Callable[..., Any]:
    """Return the callable `name`, `package.module:callable`, importable from the environment or the working folder.

    Parameters
    ----------
    key
        The key of the recipe that names it, for messages.

    Raises
    ------
    UserError
        If the module cannot be imported, lacks the callable, or has something else under its name, or if the part was
        passed as an object.
    """
    if is_passed_object(name):
        raise UserError(
            f"{key} is '{name}': it was passed as an object from Python, and no name leads to it. Pass it again to the "
            f"function of kcd_pipeline that made this run or store, or name it as package.module:callable."
        )
    module_name, _, attribute = name.partition(":")
    try:
        with working_folder_importable():
            part = attrgetter(attribute)(importlib.import_module(module_name))
    except (Exception, SystemExit) as error:  # importing runs another's code, which may raise anything
        reason = f"{error}" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
        raise UserError(
            f"there is no '{name}', which {key} names: {reason}. Expected package.module:callable, importable from the "
            f"environment or from {Path.cwd()}."
        ) from error
    if not callable(part):
        raise UserError(f"'{name}', which {key} names, is a {type(part).__name__}, expected something to call")
    return part


def part_digest(name: str, key: str) -> str:
    """Return the SHA-256, in hex, of the source of the part `name`.

    It is that of the module's file; also of the file that defines the part, if a package offers what another module of
    it defines. Other modules that the part uses are not looked at.

    Raises
    ------
    UserError
        If the part cannot be loaded, or has no file of source.
    """
    named = name.partition(":")[0]
    defined = str(getattr(load_part(name, key), "__module__", named))
    same_package = defined.partition(".")[0] == named.partition(".")[0]
    digest = hashlib.sha256()
    for module in sorted({named, defined if same_package else named}):
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is None or not Path(file).is_file():
            raise UserError(
                f"'{name}', which {key} names, has no file of source (module {module}), so a run could not tell later "
                f"whether it is still the same. Put a function that calls it into a file of your own."
            )
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


@contextmanager
def working_folder_importable() -> Iterator[None]:
    """Put the working folder on `sys.path`: `python -m` does that, an installed command does not."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
