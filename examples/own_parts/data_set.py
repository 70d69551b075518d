"""A data set of one's own: the first letters of the alphabet, drawn with Pillow's own font on noise.

A recipe names it, and `data.arguments` are its arguments:

```yaml
data:
  name: own_parts.data_set:Letters
  arguments: {letters: ABCDEF, each: 60}
```
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch.utils.data import Dataset


class Letters(Dataset[tuple[NDArray[np.uint8], int]]):
    """Grey images of letters, uint8 [side, side], and their labels.

    Each item is a pure function of the split and its index: views of it are made by the section `augmentation`.

    Parameters
    ----------
    split
        "train" or "test", and "validation" if `data.validation` asks for it.
    letters
        The letters, each of which is a class.
    each
        Images of each letter.
    side
        Pixels a side.
    """

    def __init__(self, split: str, letters: str = "ABCD", each: int = 40, side: int = 16) -> None:
        self.split, self.letters, self.each, self.side = split, letters, each, side
        self.classes = tuple(letters)  # the names of the classes, in the order of the labels

    def __len__(self) -> int:
        return len(self.letters) * self.each

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        """Return image `index` and its label."""
        label = index % len(self.letters)
        random = np.random.default_rng([*self.split.encode(), index])
        noise = random.integers(0, 128, (self.side, self.side), dtype=np.uint8)
        picture = Image.fromarray(noise)
        left, top = random.integers(1, self.side - 9, 2).tolist()
        ImageDraw.Draw(picture).text((left, top), self.letters[label], fill=255)
        return np.asarray(picture), label
