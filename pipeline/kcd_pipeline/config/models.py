"""The sections of models: how they are trained, the teacher, the teachers beside it, and the student."""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from kcd_pipeline.config.optimizers import OptimizerName
from kcd_pipeline.config.places import FolderOrUrl, SharedFile
from kcd_pipeline.config.schedules import SCHEDULE_NAMES, require_schedule_arguments
from kcd_pipeline.config.section import (
    NOT_A_TRUTH_VALUE,
    Arguments,
    Batch,
    ClassMap,
    ClassWeights,
    Count,
    Epochs,
    Fraction,
    ModelName,
    Rate,
    Section,
    TeacherWeight,
    UnitInterval,
    is_part_name,
    name_or_part,
)

MOST_TEACHERS = 64

MODEL = "a model that `kcd-pipeline models` lists, or torchvision/NAME, timm/NAME, package.module:callable"
ARGUMENTS = "keyword arguments of a model that is not listed there; see docs/reference/models.md"
INIT = (
    "weights to begin training from, whatever classes their last layer is for: a file, or torchvision/DEFAULT or "
    "timm/pretrained; null: new random ones"
)


class OptimisationConfig(Section):
    """The optimizer and its schedule, by which teacher and students are trained."""

    epochs: Epochs = Field(default=240, description="passes over the training set")
    batch_size: Batch = Field(default=64, description="samples in a step")
    lr: Rate = Field(default=0.05, description="learning rate at the start")
    optimizer: OptimizerName = Field(
        default="sgd",
        description="an optimizer of torch (sgd, adam, adamw, rmsprop, ...) or timm (lion, lamb, ...), or one of your "
        "own, package.module:callable; docs/how-to/optimisation.md has all names",
    )
    optimizer_arguments: Arguments = Field(
        default={}, description="more arguments of the optimizer, such as betas of adamw"
    )
    momentum: Annotated[float, Field(ge=0, lt=1), NOT_A_TRUTH_VALUE] = Field(
        default=0.9, description="momentum of an optimizer that has it: sgd, rmsprop, lars, ..."
    )
    nesterov: bool = Field(default=False, description="use Nesterov momentum: sgd, lars, ...")
    weight_decay: Annotated[float, Field(ge=0, le=1e3), NOT_A_TRUTH_VALUE] = Field(
        default=5e-4, description="weight decay of an optimizer that has a name"
    )
    decay_biases_and_norms: bool = Field(
        default=True,
        description="weight decay is for all parameters; false: not for biases, scales of norms and what the model "
        "spares by itself, such as position embeddings",
    )
    schedule: Annotated[str, Field(max_length=200), name_or_part(*SCHEDULE_NAMES)] = Field(
        default="milestones",
        description="how the learning rate changes: milestones (it falls at some epochs), cosine and linear (it falls "
        "along a curve or a line towards 0), one-cycle (it rises and falls), or package.module:callable; see "
        "docs/how-to/optimisation.md",
    )
    schedule_arguments: Arguments = Field(
        default={},
        description="arguments of the schedule: end_factor of cosine and linear; pct_start, div_factor and "
        "final_div_factor of one-cycle; keyword arguments of one of your own",
    )
    warmup: Annotated[float, Field(ge=0, le=100_000), NOT_A_TRUTH_VALUE] = Field(
        default=0,
        description="epochs, or a fraction of one, over which the learning rate first rises along a line from a "
        "thousandth of lr to lr",
    )
    lr_changes: Literal["auto", "epoch", "step"] = Field(
        default="auto",
        description="when the learning rate changes: epoch, where each keeps the rate of its beginning; step, where "
        "each has its own; auto: step with a warmup, linear or one-cycle, else epoch",
    )
    milestones: tuple[Epochs, ...] | None = Field(
        default=None,
        description="milestones: epochs after which lr is multiplied by gamma; null: 5/8, 3/4 and 7/8 of epochs",
    )
    gamma: Fraction = Field(default=0.1, description="milestones: factor of lr at each of them")
    clip_norm: Annotated[float, Field(gt=0, le=1e6), NOT_A_TRUTH_VALUE] | None = Field(
        default=None,
        description="largest norm of all gradients of a step together: larger ones are scaled down to it; null: any",
    )
    accumulate: Annotated[int, Field(ge=1, le=2**16), NOT_A_TRUTH_VALUE] = Field(
        default=1,
        description="batches in a step: their gradients are the mean over all their samples, so that a step on a batch "
        "that memory could not hold is taken; each batch has statistics of its own in a batch norm",
    )
    ema: Annotated[float, Field(gt=0, lt=1), NOT_A_TRUTH_VALUE] | None = Field(
        default=None,
        description="decay of an exponential moving average of the weights, such as 0.999, which is evaluated and "
        "saved beside them; null: none; see docs/how-to/averaged-weights.md",
    )
    patience: Count | None = Field(
        default=None,
        description="epochs in a row without a better validation accuracy after which training stops early; null: "
        "never. It needs data.validation",
    )
    label_smoothing: UnitInterval = Field(
        default=0.0, description="s: the labels are (1 - s) of their class and s/C of each of the C classes"
    )
    class_weights: ClassWeights | None = Field(
        default=None,
        description="weights of the classes in the cross-entropy with the labels, scaled to a mean of 1 over the "
        "training images: balanced (by N/(C n_c), so that rare classes count as much), a list in the order of the "
        "classes, or a mapping by name (1 for the others); null: all equal",
    )
    sampler: Literal["shuffled", "balanced"] = Field(
        default="shuffled",
        description="the samples of an epoch: shuffled (each once) or balanced (as many draws, equally many of each "
        "class); see docs/how-to/classes.md",
    )

    @model_validator(mode="after")
    def _require_takers_of_arguments(self) -> "OptimisationConfig":
        if is_part_name(self.optimizer) and not self.decay_biases_and_norms:
            raise ValueError(
                f"decay_biases_and_norms is false, but {self.optimizer} groups the parameters by itself: set it to true"
            )
        require_schedule_arguments(self.schedule, self.schedule_arguments)
        return self

    @model_validator(mode="after")
    def _require_balance_once(self) -> "OptimisationConfig":
        if self.sampler == "balanced" and self.class_weights == "balanced":
            raise ValueError(
                "sampler is balanced and class_weights is balanced: each makes up for rare classes, so set one of them"
            )
        return self

    @model_validator(mode="after")
    def _require_order(self) -> "OptimisationConfig":
        if self.milestones is not None and list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must ascend, got {list(self.milestones)}")
        return self

    @model_validator(mode="after")
    def _require_room_for_warmup(self) -> "OptimisationConfig":
        if self.warmup and self.schedule == "one-cycle":
            raise ValueError(
                f"warmup is {self.warmup:g}, but the schedule is one-cycle, which rises by itself: set warmup to 0, "
                f"and schedule_arguments.pct_start to the fraction of the epochs over which it rises"
            )
        if self.warmup and self.warmup >= self.epochs:
            raise ValueError(
                f"warmup is {self.warmup:g} of {self.epochs} epochs, which leaves none at lr: set it lower, such as to "
                f"{self.epochs / 20:g}"
            )
        return self


