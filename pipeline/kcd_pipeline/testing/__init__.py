"""Checks for the tests of a user's own parts."""

from kcd_pipeline.testing.augmentation import BrokenRuleError, check_augmentation

__all__ = ["BrokenRuleError", "check_augmentation"]
