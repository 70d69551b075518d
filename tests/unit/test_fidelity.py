"""Measures of an encoding, compared with scipy and with numbers worked out by hand."""

import numpy as np
import pytest
from scipy import special, stats

from kcd_stores import make_encoding, measure_fidelity
from kcd_stores.knowledge.fidelity import mean_divergence


def test_the_divergence_is_scipys_at_temperature_four() -> None:
    random = np.random.default_rng(0)
    teacher, stored = random.normal(0, 5, (2, 40, 7))
    p, q = (special.softmax(logits / 4, axis=1) for logits in (teacher, stored))
    expected = [stats.entropy(*rows) for rows in zip(p, q, strict=True)]
    assert mean_divergence(teacher, stored) == pytest.approx(np.mean(expected))


def test_a_class_without_mass_has_no_bound() -> None:
    assert mean_divergence(np.zeros((1, 2)), np.array([[0.0, -1e4]])) is None


def test_float32_loses_nothing_and_takes_four_bytes_a_logit_at_the_most() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (3000, 100)).astype(np.float32)
    found = measure_fidelity(logits, make_encoding("float32"))
    assert (found.rows, found.mean_kl, found.top1) == (3000, 0.0, 1.0)
    assert 300 < found.bytes_per_row < 400


def test_int8_is_seen_to_confuse_classes_that_are_closer_than_its_steps() -> None:
    """Steps of 0.4: (0.05, 0.1) both become 0, so of two equally likely orders one is lost."""
    logits = np.array([[0.05, 0.1], [0.1, 0.05]] * 50, np.float32)
    found = measure_fidelity(logits, make_encoding("int8", low=-51.0, high=51.0))
    assert found.top1 == 0.5
    by_hand = special.softmax([0.1 / 4, 0.05 / 4])
    assert found.mean_kl == pytest.approx(stats.entropy(by_hand, [0.5, 0.5]))
