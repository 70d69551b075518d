"""The words that people read about the value of a sample, by the value function that measured it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ValueWords:
    """Words about V, the value of a sample.

    Attributes
    ----------
    name
        Name of the value function.
    meaning
        V in a sentence that begins with `the value of a sample is`.
    unit
        Unit of V; empty if it has none.
    """

    name: str
    meaning: str
    unit: str = ""

    @property
    def axis(self) -> str:
        """Label of an axis, such as `value V (entropy, nats)`."""
        return f"value V ({self.name}{f', {self.unit}' if self.unit else ''})"


_MEAN = "the running mean of "
_WORDS = {
    words.name: words
    for words in (
        ValueWords(name="entropy", meaning=f"{_MEAN}the entropy of the student's prediction", unit="nats"),
        ValueWords(name="loss", meaning=f"{_MEAN}the cross-entropy of the prediction with the label", unit="nats"),
        ValueWords(name="gap", meaning=f"{_MEAN}the divergence of the student from what it is taught", unit="nats"),
        ValueWords(name="margin", meaning=f"{_MEAN}1 minus the lead of the most probable class over the second"),
        ValueWords(name="el2n", meaning=f"{_MEAN}the distance of the predicted probabilities from the label"),
        ValueWords(
            name="forgetting",
            meaning="how often the student forgot it, or the number of visits where it never learned it",
            unit="events",
        ),
        ValueWords(name="aum", meaning=f"{_MEAN}the largest logit of another class minus that of the label"),
        ValueWords(name="disagreement", meaning="the share of visits at which student and teacher chose other classes"),
        ValueWords(name="teacher_entropy", meaning=f"{_MEAN}the entropy of what the student is taught", unit="nats"),
        ValueWords(name="excess", meaning=f"{_MEAN}the student's cross-entropy minus the teacher's", unit="nats"),
    )
}


def value_words(measure: str) -> ValueWords:
    """Return the words about values measured by `measure`, a value function of the program or of the user's own."""
    return _WORDS.get(measure, ValueWords(name=measure, meaning=f"{_MEAN}what {measure} returns"))
