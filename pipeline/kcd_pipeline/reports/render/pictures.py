"""Pictures inside a page: each is in its style sheet once, however many arms show it."""

import base64
import hashlib
import io
from collections.abc import Iterable
from functools import cached_property

from PIL import Image

from kcd_pipeline.reports.collect.samples import ShownSample, ShownSamples

MOST_BYTES = 800_000  # of all pictures; with the script that draws charts, a page stays below 3 MB
QUALITY = 90  # of WebP; a photograph of 32 pixels a side takes half a kilobyte


def data_uri(image: Image.Image) -> str:
    """Return an image as `data:image/webp;base64,...`."""
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


class Pictures:
    """The pictures of the samples of a page, in order, for as long as they stay below `most_bytes` together."""

    def __init__(self, shown: Iterable[ShownSamples], most_bytes: int = MOST_BYTES) -> None:
        self._class_of: dict[ShownSample, str] = {}
        self._uris: dict[str, str] = {}
        for samples in shown:
            found = {sample: data_uri(sample.image) for sample in (*samples.most, *samples.least)}
            new = {_name(uri): uri for uri in found.values()}
            if sum(map(len, (self._uris | new).values())) > most_bytes:
                break
            self._uris |= new
            self._class_of |= {sample: _name(uri) for sample, uri in found.items()}

    def has(self, samples: ShownSamples) -> bool:
        """Return True if the page has the pictures of these samples."""
        return all(sample in self._class_of for sample in (*samples.most, *samples.least))

    def class_of(self, sample: ShownSample) -> str:
        """Return the class of the element that shows the picture of `sample`."""
        return self._class_of[sample]

    @cached_property
    def css(self) -> str:
        """The rules of these classes."""
        return "\n".join(f".picture.{name}{{background-image:url({uri})}}" for name, uri in self._uris.items())


def _name(uri: str) -> str:
    return f"p-{hashlib.sha256(uri.encode()).hexdigest()[:12]}"
