"""One word about a window, and one sentence that names features and figures."""

import itertools
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tidemill.config import HarmConfig
from tidemill.drift import Finding, Performance, WindowVerdict, verdict_of
from tidemill.drift.performance.measure import DENIED
from tidemill.metrics import HIGHER_IS_BETTER, in_words
from tidemill.schema import Verdict

HARM = HarmConfig()
FINE = Performance(
    "roc_auc", 0.80, 5000, 1200, 0.79, 0.77, 0.81, 0.01, harmed=False, acquitted=True
)
HARMED = replace(FINE, measured=0.70, low=0.68, high=0.72, loss=0.10, harmed=True, acquitted=False)
UNSURE = replace(FINE, measured=0.75, low=0.68, high=0.82, loss=0.05, acquitted=False)
UNLABELLED = Performance(
    "roc_auc", 0.80, 5000, estimated=0.79, estimated_low=0.77, estimated_high=0.81,
    estimated_loss=0.01, suspected=False,
)  # fmt: skip
SUSPECTED = replace(UNLABELLED, estimated=0.70, estimated_loss=0.10, suspected=True)


def finding(kind, feature="fare", test="psi", value=0.5, threshold=0.1, flagged=True, detail=""):
    return Finding(kind, feature, test, value, threshold, None, flagged, detail or f"{feature}!")


BROKEN = finding("quality", "distance", "null_rate", detail="distance is missing in 40% of rows")
DRIFT = finding("drift")
NEW = finding("territory", "zone", "new_categories", 0.34, 0.05)
BEYOND = finding("territory", "temperature", "range", 0.8, 0.05)
AGAIN = finding("repeats", "", "duplicates", 0.17, 0.05)
CHANGE = finding("change", "", "page_hinkley", 0.4, 0.1, detail="the mean error has grown")


@pytest.mark.parametrize(
    ("findings", "performance", "name"),
    [
        ([], FINE, "healthy"),
        ([], None, "healthy"),
        ([], UNLABELLED, "healthy"),
        ([replace(DRIFT, flagged=False)], FINE, "healthy"),
        ([DRIFT], FINE, "harmless drift"),
        ([DRIFT], None, "harmless drift"),
        ([finding("output drift", "prediction")], FINE, "harmless drift"),
        ([finding("label drift", "truth")], FINE, "harmless drift"),
        ([CHANGE], FINE, "harmless drift"),
        ([], SUSPECTED, "suspected harm"),
        ([DRIFT], SUSPECTED, "suspected harm"),
        ([CHANGE], None, "suspected harm"),
        ([CHANGE], UNLABELLED, "suspected harm"),
        ([CHANGE], replace(FINE, acquitted=False), "suspected harm"),
        ([], replace(SUSPECTED, harmed=False, measured=0.79, loss=0.01), "healthy"),
        ([], UNSURE, "healthy"),
        ([CHANGE], UNSURE, "confirmed harm"),
        ([], HARMED, "confirmed harm"),
        ([DRIFT], HARMED, "confirmed harm"),
        ([BROKEN], HARMED, "broken feed"),
        ([BROKEN, CHANGE, DRIFT], SUSPECTED, "broken feed"),
        ([BROKEN, NEW], FINE, "broken feed"),
        ([NEW], None, "harmless drift"),
        ([NEW, BEYOND], FINE, "harmless drift"),
        ([NEW], HARMED, "confirmed harm"),
        ([NEW, BEYOND], SUSPECTED, "suspected harm"),
        ([AGAIN], FINE, "healthy"),
    ],
)
def test_verdicts(findings, performance, name):
    """Each kind of evidence leads to its word; measured beats estimated, broken beats all."""
    assert verdict_of(findings, performance, HARM).name == name


def test_the_order_of_findings_does_not_matter():
    """The same findings in any order: the same verdict, to the letter."""
    findings = [DRIFT, finding("drift", "zone", value=0.9), CHANGE, finding("drift", "eta")]
    said = {verdict_of(order, HARMED, HARM).sentence for order in itertools.permutations(findings)}
    assert len({frozenset(s.split("drifted: ")[0].split()) for s in said}) == 1
    assert {verdict_of(o, HARMED, HARM).features[0] for o in itertools.permutations(findings)} == {
        "zone"
    }


def test_a_broken_feed_wins_whatever_else_is_found():
    """No other evidence can make anything else of a window with a broken feed."""
    others = [DRIFT, CHANGE, finding("output drift", "prediction")]
    for size in range(4):
        for some in itertools.combinations(others, size):
            for performance in (None, FINE, HARMED, UNSURE, SUSPECTED):
                verdict = verdict_of([*some, BROKEN], performance, HARM)
                assert verdict.name == "broken feed"
                assert verdict.features == ("distance",)
                assert "distance is missing in 40% of rows" in verdict.sentence


