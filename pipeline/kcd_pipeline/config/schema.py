"""The keys of a recipe: every section and key, with its default, its bounds and its meaning.

`docs/reference/config.md` is made from this module and those of single sections.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from kcd_pipeline.config.augmentation import AugmentationConfig
from kcd_pipeline.config.condense import CondenseConfig
from kcd_pipeline.config.data import DataConfig
from kcd_pipeline.config.losses import KdLossConfig, LossConfig
from kcd_pipeline.config.models import (
    MOST_TEACHERS,
    AnyTeacher,
    OptimisationConfig,
    OtherTeacherConfig,
    StudentConfig,
    TeacherConfig,
)
from kcd_pipeline.config.places import FolderOrUrl, RunFolderPath, fill_in
from kcd_pipeline.config.section import (
    MANY,
    NOT_A_TRUTH_VALUE,
    Arguments,
    Batch,
    Count,
    Logit,
    Section,
    Seed,
    Size,
    Weight,
    name_or_part,
)
from kcd_pipeline.config.variants import variant_words
from kcd_stores import masked
from kcd_stores.sizes import DEFAULT_MEMORY

EncodingName = Literal["float32", "float16", "bitround", "int8", "topk", "sample", "pca", "pq", "auto"]
ENCODING_NAMES: tuple[str, ...] = get_args(EncodingName)

TrackerName = Literal["wandb", "mlflow", "trackio", "swanlab", "comet_ml"]  # as accelerate names them

METHODS = ("none", "kd", "kcd")


class StoreConfig(Section):
    """The knowledge store: the teacher's outputs for every view of every training sample."""

    path: FolderOrUrl = Field(description="where the zarr store is: a folder, or a URL such as s3://bucket/key")
    views: Annotated[int, Field(ge=1, le=10_000), NOT_A_TRUTH_VALUE] = Field(
        default=8, description="V: views of each sample that are stored"
    )
    encoding: EncodingName = Field(
        default="float16",
        description="how logits are stored; docs/concepts/encodings.md compares the encodings; auto: the smallest one "
        "within max_kl, by a short trial",
    )
    max_kl: Annotated[float, Field(gt=0, le=100), NOT_A_TRUTH_VALUE] = Field(
        default=1e-3,
        description="auto: largest mean KL divergence of stored from exact logits, in nats, at T = 1 and at T = 4",
    )
    keep_bits: Annotated[int, Field(ge=1, le=23), NOT_A_TRUTH_VALUE] = Field(
        default=7, description="bitround: bits that are kept of a float32's mantissa of 23"
    )
    int8_range: tuple[Logit, Logit] | None = Field(
        default=None,
        description="int8: lowest and highest logit that can be stored; null: from the logits of a short trial",
    )
    top_k: Annotated[int, Field(ge=0, le=MANY), NOT_A_TRUTH_VALUE] = Field(
        default=8,
        description="topk: classes that are kept in each row, at least 1; pca, pq: classes whose logits are corrected",
    )
    components: Annotated[int, Field(ge=1, le=1024), NOT_A_TRUTH_VALUE] = Field(
        default=64, description="pca: principal components that are kept, at most as many as there are classes"
    )
    code_bytes: Annotated[int, Field(ge=1, le=1024), NOT_A_TRUTH_VALUE] = Field(
        default=32, description="pq: bytes of a row besides those of corrected classes, at most as many as classes"
    )
    draws: Annotated[int, Field(ge=1, le=4096), NOT_A_TRUTH_VALUE] = Field(
        default=50, description="sample: classes that are drawn in each row"
    )
    features: bool = Field(
        default=False, description="store the teacher's penultimate features too, for losses that need them"
    )
    logits: bool = Field(
        default=True,
        description="store the teacher's logits; false, with features: a store for losses on features alone, of a "
        "teacher with any last layer or none",
    )
    features_encoding: Literal["float16", "int8"] = Field(default="float16", description="how features are stored")
    batch_size: Batch = Field(default=256, description="images in a forward pass of the teacher, while extracting")
    block_rows: Count | None = Field(
        default=None, description="rows in a block, which is one shard; null: chosen from the number of samples"
    )
    memory: Size = Field(
        default=DEFAULT_MEMORY,
        description="memory for the rows that training streams: if two whole views fit, they are read view by view, if "
        "not, through a block shuffle; see docs/concepts/streaming.md",
    )

    @model_validator(mode="after")
    def _require_something(self) -> "StoreConfig":
        if not self.logits and not self.features:
            raise ValueError("logits is false and features is false, so nothing would be stored: set features to true")
        return self


