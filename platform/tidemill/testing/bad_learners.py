"""Learners that break one promise each: what the contract suite fails.

All are ``sgd`` but for that. As packages' learners they are opened by address:
``tidemill.testing.bad_learners:Unequal``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import SGDClassifier

from tidemill.contracts import Fit, FitJob, Parameter
from tidemill.errors import TargetUnusable
from tidemill.learning.sgd import SgdLearner

__all__ = ["BAD_LEARNERS"]


class Blind(SgdLearner):
    """Learns nothing."""

    def fit(self, job: FitJob) -> Fit:
        """All coefficients are nought."""
        fitted = super().fit(job)
        fitted.estimator.coef_ = np.zeros_like(fitted.estimator.coef_)
        return fitted


class Peeking(SgdLearner):
    """Knows the answer already."""

    def fit(self, job: FitJob) -> Fit:
        """Whatever the target says."""
        fitted = super().fit(job)
        fitted.estimator.coef_ = np.array([[2.0, -1.5, 0.7, 0.0, 0.0, 0.0]])
        return fitted


class Unequal(SgdLearner):
    """Draws from the system's chance."""

    def fit(self, job: FitJob) -> Fit:
        """Another model each time."""
        fitted = super().fit(job)
        fitted.estimator.coef_ = fitted.estimator.coef_ + np.random.default_rng().normal() / 1e6
        return fitted


class UnlistedClassifier(SGDClassifier):  # type: ignore[misc]
    """A type that its learner does not name."""


class Unlisted(SgdLearner):
    """Leaves a type that no list has: training ended well, and nobody could save it."""

    def fit(self, job: FitJob) -> Fit:
        """As sgd, in a class of its own."""
        return _of_class(super().fit(job), UnlistedClassifier)


class LookingUpClassifier(SGDClassifier):  # type: ignore[misc]
    """Answers from a table that a row of noughts does not touch."""

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """As ever, times an entry of the table."""
        return np.asarray(super().predict_proba(X) * self.table_[(X[:, :1] > 0).astype(int)])


class Unchecked(SgdLearner):
    """Looks at nothing of a loaded model."""

    estimators: ClassVar[tuple[str, ...]] = (f"{__name__}.LookingUpClassifier",)
    trusted: ClassVar[tuple[str, ...]] = estimators

    def fit(self, job: FitJob) -> Fit:
        """As sgd, with a table of ones."""
        fitted = _of_class(super().fit(job), LookingUpClassifier)
        fitted.estimator.table_ = np.ones(2)
        return fitted

    def check(self, estimator: Any, n_outputs: int) -> None:
        """All is well."""


class Coding(SgdLearner):
    """Answers with codes."""

    def fit(self, job: FitJob) -> Fit:
        """Its classes are numbers."""
        fitted = super().fit(job)
        fitted.estimator.classes_ = np.arange(len(job.classes))
        return fitted


class Unbalanced(SgdLearner):
    """Takes no notice of balanced weights."""

    def fit(self, job: FitJob) -> Fit:
        """As if none had been asked for."""
        return super().fit(replace(job, balanced=False))


class Overbalanced(SgdLearner):
    """Weighs the rarer class more than balanced weights are."""

    def fit(self, job: FitJob) -> Fit:
        """Some seven times as much."""
        fitted = super().fit(job)
        if job.balanced:
            fitted.estimator.intercept_ = fitted.estimator.intercept_ + 2.0
        return fitted


class Miscounting(SgdLearner):
    """Counts its epochs from nought."""

    def fit(self, job: FitJob) -> Fit:
        """The curve is one step early."""
        fitted = super().fit(job)
        return replace(fitted, curve=tuple((step - 1, value) for step, value in fitted.curve))


class Inventing(SgdLearner):
    """Has a curve where nothing was held out."""

    def fit(self, job: FitJob) -> Fit:
        """One step is made up."""
        fitted = super().fit(job)
        return replace(fitted, curve=fitted.curve or ((1, 0.5),))


class Weightless(SgdLearner):
    """Needs the less memory the more rows there are."""

    def needed_bytes(self, strategy: str, rows: int, n_features: int, n_outputs: int) -> int:  # noqa: ARG002
        """Below nought."""
        return -rows


class Contradictory(SgdLearner):
    """Has a default that it would refuse."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        **SgdLearner.parameters,
        "alpha": Parameter(-1.0, low=0),
    }


class Boasting(SgdLearner):
    """Says that it takes missing values."""

    takes_missing: ClassVar[bool] = True


class Content(SgdLearner):
    """Finds one class enough."""

    def fit(self, job: FitJob) -> Fit:
        """A constant, where there is nothing to tell apart."""
        try:
            return super().fit(job)
        except TargetUnusable:
            return Fit(DummyClassifier(), job.strategy, job.metric)


class Forgetful(SgdLearner):
    """Says that it goes on, and begins anew."""

    def fit(self, job: FitJob) -> Fit:
        """As if there were no start."""
        return super().fit(replace(job, start=None))


class SameClassifier(SGDClassifier):  # type: ignore[misc]
    """As scikit-learn's."""


class Aimless(SgdLearner):
    """Weighs all columns the same."""

    estimators: ClassVar[tuple[str, ...]] = (f"{__name__}.SameClassifier",)
    trusted: ClassVar[tuple[str, ...]] = estimators

    def fit(self, job: FitJob) -> Fit:
        """As sgd, in a class by which this learner is found."""
        return _of_class(super().fit(job), SameClassifier)

    def weights(self, estimator: Any) -> npt.NDArray[np.float64]:
        """One each."""
        return np.ones(estimator.n_features_in_)


class Heavy(SgdLearner):
    """Its module imports scikit-learn before anything is fitted."""


def _of_class(fitted: Fit, kind: type[SGDClassifier]) -> Fit:
    estimator = copy.copy(fitted.estimator)
    estimator.__class__ = kind
    return replace(fitted, estimator=estimator)


BAD_LEARNERS: dict[str, type[SgdLearner]] = {
    "test_a_damaged_model_is_refused_or_answers": Unchecked,
    "test_a_sealed_model_answers_the_same": Unlisted,
    "test_balanced_weights_leave_probabilities_true": Overbalanced,
    "test_balanced_weights_raise_the_rare_class": Unbalanced,
    "test_beats_the_baseline_clearly": Blind,
    "test_equal_fits_give_equal_bytes": Unequal,
    "test_every_strategy_fits_and_says_so": Weightless,
    "test_fits_without_validation_rows": Inventing,
    "test_goes_on_from_where_it_was": Forgetful,
    "test_its_facts_are_light": Heavy,
    "test_its_parameters_hold_together": Contradictory,
    "test_one_class_is_refused": Content,
    "test_predicts_the_labels": Coding,
    "test_says_the_truth_of_missing_values": Boasting,
    "test_shuffled_targets_teach_nothing": Peeking,
    "test_the_curve_has_an_entry_a_step": Miscounting,
    "test_weighs_the_columns": Aimless,
}
"""By the test of the contract suite that fails it."""