def test_harm_is_said_beside_a_broken_feed():
    """Inverted labels in a broken window: the word, the figure and the feed in one sentence."""
    inverted = replace(HARMED, measured=0.20, low=0.18, high=0.22, loss=0.60)
    verdict = verdict_of([BROKEN, BEYOND, finding("label drift", "truth")], inverted, HARM)
    assert (verdict.name, verdict.harm) == ("broken feed", "confirmed harm")
    assert verdict.sentence == (
        "The feed looks broken: distance is missing in 40% of rows; beside it confirmed harm: "
        "ROC AUC fell from 0.800 on the held-out rows to 0.200 (0.180 to 0.220) on 1,200 labelled "
        "rows; drifted: truth (psi 0.50); new territory: temperature (80% beyond the training "
        "range)."
    )
    acquitted = verdict_of([BROKEN], FINE, HARM)
    assert acquitted.harm == ""
    assert "beside it ROC AUC is 0.790" in acquitted.sentence
    assert verdict_of([BROKEN], SUSPECTED, HARM).harm == "suspected harm"


@pytest.mark.parametrize("performance", [None, FINE, HARMED, UNSURE, UNLABELLED, SUSPECTED])
@pytest.mark.parametrize("others", [[], [DRIFT], [CHANGE], [NEW, DRIFT]])
def test_the_feed_changes_no_harm(performance, others):
    """Whatever is found beside it, harm is what it is without a broken feed and new territory."""
    alone = verdict_of(others, performance, HARM).harm
    for more in ([BROKEN], [BROKEN, BEYOND], [BEYOND], [AGAIN]):
        assert verdict_of([*others, *more], performance, HARM).harm == alone


def test_new_territory_is_named_with_its_share():
    """Features furthest beyond first, and repeats at the end."""
    verdict = verdict_of([NEW, BEYOND, AGAIN], FINE, HARM)
    assert verdict.features == ("temperature", "zone")
    assert verdict.sentence.endswith(
        "; new territory: temperature (80% beyond the training range), zone (34% in categories "
        "never seen); 17% of the events had been sent before."
    )


def test_an_estimate_without_a_voice_is_said_to_have_none():
    """It acquits as little as it accuses, and the sentence says why."""
    voiceless = replace(UNLABELLED, suspected=None)
    verdict = verdict_of([NEW], voiceless, HARM)
    assert verdict.name == "harmless drift"
    assert "the estimate (0.790) is not trusted: inputs left known territory" in verdict.sentence
    assert "not trusted" not in verdict_of([NEW], replace(FINE, estimated=0.79), HARM).sentence


def test_one_class_is_named_as_the_cause():
    """Enough labels, and no figure: because all of them are of one class."""
    one = Performance("roc_auc", 0.80, 5000, 1200)
    said = verdict_of([], one, HARM, one_class="no").sentence
    assert said.startswith(
        "Because all 1,200 labelled rows are of one class, 'no', ROC AUC cannot be measured"
    )
    estimated = replace(one, estimated=0.79, estimated_low=0.77, estimated_high=0.81,
                        estimated_loss=0.01, suspected=False)  # fmt: skip
    said = verdict_of([], estimated, HARM, one_class="no").sentence
    assert "of one class, 'no', ROC AUC is estimated at 0.790" in said
    few = replace(one, labelled_rows=20)
    assert "too few" in verdict_of([], few, HARM, one_class="no").sentence


def test_the_sentence_names_figures_and_features():
    """Figure, band, rows, held-out figure, how much worse, and what drifted furthest first."""
    drifts = [finding("drift", f"f{i}", value=0.2 + i / 10) for i in range(5)]
    verdict = verdict_of(drifts, HARMED, HARM)
    assert verdict.features == ("f4", "f3", "f2", "f1", "f0")
    assert verdict.sentence == (
        "ROC AUC fell from 0.800 on the held-out rows to 0.700 (0.680 to 0.720) on 1,200 labelled "
        "rows; drifted: f4 (psi 0.60), f3 (psi 0.50), f2 (psi 0.40) and 2 more."
    )