class MetricConfig(Section):
    """A measure of the user's own, on the logits of a whole split."""

    name: Annotated[str, Field(max_length=200), name_or_part()]
    arguments: Arguments = Field(default={})


def _name_alone(value: Any) -> Any:
    """Return the mapping that stands for the name of a metric without arguments."""
    return {"name": value} if isinstance(value, str) else value


Metric = Annotated[MetricConfig, BeforeValidator(_name_alone)]


class DistillConfig(OptimisationConfig):
    """How a student is trained: its loss is `ce_weight * CE + kd_weight * KD`, where `distill.loss` names KD."""

    method: Literal["none", "kd", "kcd"] = Field(
        default="kcd",
        description="none: learn from labels only; kd: from all stored knowledge; kcd: from knowledge that is "
        "condensed as training goes on",
    )
    rows: Annotated[int, Field(ge=1, le=10**15), NOT_A_TRUTH_VALUE] | None = Field(
        default=None,
        description="none, kd: samples to train on in all, each counted once an epoch: the last of the epochs is cut "
        "short there; null: all samples of every epoch. So a run costs as many rows as a condensed one",
    )
    temperature: Annotated[float, Field(ge=1e-3, le=1e3), NOT_A_TRUTH_VALUE] = Field(
        default=4.0, description="T: logits are divided by it before the softmax"
    )
    ce_weight: Weight = Field(
        default=0.1, description="weight of the cross-entropy with the labels; always 1 for method none"
    )
    kd_weight: Weight = Field(
        default=0.9, description="weight of the loss against the stored knowledge; always 0 for method none"
    )
    blend: Literal["probabilities", "logits"] = Field(
        default="probabilities",
        description="several teachers: how their rows are blended, as probabilities at the temperature or as logits; "
        "see docs/how-to/several-teachers.md",
    )
    kd_warmup: Annotated[int, Field(ge=0, le=100_000), NOT_A_TRUTH_VALUE] = Field(
        default=0,
        description="epochs over which kd_weight grows: epoch e of w, counted from 1, has e/w of it; DKD was published "
        "with 20",
    )
    kd_follows_kept: bool = Field(
        default=False,
        description="move weight from the labels to the knowledge as fewer samples are kept: with a fraction f of "
        "them, f of ce_weight stays and the rest of it is added to kd_weight; see docs/how-to/methods-and-losses.md",
    )
    loss: LossConfig = KdLossConfig()
    metrics: tuple[Metric, ...] = Field(
        default=(),
        description="measures of your own, each as package.module:callable or as a mapping of name and arguments: "
        "recorded of every epoch beside the accuracy",
    )

    @model_validator(mode="after")
    def _require_whole_stages(self) -> "DistillConfig":
        if self.rows is not None and self.method == "kcd":
            raise ValueError("rows ends an epoch early, which method kcd cannot: its policy says what it is taught")
        if self.sampler == "balanced" and self.method == "kcd":
            raise ValueError(
                "sampler is balanced, but method is kcd, whose policy says what is taught: set condense.balance to "
                "class, which keeps the shares of the classes, or method to kd or none"
            )
        if self.rows is not None and self.patience is not None:
            raise ValueError("rows says how many samples are trained on, and patience may stop before: set one of them")
        return self


class RunConfig(Section):
    """A student's run: its folder, and the hardware that it uses."""

    dir: RunFolderPath = Field(
        default=Path("runs/{student}-{variant}-seed{seed}"),
        description="folder of the run; {student}, {method}, {seed} and {variant} (the method and all that sets the "
        "run apart) are filled in",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="device to compute on; auto: a GPU if there is one"
    )
    precision: Literal["float32", "fp16", "bf16"] = Field(
        default="float32", description="precision of the arithmetic in training"
    )
    compile: bool = Field(
        default=False, description="compile the model with torch.compile: slower to start, faster steps on a GPU"
    )
    resident: Literal["auto", "device", "host"] = Field(
        default="auto",
        description="where the images and the current view's rows lie for a GPU: in its memory or in the host's; auto: "
        "in its memory if they fill at most half of what is free",
    )
    batch_norm: Literal["synchronised", "local"] = Field(
        default="synchronised",
        description="with several ranks, batch norms take the statistics of the whole batch, as one process would, or "
        "each rank those of its own part; see docs/how-to/several-ranks.md",
    )
    trackers: tuple[TrackerName, ...] = Field(
        default=(),
        description="trackers of experiments that are told what TensorBoard is shown, which is written in any case; "
        "see docs/how-to/trackers.md",
    )
    threads: Annotated[int, Field(ge=1, le=1024), NOT_A_TRUTH_VALUE] | None = Field(
        default=None, description="CPU threads of each process; null: torch's own choice"
    )


