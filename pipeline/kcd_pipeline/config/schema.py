"""What a recipe may say: every section and key, with its default, its bounds and what it means."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, JsonValue, WithJsonSchema, field_validator, model_validator

from kcd_pipeline.config.losses import KdLossConfig, LossConfig
from kcd_pipeline.config.section import Count, Fraction, NonNegative, Positive, Section, Seed
from kcd_pipeline.config.variants import variant_words
from kcd_stores.sizes import DEFAULT_MEMORY, parse_bytes

Pixel = Annotated[float, Field(ge=0, le=1)]


def _size(value: Any) -> str:
    """A size in bytes as it was written, once it is known to be one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("expected a size such as 512MB or 2GiB, or a number of bytes")
    parse_bytes(value)
    return str(value)


Size = Annotated[str, BeforeValidator(_size), WithJsonSchema({"type": "string", "format": "size (512MB, 2GiB, bytes)"})]


ModelName = Annotated[str, Field(min_length=1)]
MODEL = "one that `kcd-pipeline models` lists, torchvision/NAME, timm/NAME or package.module:callable"
ARGUMENTS = "for a model from elsewhere, by name; docs/reference/models.md"


def _off(value: Any) -> Any:
    """YAML 1.1 reads the word off as false."""
    return "off" if value is False else value


def _with_known_placeholders(path: Path) -> Path:
    unknown = [name for name in re.findall(r"{.*?}", str(path)) if name not in PLACEHOLDERS]
    if unknown:
        raise ValueError(f"it holds {unknown[0]}, but what is filled in is {', '.join(PLACEHOLDERS)}")
    return path


EncodingName = Literal["float32", "float16", "bitround", "int8", "topk", "sample"]
ENCODING_NAMES: tuple[str, ...] = get_args(EncodingName)

METHODS = ("none", "kd", "kcd")
PLACEHOLDERS = ("{student}", "{method}", "{variant}", "{seed}")  # of run.dir


class DataConfig(Section):
    """The images."""

    name: Literal["digits", "fashion-mnist", "cifar10", "cifar100", "imagefolder", "tiny-imagenet", "imagenet"] = Field(
        description="which data set"
    )
    root: Path = Field(default=Path("data"), description="the folder that holds it; digits needs none")
    download: bool = Field(default=False, description="fetch it into root when it is not there (torchvision sets)")
    image_size: Count | None = Field(
        default=None,
        description="folders of images: scale and centre-crop to this many pixels a side (tiny-imagenet: 64, imagenet: "
        "224 of 256, if not given)",
    )
    on_the_fly: bool | None = Field(
        default=None,
        description="folders of images: decode each when it is needed, not all into memory; if not given, "
        "tiny-imagenet and imagenet are",
    )
    workers: Annotated[int, Field(ge=0)] = Field(
        default=2, description="processes that decode on the fly, ahead of need; 0: none but the trainer's own"
    )
    limit_per_class: Count | None = Field(
        default=None, description="take only the first so many training images of each class, for trials"
    )
    test_limit_per_class: Count | None = Field(default=None, description="the same of test images")
    mean: tuple[Pixel, ...] | None = Field(
        default=None,
        description="of each channel, of pixels scaled to 0..1; the data set's own if not given, which a teacher of "
        "other make may not have been trained with",
    )
    std: tuple[Positive, ...] | None = Field(default=None, description="standard deviation, as mean")

    @model_validator(mode="after")
    def _both_or_neither(self) -> "DataConfig":
        if len(self.mean or ()) != len(self.std or ()):
            raise ValueError(f"mean and std must have a number for each channel, got {self.mean} and {self.std}")
        return self