def test_sentences_for_every_case_are_one_sentence():
    """One full stop, at the end, and no figure that is not a number."""
    for findings in ([], [DRIFT], [CHANGE], [BROKEN], [BROKEN, CHANGE, NEW], [NEW, AGAIN]):
        for performance in (None, FINE, HARMED, UNSURE, UNLABELLED, SUSPECTED,
                            Performance("mae", 2.0, 10, 5)):  # fmt: skip
            verdict = verdict_of(findings, performance, HARM)
            assert verdict.name in list(Verdict)
            assert verdict.sentence.endswith(".")
            assert ". " not in verdict.sentence
            assert "nan" not in verdict.sentence


FEW = replace(UNLABELLED, labelled_rows=12, measured=0.6, low=0.3, high=0.9, loss=0.2)


@pytest.mark.parametrize(
    ("performance", "said"),
    [
        (None, "The mean error has grown."),
        (
            replace(FEW, suspected=None, estimated=math.nan),
            "The mean error has grown; the 12 labelled rows of this window alone are too few to "
            "measure ROC AUC.",
        ),
        (
            FEW,
            "The mean error has grown; ROC AUC is estimated at 0.790 from the outputs, which "
            "cannot see that the same outputs have come to mean something else.",
        ),
        (
            replace(FEW, suspected=None, doubt="it was wrong"),
            "The mean error has grown; the 12 labelled rows of this window alone are too few to "
            "measure ROC AUC; the estimate (0.790) is not trusted: it was wrong.",
        ),
    ],
)
def test_where_only_the_errors_accuse_they_come_first_and_nothing_denies_them(performance, said):
    """What one window cannot tell, or an estimate cannot see, is no answer to a suspicion."""
    verdict = verdict_of([CHANGE], performance, HARM)
    assert (verdict.name, verdict.sentence) == ("suspected harm", said)
    broken = verdict_of([BROKEN, CHANGE], performance, HARM).sentence
    assert "beside it suspected harm: the mean error has grown" in broken


def test_an_estimate_that_its_own_labels_deny_is_said_to_be_wrong():
    """Beside what was measured; else an estimate that labels answered needs no word."""
    denied = replace(HARMED, estimated=0.79, suspected=False, doubt=DENIED)
    said = verdict_of([], denied, HARM).sentence
    assert said.endswith("; the estimate (0.790) is not trusted: these labels contradict it.")
    assert "estimate" not in verdict_of([], replace(denied, doubt=""), HARM).sentence


def test_other_rows_are_told_as_such():
    """A figure that fell with the mix of rows is explained, and is no harm."""
    performance = replace(HARMED, harmed=False, mixed=True)
    verdict = verdict_of([DRIFT], performance, HARM)
    assert verdict.name == "harmless drift"
    assert "log loss has not grown" in verdict.sentence


def test_errors_in_the_targets_unit_are_told_as_shares():
    """A mean error of 3 beside 2 is 50% more."""
    performance = Performance("mae", 2.0, 900, 900, 3.0, 2.9, 3.1, 0.5, harmed=True)
    assert verdict_of([], performance, HARM).sentence == (
        "Mean absolute error rose from 2.000 on the held-out rows to 3.000 (2.900 to 3.100) on "
        "900 labelled rows, 50.0% more."
    )


def test_an_estimate_is_told_as_one():
    """Before labels nothing fell yet, as far as anybody knows."""
    assert verdict_of([], SUSPECTED, HARM).sentence.startswith(
        "Before labels, ROC AUC is estimated to have fallen from 0.800 on the held-out rows to "
    )


@pytest.mark.parametrize("metric", HIGHER_IS_BETTER)
def test_no_sentence_has_a_name_of_the_code(metric):
    """People read words, whatever the figure and the verdict."""
    better = HIGHER_IS_BETTER[metric]
    worse = 0.6 if better else 1.0
    measured = Performance(metric, 0.8, 900, 900, worse, worse - 0.1, worse + 0.1, 0.2, harmed=True)
    for harmed in (True, False):
        sentence = verdict_of([CHANGE], replace(measured, harmed=harmed), HARM).sentence
        assert sentence.lower().startswith(in_words(metric).lower())
        assert "_" not in sentence


def test_verdicts_travel_as_json():
    """The features come back as they were."""
    verdict = verdict_of([DRIFT], HARMED, HARM)
    assert WindowVerdict.from_json(verdict.to_json()) == verdict


def test_the_dashboard_knows_each_verdict():
    """The page has a word, an icon and a tone for each of them, and for no other."""
    script = Path(__file__).parents[2] / (
        "monitoring/tidemill_monitor/dashboard/static/js/verdicts.js"
    )
    table = script.read_text().partition("VERDICTS = {")[2].partition("};")[0]
    assert set(re.findall(r'^ *"?([a-z ]+?)"?: {', table, re.MULTILINE)) == set(Verdict)
