"""The section `condense`: how samples are valued, which of them a stage is taught, and how knowledge is blended."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from kcd_pipeline.config.places import RunFolderPath
from kcd_pipeline.config.section import (
    NOT_A_TRUTH_VALUE,
    Arguments,
    Epochs,
    Fraction,
    Section,
    name_or_part,
    require_no_arguments,
)

VALUE_NAMES = (
    "entropy",
    "loss",
    "gap",
    "margin",
    "el2n",
    "forgetting",
    "aum",
    "disagreement",
    "teacher_entropy",
    "excess",
)
POLICY_NAMES = ("kcd", "annealed", "infobatch", "rs2", "weighted")
UNRANKED_POLICIES = ("infobatch", "rs2", "weighted")  # they rank no samples and blend nothing


def _off(value: Any) -> Any:
    """Return the word `off`, which YAML 1.1 reads as false."""
    return "off" if value is False else value


class CondenseConfig(Section):
    """Knowledge condensation: samples are valued (OGVE), and each stage is taught some of them (VAKS, or others)."""

    policy: Annotated[str, Field(max_length=200), name_or_part(*POLICY_NAMES)] = Field(
        default="kcd",
        description="how a stage's samples are chosen: kcd, annealed (kcd that ends on all samples), infobatch, rs2, "
        "weighted, or package.module:callable; see docs/concepts/policies.md",
    )
    policy_arguments: Arguments = Field(default={}, description="keyword arguments of a policy of your own")
    value: Annotated[str, Field(max_length=200), name_or_part(*VALUE_NAMES)] = Field(
        default="entropy",
        description="worth of a sample at a visit: entropy (the paper), loss, gap, margin, el2n, forgetting, aum, "
        "disagreement, teacher_entropy, excess, or package.module:callable; see docs/concepts/values.md",
    )
    value_arguments: Arguments = Field(default={}, description="keyword arguments of a value function of your own")
    track: Literal["mean", "latest"] = Field(
        default="mean",
        description="V, the value of a sample: the running mean of its worth over all visits (eq. 12), or its worth at "
        "the latest visit",
    )
    interval: Epochs = Field(
        default=40, description="epochs in a stage; a condensation opens every stage but the first"
    )
    keep_ratio: Fraction = Field(
        default=0.7, description="fraction of the samples that are kept at the end of the schedule"
    )
    schedule: Literal["linear", "released", "constant"] = Field(
        default="linear",
        description="linear: the last stage is taught on keep_ratio; released: as the authors' code has it, which "
        "comes to keep_ratio only after the last stage; constant: every stage but the first is taught on keep_ratio",
    )
    alpha: Annotated[float, Field(ge=-10, le=10), NOT_A_TRUTH_VALUE] = Field(
        default=0.03, description="cost awareness: the score of a sample is V * F^alpha (eq. 13)"
    )
    keep: Literal["most", "least", "random"] = Field(
        default="most",
        description="kcd, annealed: which samples are kept, the most valued, the least valued, or random ones",
    )
    balance: Literal["none", "class"] = Field(
        default="none", description="class: no class keeps less than its share of all that is kept"
    )
    dropped: Literal["released", "new", "all"] = Field(
        default="released",
        description="which dropped samples are blended in: the ranks directly below the cut, as many as the stage "
        "keeps fewer than the one before, as the authors' code has it; or those that the stage before kept and this "
        "one drops; or all of K0, as the paper's text has it",
    )
    perturb: Annotated[Literal["knowledge", "pair", "teacher", "off"], BeforeValidator(_off)] = Field(
        default="knowledge",
        description="what is blended: the knowledge alone; image and knowledge together; images, which the teacher "
        "then judges; or nothing (samples are only dropped)",
    )
    space: Literal["logits", "probabilities"] = Field(
        default="logits",
        description="how knowledge is blended: as logits, z1 + eps*z0, or as probabilities at the temperature, "
        "(p1 + eps*p0) / (1 + eps)",
    )
    epsilon_max: Annotated[float, Field(ge=0, le=1e3), NOT_A_TRUTH_VALUE] = Field(
        default=0.3, description="strength of the blend at the end of the ramp (eq. 15)"
    )
    ramp: Literal["linear", "released"] = Field(
        default="linear",
        description="strength of the j-th of L blends, from 0: linear: epsilon_max * j/(L-1), so that the last has "
        "epsilon_max; released: epsilon_max * j/L, as the authors' code has it",
    )
    finish: Fraction = Field(
        default=0.125, description="annealed, infobatch: the last part of the epochs, which is taught all samples"
    )
    prune: Annotated[float, Field(gt=0, lt=1), NOT_A_TRUTH_VALUE] = Field(
        default=0.5, description="infobatch: probability with which a sample valued below the mean is left out"
    )
    uniform: Fraction = Field(
        default=0.1, description="weighted: share of the draws that do not look at values, which bounds the weights"
    )
    plans_from: RunFolderPath | None = Field(
        default=None,
        description="folder of a finished run whose plans are followed, stage by stage, instead of computing new ones; "
        "takes the placeholders of run.dir",
    )

    @model_validator(mode="after")
    def _require_takers_of_arguments(self) -> "CondenseConfig":
        require_no_arguments("value_arguments", self.value, self.value_arguments)
        require_no_arguments("policy_arguments", self.policy, self.policy_arguments)
        return self

    @model_validator(mode="after")
    def _require_convex_blends(self) -> "CondenseConfig":
        if self.perturb in ("pair", "teacher") and self.epsilon_max > 1:
            raise ValueError(
                f"perturb: {self.perturb} blends (1 - eps) of an image with eps of another: epsilon_max goes up to 1, "
                f"got {self.epsilon_max}"
            )
        return self

    @model_validator(mode="after")
    def _require_read_by_policy(self) -> "CondenseConfig":
        if self.policy not in UNRANKED_POLICIES:
            return self
        if self.keep != "most":
            raise ValueError(
                f"policy: {self.policy} does not rank samples, so keep: {self.keep} would change nothing. Leave it at "
                f"most, or take policy kcd or annealed."
            )
        if self.perturb in ("pair", "teacher"):
            raise ValueError(
                f"policy: {self.policy} blends nothing, so perturb: {self.perturb} would change nothing. Set perturb "
                f"to off, or take policy kcd or annealed."
            )
        return self

    @model_validator(mode="after")
    def _require_counted_over_visits(self) -> "CondenseConfig":
        if self.value == "forgetting" and self.track == "latest":
            raise ValueError("value: forgetting is a count over all visits: it needs track: mean")
        return self