class AugmentationConfig(Section):
    """The views of a sample: each is a pure function of (seed, sample, view)."""

    name: Literal["none", "crop-flip", "resized-crop-flip"] = Field(
        default="crop-flip", description="which family of views"
    )
    seed: Seed = Field(default=0, description="of the views, apart from the run's seed: students share a store")
    padding: Annotated[int, Field(ge=0)] = Field(default=4, description="crop-flip: pixels added on each side")
    padding_mode: Literal["zeros", "reflect"] = Field(default="zeros", description="crop-flip: what they hold")
    flip: bool = Field(default=True, description="mirror left to right with probability one half")
    scale: tuple[Fraction, Fraction] = Field(
        default=(0.5, 1.0), description="resized-crop-flip: area of the crop, as a fraction of the image"
    )
    ratio: tuple[Positive, Positive] = Field(
        default=(0.75, 4 / 3), description="resized-crop-flip: width over height of the crop"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "AugmentationConfig":
        for name in ("scale", "ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must run from small to large, got [{low}, {high}]")
        return self


class OptimisationConfig(Section):
    """SGD with momentum, as teacher and students are trained alike."""

    epochs: Count = Field(default=240, description="passes over the training set")
    batch_size: Count = Field(default=64, description="samples a step")
    lr: Positive = Field(default=0.05, description="learning rate before any decay")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.9, description="of SGD")
    nesterov: bool = Field(default=False, description="Nesterov's form of momentum")
    weight_decay: NonNegative = Field(default=5e-4, description="of SGD, on all parameters")
    schedule: Literal["milestones", "cosine"] = Field(default="milestones", description="how lr decays")
    milestones: tuple[Count, ...] | None = Field(
        default=None,
        description="epochs at which lr is multiplied by gamma; 5/8, 3/4, 7/8 of epochs if not given",
    )
    gamma: Fraction = Field(default=0.1, description="factor at each milestone")

    @model_validator(mode="after")
    def _ascending(self) -> "OptimisationConfig":
        if self.milestones is not None and list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must ascend, got {list(self.milestones)}")
        return self


class TeacherConfig(OptimisationConfig):
    """The teacher: which model, where its weights are, how `train-teacher` trains it."""

    model: ModelName = Field(description=MODEL)
    arguments: dict[str, JsonValue] = Field(default={}, description=ARGUMENTS)
    weights: Path = Field(
        description="file that train-teacher writes (safetensors) and extract-teacher reads (also checkpoints by "
        "torch.save); or torchvision/DEFAULT, timm/pretrained"
    )


class StoreConfig(Section):
    """The knowledge store."""

    path: str = Field(description="of the zarr store: a folder, or a URL such as s3://bucket/key")
    views: Count = Field(default=8, description="V: augmentation draws of each sample that are stored")
    encoding: EncodingName = Field(
        default="float16", description="how logits are laid down; docs/concepts/encodings.md compares them"
    )
    keep_bits: Annotated[int, Field(ge=1, le=23)] = Field(default=7, description="bitround: bits of mantissa kept")
    int8_range: tuple[float, float] | None = Field(
        default=None, description="int8: the lowest and highest logit that can be held; from a trial if not given"
    )
    top_k: Count = Field(default=8, description="topk: classes kept a row")
    draws: Count = Field(default=50, description="sample: classes drawn a row")
    features: bool = Field(default=False, description="keep the teacher's penultimate features too, for losses on them")
    features_encoding: Literal["float16", "int8"] = Field(default="float16", description="how features are laid down")
    batch_size: Count = Field(default=256, description="images a teacher forward pass, while extracting")
    block_rows: Count | None = Field(default=None, description="rows a block (= a shard); chosen from N if not given")
    memory: Size = Field(
        default=DEFAULT_MEMORY,
        description="what streamed rows may take: whole views where two fit, else a block shuffle; "
        "docs/concepts/streaming.md",
    )


class StudentConfig(Section):
    """The student."""

    model: ModelName = Field(description=MODEL)
    arguments: dict[str, JsonValue] = Field(default={}, description=ARGUMENTS)


class DistillConfig(OptimisationConfig):
    """How a student is trained: loss = ce_weight * CE + kd_weight * the loss that `distill.loss` names."""

    method: Literal["none", "kd", "kcd"] = Field(
        default="kcd", description="none: labels only; kd: all knowledge, always; kcd: condensed as it goes"
    )
    temperature: Positive = Field(default=4.0, description="T of the soft targets")
    ce_weight: NonNegative = Field(default=0.1, description="of the labels' cross-entropy (none: always 1)")
    kd_weight: NonNegative = Field(default=0.9, description="of the stored knowledge (none: always 0)")
    loss: LossConfig = KdLossConfig()


