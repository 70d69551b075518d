"""Plain data from YAML, read safely and within bounds, with numbers as people write them.

Every YAML text of the program comes through here: recipes, the values of `--set`, and the config of a run, which
anybody may have written. The reader is PyYAML's safe one, with four differences: numbers are those of YAML 1.2 (`010`
is ten, `5e-4` is a number, `1:30` and dates are text), equal keys are refused, tags such as `!!int` are refused, and
so is a text whose size, depth or number of values is not that of a recipe.
"""

import copy
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from kcd_pipeline.errors import UserError

MAX_BYTES = 100_000  # a recipe has about 2,000; PyYAML reads 100,000 in about a second
MAX_DEPTH = 32
MAX_VALUES = 10_000  # counted as often as aliases repeat them
MAX_KEY = 100  # characters
MAX_DIGITS = 100  # characters of a number; Python itself refuses 4,301 digits

INT, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
KEPT_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "merge")}  # of those that PyYAML sees in a word
DIGITS = "[0-9]+(?:_[0-9]+)*"
INT_PATTERN = re.compile(rf"[-+]?(?:{DIGITS}|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
FLOAT_PATTERN = re.compile(
    rf"[-+]?(?:(?:{DIGITS}(?:\.(?:{DIGITS})?)?|\.{DIGITS})(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))\Z|\.(?:nan|NaN|NAN)\Z"
)


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader, made narrower as the head of this module says."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth, self._values = 0, 0

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            self._require_few(node, depth=0)
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise ComposerError(None, None, f"the tag {tag} is not read here: write the value alone", event.start_mark)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ComposerError(None, None, f"it is nested deeper than {MAX_DEPTH} levels", event.start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ComposerError(None, None, "a key must be a word, not a list or a mapping", key.start_mark)
            if len(key.value) > MAX_KEY:
                raise ComposerError(None, None, f"a key has {len(key.value):,} characters", key.start_mark)
            if key.value in seen:
                raise ComposerError(None, None, f"key '{key.value}' is there twice", key.start_mark)
            seen.add(key.value)
        return node

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        text: str = super().construct_scalar(node)
        if "\0" in text or not _is_unicode(text):
            raise ConstructorError(None, None, f"{text[:40]!r} holds what is not a character", node.start_mark)
        return text

    def _require_few(self, node: yaml.Node, depth: int) -> None:
        """Raise if the values below `node`, each alias followed, are too many or too deep."""
        self._values += 1
        if self._values > MAX_VALUES:
            raise ComposerError(None, None, f"it holds more than {MAX_VALUES:,} values", node.start_mark)
        if depth > MAX_DEPTH:  # also where a list holds itself
            raise ComposerError(None, None, f"it is nested deeper than {MAX_DEPTH} levels", node.start_mark)
        if isinstance(node, yaml.SequenceNode):
            for child in node.value:
                self._require_few(child, depth + 1)
        elif isinstance(node, yaml.MappingNode):
            for _, child in node.value:
                self._require_few(child, depth + 1)


def _construct_number(loader: _PlainLoader, node: yaml.ScalarNode) -> int | float:
    text = loader.construct_scalar(node)
    if len(text) > MAX_DIGITS:
        raise ConstructorError(None, None, f"a number has {len(text):,} characters", node.start_mark)
    text = text.lower().replace("_", "")
    if node.tag == FLOAT:
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return int(text, {"0o": 8, "0x": 16}.get(text.lstrip("+-")[:2], 10))


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag in KEPT_TAGS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_constructor(INT, _construct_number)
_PlainLoader.add_constructor(FLOAT, _construct_number)


class _PlainDumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which also quotes texts that this reader, unlike PyYAML's, would take for numbers."""


for numbers in (_PlainLoader, _PlainDumper):
    numbers.add_implicit_resolver(INT, INT_PATTERN, list("-+0123456789"))
    numbers.add_implicit_resolver(FLOAT, FLOAT_PATTERN, list("-+.0123456789"))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises
    ------
    UserError
        If the file cannot be read, is not YAML, has a key twice, is larger or deeper than a recipe can be, or holds
        anything but a mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read as YAML: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"{path} cannot be read as YAML: it is larger than {MAX_BYTES:,} bytes, which no recipe is")
    try:
        tree = parse_yaml(content.decode("utf-8"))
    except ValueError as error:  # a UnicodeDecodeError is one too
        raise UserError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold sections such as `data:` and `teacher:`, found {type(tree).__name__}")
    return tree


def parse_yaml(text: str) -> Any:
    """Return the plain data that a YAML text stands for: mappings, lists, texts, numbers, true, false and None.

    Raises
    ------
    ValueError
        If it is not YAML, or not of the size of a recipe; the message is one line that names the place.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES:,} characters")
    try:
        return copy.deepcopy(_load(text))
    except yaml.YAMLError as error:
        raise ValueError(_place_and_problem(error)) from error
    except OverflowError as error:  # an escape such as "\Uffffffff", which PyYAML makes a character without a look
        raise ValueError(f"it holds what is not a character ({error})") from error


@lru_cache(maxsize=64)
def _load(text: str) -> Any:
    """Return what `text` holds, kept: a run reads its config after every epoch, and PyYAML takes 50 ms for one."""
    return yaml.load(text, _PlainLoader)


def write_yaml(tree: Mapping[str, Any]) -> str:
    """Return plain data as YAML that `parse_yaml` reads back as the same data."""
    text: str = yaml.dump(dict(tree), Dumper=_PlainDumper, sort_keys=False)
    return text


def _place_and_problem(error: yaml.YAMLError) -> str:
    """Return what PyYAML found, in one line and without the text around it, which may hold a password."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"character {error.position + 1} is U+{error.character:04X}, which YAML does not allow"
    return " ".join(str(error).split())


def _is_unicode(text: str) -> bool:
    """Return False if `text` holds half of a surrogate pair, which no file or terminal takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
