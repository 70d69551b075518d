"""The stores of several teachers, blended into one that a student is taught from."""

from collections.abc import Sequence

from kcd_pipeline.config import Config
from kcd_pipeline.distillation.judge import judges_blends
from kcd_pipeline.errors import UserError
from kcd_stores import BlendedStores, KnowledgeStore, is_condensed


def knowledge_of(config: Config, stores: Sequence[KnowledgeStore]) -> KnowledgeStore | BlendedStores:
    """Return the one store of a recipe, or the blend of the stores of its several teachers.

    Raises
    ------
    UserError, StoreUsageError
        If the recipe or a store does not go with several teachers.
    """
    if len(stores) == 1:
        return stores[0]
    _require_logits_alone(config, stores)
    return BlendedStores(
        stores, weights=config.teacher_weights, blend=config.distill.blend, temperature=config.distill.temperature
    )


def _require_logits_alone(config: Config, stores: Sequence[KnowledgeStore]) -> None:
    """Raise UserError if more than the stored logits of whole data sets is asked for."""
    taught = f"the recipe has {len(stores)} teachers, whose logits are blended"
    if judges_blends(config):
        raise UserError(
            f"{taught}, but condense.perturb is teacher, by which one teacher is shown blended pictures. Set it to "
            f"knowledge, pair or off, or take one teacher."
        )
    if stores[0].encoding.feature_columns:
        raise UserError(
            f"{taught}, but distill.loss.name is {config.distill.loss.name}, which is on penultimate features: those "
            f"of different teachers have no common meaning. Choose a loss on logits, or take one teacher."
        )
    for store in stores:
        if is_condensed(store):
            raise UserError(
                f"{taught} sample by sample, but the store at {store.location} is a condensed set, which has some of "
                f"the samples alone. Give the store that it was condensed from, or take one teacher."
            )
