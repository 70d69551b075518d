"""YAML files read as plain data, with equal keys refused."""

from pathlib import Path
from typing import Any

import yaml

from kcd_pipeline.errors import UserError


class _UniqueKeyLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes the last of two equal keys, made to refuse them as YAML itself does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for place, key in enumerate(keys):
            if key.value in [earlier.value for earlier in keys[:place]]:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key.value}' is there twice", key.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises
    ------
    UserError
        If the file cannot be read, is not YAML, has a key twice, or holds anything but a mapping.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold sections such as `data:` and `teacher:`, found {type(tree).__name__}")
    return tree