class TeacherConfig(OptimisationConfig):
    """The teacher: its model, its weights, and how `train-teacher` trains it."""

    model: ModelName = Field(description=MODEL)
    arguments: Arguments = Field(default={}, description=ARGUMENTS)
    init: SharedFile | None = Field(default=None, description=INIT)
    classes: ClassMap | None = Field(
        default=None,
        description="a trained teacher of other classes: for each class of the data set, by name or in order, the "
        "teacher's class or classes (by name or index) that stand for it; logits of several are joined by logsumexp. "
        "null: its classes are the data set's; see docs/how-to/own-teacher.md",
    )
    weights: SharedFile = Field(
        description="the file of its weights, which train-teacher writes (safetensors) and extract-teacher reads; "
        "checkpoints by torch.save are read too, and torchvision/DEFAULT and timm/pretrained name published weights"
    )
    weight: TeacherWeight = Field(
        default=1.0, description="several teachers: weight of this one in their blend, relative to the others"
    )


class OtherTeacherConfig(TeacherConfig):
    """A teacher beside the first one, and its store."""

    store: FolderOrUrl = Field(description="where its zarr store is: a folder, or a URL such as s3://bucket/key")


class StudentConfig(Section):
    """The student."""

    model: ModelName = Field(description=MODEL)
    arguments: Arguments = Field(default={}, description=ARGUMENTS)
    init: SharedFile | None = Field(default=None, description=INIT)


AnyTeacher = TypeVar("AnyTeacher", bound=TeacherConfig)
