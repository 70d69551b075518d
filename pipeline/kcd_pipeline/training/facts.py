"""The facts in the header of a file of weights: what another program needs to use the model, and how it was trained."""

from typing import Any

from kcd_pipeline.config import StudentConfig, TeacherConfig
from kcd_pipeline.data import Dataset
from kcd_pipeline.data.preprocessing import Preprocessing
from kcd_pipeline.versions import software_versions


def weights_facts(
    part: StudentConfig | TeacherConfig,
    dataset: Dataset,
    *,
    method: str,
    epochs: int,
    seed: int,
    store: str | None = None,
    teacher: str | None = None,
    init: str | None = None,
) -> dict[str, Any]:
    """Return the facts of a model that is trained on `dataset`, as plain data: for equal runs they are equal.

    Parameters
    ----------
    part
        The section of the recipe that names the model.
    method
        How it is trained: a method of `distill`, or `labels` for a teacher.
    store
        The identity of the knowledge store that it learns from, if any; of several, with commas between them.
    teacher
        The name of the teacher's model, if it learns from one; of several, with commas between them.
    """
    names = {} if dataset.label_names is None else {"label_names": list(dataset.label_names)}
    taught = {"teacher": teacher, "store": store} if store is not None else {}
    return {
        "model": part.model,
        **({"arguments": part.arguments} if part.arguments else {}),
        "classes": list(dataset.classes),
        **names,
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "image": Preprocessing.of(dataset).describe(),
        "trained": {
            "method": method,
            "epochs": epochs,
            "seed": seed,
            "dataset": {key: dataset.description[key] for key in ("name", "size", "fingerprint")},
            **taught,
            **({} if init is None else {"init": init}),
            "software": software_versions(),
        },
    }
