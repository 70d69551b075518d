"""Parts of the user's own, named in a recipe as `package.module:callable`, with their arguments in a mapping beside it.

`KINDS` has every key that takes one. A part is imported only where the recipe of the user names it: what a store or a
run says of its parts is data.

A part that was passed to a function of the Python interface as an object is recorded as `object:package.module.Class`.
That name tells people what it was; nothing is ever imported by it.
"""

import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from kcd_pipeline.errors import UserError

PASSED = "object:"  # how the name of a part that was passed as an object begins
LONGEST_PASSED = 150  # characters of a class's name: a recipe takes no longer ones


@dataclass(frozen=True, kw_only=True)
class PartKind:
    """A kind of part: the keys of a recipe that name it, and its contract.

    Attributes
    ----------
    keys
        The keys that name such a part, each with the key that holds its arguments.
    positional, keywords
        The names of what every call gives it, by place and by name.
    offered
        The names of what a call gives it if it has parameters of these names.
    returns
        What the call must return.
    """

    keys: Mapping[str, str]
    positional: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    offered: tuple[str, ...] = ()
    returns: str

    @property
    def called(self) -> str:
        """Its call, such as `f(parameters, lr=, **arguments)`."""
        given = [*self.positional, *(f"{name}=" for name in (*self.keywords, *self.offered)), "**arguments"]
        return f"f({', '.join(given)})"


KINDS: dict[str, PartKind] = {
    "model": PartKind(
        keys={"teacher.model": "teacher.arguments", "student.model": "student.arguments"},
        offered=("channels", "classes"),
        returns="a torch.nn.Module: images [B, channels, H, W] to logits [B, classes]",
    ),
    "data set": PartKind(
        keys={"data.name": "data.arguments"},
        keywords=("split",),
        offered=("root",),
        returns="a torch Dataset of (image, label)",
    ),
    "augmentation": PartKind(
        keys={"augmentation.name": "augmentation.arguments"},
        keywords=("seed",),
        returns="an object with parameters(index, view, height, width) and apply(images, parameters)",
    ),
    "loss": PartKind(
        keys={"distill.loss.name": "distill.loss.arguments"},
        positional=("student", "teacher", "labels"),
        offered=("temperature",),
        returns="over logits, a loss for each sample [B]; over features, one number for the batch",
    ),
    "value function": PartKind(
        keys={"condense.value": "condense.value_arguments"},
        keywords=("logits", "labels", "teacher"),
        returns="a worth for each sample [B], float32",
    ),
    "policy": PartKind(
        keys={"condense.policy": "condense.policy_arguments"},
        positional=("situation",),
        returns="a kcd_pipeline.condensation.Choice",
    ),
    "optimizer": PartKind(
        keys={f"{section}.optimizer": f"{section}.optimizer_arguments" for section in ("teacher", "distill")},
        positional=("parameters",),
        keywords=("lr",),
        returns="a torch.optim.Optimizer",
    ),
    "schedule": PartKind(
        keys={f"{section}.schedule": f"{section}.schedule_arguments" for section in ("teacher", "distill")},
        positional=("epoch",),
        keywords=("epochs", "lr"),
        returns="the learning rate of that epoch, at least 0",
    ),
    "metric": PartKind(
        keys={"distill.metrics": "distill.metrics"}, positional=("logits", "labels"), returns="a finite number"
    ),
}


class OwnPart:
    """A part of the user's own with the arguments of its recipe, which can be called as its kind is.

    Parameters
    ----------
    name
        Its name in the recipe, `package.module:callable`.
    key
        The key that names it, one of `KINDS`.
    arguments
        Its arguments in the recipe.

    Raises
    ------
    UserError
        If it cannot be loaded, or does not take what it will be called with.
    """

    def __init__(self, name: str, key: str, arguments: Mapping[str, Any]) -> None:
        self.name, self.key, self.arguments = name, key, dict(arguments)
        self._part = load_part(name, key)
        kind = next(kind for kind in KINDS.values() if key in kind.keys)
        self._left_out = {name for name in kind.offered if not accepts(self._part, name)}
        self._require_callable(kind)

    def __call__(self, *given: Any, **keywords: Any) -> Any:
        """Call it; what it is only offered and does not take is left out."""
        offered = {name: value for name, value in keywords.items() if name not in self._left_out}
        return self._part(*given, **offered, **self.arguments)

    def _require_callable(self, kind: PartKind) -> None:
        own = kind.keys[self.key]
        given = [*kind.keywords, *(name for name in kind.offered if name not in self._left_out)]
        if twice := [name for name in given if name in self.arguments]:
            raise UserError(
                f"{own} has '{twice[0]}', which '{self.name}' is given in every call: {kind.called}. Leave it out."
            )
        try:
            signature = inspect.signature(self._part)
        except (TypeError, ValueError):  # some callables written in C have no signature
            return
        try:
            signature.bind(*kind.positional, **dict.fromkeys(given), **self.arguments)
        except TypeError as error:
            with_these = f"the arguments {self.arguments}" if self.arguments else "no arguments"
            raise UserError(
                f"'{self.name}', which {self.key} names, cannot be called as {kind.called} with {with_these}: {error}. "
                f"Arguments are set by {own}."
            ) from error


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
    return f"{PASSED}{'.'.join(parts)[-LONGEST_PASSED:].lstrip('.0123456789')}"


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


def accepts(part: Callable[..., Any], keyword: str) -> bool:
    """Return True if `part` can be called with this keyword argument; False if its signature is not known."""
    try:
        parameters = inspect.signature(part).parameters.values()
    except (TypeError, ValueError):  # some callables written in C have no signature
        return False
    return any(p.name == keyword or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def digests_of(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the digest of each part of the user's own among (key, name) pairs, by its key; others are passed over.

    A key with several parts, such as distill.metrics, has one digest of all of them.

    Raises
    ------
    UserError
        If a part cannot be loaded, or has no file of source.
    """
    found: dict[str, list[str]] = {}
    for key, name in names:
        if is_own_part(name) and not is_passed_object(name):  # the state of an object that was passed is hashed
            found.setdefault(key, []).append(part_digest(name, key))
    return {
        key: digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
        for key, digests in found.items()
    }


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
