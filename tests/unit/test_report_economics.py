"""The savings of a store, worked out by hand."""

import pytest

from kcd_pipeline.reports.compute.economics import store_economics


def test_a_store_of_ten_seconds_shared_by_two_students() -> None:
    # 100 rows in 10 s: 0.1 s a row. Students of 40 and 20 rows would have paid 4 s and 2 s live, 3 s on average:
    # the store pays off at ceil(10 / 3) = 4 students. Two share it now, 5 s each, 10 - 6 = 4 s short.
    cost = store_economics(10.0, 100, [40, 20])
    assert cost.seconds_per_row == pytest.approx(0.1)
    assert cost.live_seconds == pytest.approx((4.0, 2.0))
    assert cost.seconds_per_student == pytest.approx(5.0)
    assert cost.pays_off_at == 4
    assert not cost.paid_off
    assert cost.saved_seconds == pytest.approx(-4.0)


def test_one_long_training_pays_for_a_store_by_itself() -> None:
    # 24 epochs on 8 stored views: three times the rows of the store
    cost = store_economics(2.0, 8, [24])
    assert (cost.pays_off_at, cost.paid_off) == (1, True)
    assert cost.saved_seconds == pytest.approx(4.0)


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.7, 0.8984476799996628, 1e-9])
@pytest.mark.parametrize("students", [3, 7, 49])
def test_a_store_that_is_paid_exactly_is_paid_whatever_its_seconds(seconds: float, students: int) -> None:
    # each student takes 1/students of the rows, so exactly that many pay for it; floats would sometimes be one off
    cost = store_economics(seconds, 11 * students, [11] * students)
    assert cost.pays_off_at == students
    assert cost.paid_off
    assert cost.saved_seconds == 0


def test_blends_that_the_teacher_judged_are_not_spared() -> None:
    # 0.1 s a row; of 40 + 20 rows 12 were judged by the teacher, so 48 were spared, 24 by each of the two on average:
    # the store of 100 rows pays off at ceil(100 / 24) = 5 students, and 52 rows are missing yet
    cost = store_economics(10.0, 100, [40, 20], 12)
    assert (cost.pays_off_at, cost.paid_off) == (5, False)
    assert cost.saved_seconds == pytest.approx(-5.2)
    assert cost.live_seconds == pytest.approx((4.0, 2.0))
    never = store_economics(10.0, 100, [40], 40)
    assert (never.pays_off_at, never.paid_off) == (None, False)


def test_students_without_knowledge_share_nothing() -> None:
    assert store_economics(6.0, 10, [0, 30, 0]).seconds_per_student == pytest.approx(6.0)
    nobody = store_economics(6.0, 10, [0])
    assert (nobody.student_count, nobody.seconds_per_student) == (0, None)
    assert (nobody.pays_off_at, nobody.paid_off) == (None, False)


def test_a_store_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="0 rows"):
        store_economics(1.0, 0, [1])