class CondenseConfig(Section):
    """Knowledge condensation: OGVE ranks, VAKS keeps, drops and perturbs."""

    interval: Count = Field(default=40, description="epochs a stage; a condensation opens every stage but the first")
    keep_ratio: Fraction = Field(default=0.7, description="fraction of samples kept at the end of the schedule")
    alpha: Annotated[float, Field(ge=-10, le=10)] = Field(
        default=0.03, description="cost awareness: score = V * F^alpha (eq. 13)"
    )
    epsilon_max: NonNegative = Field(default=0.3, description="strength of the blend at the bottom of K1L (eq. 15)")
    schedule: Literal["linear", "released"] = Field(
        default="linear",
        description="linear: the last stage keeps keep_ratio; released: as the authors' code does",
    )
    dropped: Literal["new", "all"] = Field(
        default="new", description="which dropped samples are blended in: newly dropped ones, or all of K0"
    )
    space: Literal["logits", "probabilities"] = Field(
        default="logits", description="where: z1 + eps*z0, or (p1 + eps*p0) / (1 + eps) at the temperature"
    )
    perturb: Annotated[Literal["knowledge", "pair", "off"], BeforeValidator(_off)] = Field(
        default="knowledge",
        description="what K1L is blended into: the knowledge, image and knowledge together, or nothing (drop only)",
    )
    keep: Literal["most", "least", "random"] = Field(
        default="most", description="which samples are kept: the most valued, the least valued, or random ones"
    )
    value: Literal["mean", "current"] = Field(
        default="mean", description="V: the running mean of the entropy (eq. 12), or the entropy at the latest visit"
    )

    plans_from: Path | None = Field(
        default=None,
        description="a run whose plans are taken, stage by stage, instead of being computed; placeholders as in "
        "run.dir",
    )

    @field_validator("plans_from")
    @classmethod
    def _known(cls, path: Path | None) -> Path | None:
        return None if path is None else _with_known_placeholders(path)

    @model_validator(mode="after")
    def _convex(self) -> "CondenseConfig":
        if self.perturb == "pair" and self.epsilon_max > 1:
            raise ValueError(
                f"perturb: pair blends (1 - eps) with eps: epsilon_max goes up to 1, got {self.epsilon_max}"
            )
        return self


class RunConfig(Section):
    """Where a student's run goes, and on what it runs."""

    dir: Path = Field(
        default=Path("runs/{student}-{variant}-seed{seed}"),
        description="folder of the run; {student}, {method}, {variant} (the method, with what sets it apart: "
        "kcd-drop-only) and {seed} are filled in",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="auto: a GPU where there is one")
    precision: Literal["float32", "fp16", "bf16"] = Field(default="float32", description="of training arithmetic")
    compile: bool = Field(default=False, description="torch.compile the model: slower to begin, faster steps on a GPU")
    resident: Literal["auto", "device", "host"] = Field(
        default="auto",
        description="where images and the current view wait for a GPU: in its memory, in the host's, or in its memory "
        "where they take at most half of what is free",
    )
    batch_norm: Literal["synchronised", "local"] = Field(
        default="synchronised",
        description="several ranks: over the batch of all of them, as one process would, or each over its own part; "
        "docs/how-to/several-ranks.md",
    )
    threads: Count | None = Field(default=None, description="CPU threads a process; torch's own choice if not given")

    @field_validator("dir")
    @classmethod
    def _known(cls, path: Path) -> Path:
        return _with_known_placeholders(path)


class Config(Section):
    """A recipe."""

    seed: Seed = Field(default=0, description="of initial weights and of the order of samples")
    data: DataConfig
    augmentation: AugmentationConfig = AugmentationConfig()
    teacher: TeacherConfig
    store: StoreConfig
    student: StudentConfig
    distill: DistillConfig = DistillConfig()
    condense: CondenseConfig = CondenseConfig()
    run: RunConfig = RunConfig()

    @property
    def run_dir(self) -> Path:
        """`run.dir` with its placeholders filled in."""
        return self._filled(self.run.dir)

    @property
    def plans_from(self) -> Path | None:
        """`condense.plans_from` with its placeholders filled in."""
        return None if self.condense.plans_from is None else self._filled(self.condense.plans_from)

    def _filled(self, path: Path) -> Path:
        text = str(path)
        student = re.sub(r"[/:]", "-", self.student.model)  # one folder, whatever the name has in it
        method = self.distill.method
        variant = "-".join([method, *variant_words(self.plain())]).replace(" ", "-")
        for name, value in zip(PLACEHOLDERS, (student, method, variant, str(self.seed)), strict=True):
            text = text.replace(name, value)
        return Path(text)

    def plain(self) -> dict[str, Any]:
        """As plain JSON and YAML types, every default spelled out."""
        return self.model_dump(mode="json")