class Config(Section):
    """A recipe."""

    seed: Seed = Field(default=0, description="seed of the initial weights and of the order of samples")
    data: DataConfig
    augmentation: AugmentationConfig = AugmentationConfig()
    teacher: TeacherConfig
    other_teachers: Annotated[tuple[OtherTeacherConfig, ...], Field(max_length=MOST_TEACHERS - 1)] = Field(
        default=(),
        description="the teachers beside the first one, each with the keys of `teacher` and a `store`; a recipe may "
        "write all of them as a list under `teacher`",
    )
    store: StoreConfig
    student: StudentConfig
    distill: DistillConfig = DistillConfig()
    condense: CondenseConfig = CondenseConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _require_validation(self) -> "Config":
        teachers = [("teacher", teacher) for teacher in (self.teacher, *self.other_teachers)]
        for key, part in [*teachers, ("distill", self.distill)]:
            if part.patience is not None and self.data.validation is None:
                raise ValueError(
                    f"{key}.patience is {part.patience}, but data.validation is null: there are no validation images "
                    f"by which training could stop early. Set data.validation, such as 0.1, or {key}.patience to null"
                )
        return self

    @property
    def run_dir(self) -> Path:
        """`run.dir` with its placeholders filled in."""
        return self._fill_in(self.run.dir)

    @property
    def plans_from(self) -> Path | None:
        """`condense.plans_from` with its placeholders filled in."""
        return None if self.condense.plans_from is None else self._fill_in(self.condense.plans_from)

    @model_validator(mode="after")
    def _require_stores_apart(self) -> "Config":
        stores = [self.store.path, *(teacher.store for teacher in self.other_teachers)]
        twice = [store for store in stores if stores.count(store) > 1]
        if twice:
            raise ValueError(f"two teachers have one store, {masked(twice[0])}: give each a store of its own")
        return self

    @property
    def teacher_weights(self) -> tuple[float, ...]:
        """The weight of each teacher in their blend, as the recipe has it."""
        return (self.teacher.weight, *(teacher.weight for teacher in self.other_teachers))

    def for_teacher(self, number: int) -> "Config":
        """Return the config under which the teacher of this number (0: the first) is trained and its store extracted.

        It has no other teachers.
        """
        teacher: TeacherConfig = (self.teacher, *self.other_teachers)[number]
        alone = {name: getattr(teacher, name) for name in TeacherConfig.model_fields if name != "weight"}
        path = teacher.store if isinstance(teacher, OtherTeacherConfig) else self.store.path
        return self.model_copy(
            update={
                "teacher": TeacherConfig.model_construct(**alone),
                "other_teachers": (),
                "store": self.store.model_copy(update={"path": path}),
            }
        )

    def each_teacher(self) -> tuple["Config", ...]:
        """Return the config of each teacher, the first one first; see `for_teacher`."""
        return tuple(self.for_teacher(number) for number in range(1 + len(self.other_teachers)))

    def with_places_filled_in(self) -> "Config":
        """Return the config with {student} and {seed} filled in where data, weights and stores are."""
        data, store, student, names = self.data, self.store, self.student, self._names()
        others = [
            self._with_weights_filled_in(other).model_copy(update={"store": fill_in(other.store, names)})
            for other in self.other_teachers
        ]
        return self.model_copy(
            update={
                "data": data.model_copy(update={"root": self._fill_in(data.root)}),
                "teacher": self._with_weights_filled_in(self.teacher),
                "other_teachers": tuple(others),
                "student": student.model_copy(
                    update={"init": None if student.init is None else self._fill_in(student.init)}
                ),
                "store": store.model_copy(update={"path": fill_in(store.path, self._names())}),
            }
        )

    def _with_weights_filled_in(self, teacher: AnyTeacher) -> AnyTeacher:
        init = None if teacher.init is None else self._fill_in(teacher.init)
        return teacher.model_copy(update={"weights": self._fill_in(teacher.weights), "init": init})

    def plain(self) -> dict[str, Any]:
        """Return the config as plain JSON and YAML types, with every default written out and secrets of URLs masked."""
        tree: dict[str, Any] = _without_secrets(self.model_dump(mode="json"))
        return tree

    def _fill_in(self, path: Path) -> Path:
        return Path(fill_in(path, self._names()))

    def _names(self) -> dict[str, str]:
        """Return what each placeholder of a path stands for."""
        method = self.distill.method
        return {
            "student": re.sub(r"[/:]", "-", self.student.model),  # so that it is one folder, not several
            "method": method,
            "variant": "-".join([method, *variant_words(self.plain())]).replace(" ", "-"),
            "seed": str(self.seed),
        }


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return masked(value) if isinstance(value, str) else value
