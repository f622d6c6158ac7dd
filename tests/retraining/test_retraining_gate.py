"""Who serves after a retraining: the figure that accused decides, a change of meaning counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from tidemill.config import HarmConfig
from tidemill.drift import HeldOut, PerformanceModel, other_answers
from tidemill.engines import LocalEngine
from tidemill.errors import ConfigError
from tidemill.learning import predict_scores
from tidemill.metrics import STRETCHES, Lead, figures_of, lead_of
from tidemill.profiling import fold
from tidemill.retraining.gate import Evidence, deciding_figure, excuse, rule
from tidemill.schema import Column, ColumnType, Purpose, Role, TableSchema, Task
from tidemill.settings import Settings
from tidemill.stages import StageContext
from tidemill.stages.shard_figures import measure_shards, measure_stretches, stretch_ends
from tidemill.storage import ShardManifest, Workspace
from tidemill.tracking import Tracker, load_champion

LIMITS = {"min_improvement": 0.0, "max_regression": 0.02}
SCHEMAS = {
    Task.BINARY: TableSchema(
        (Column("y", ColumnType.CATEGORICAL, Purpose.TARGET, "dictionary"),),
        Task.BINARY,
        ("no", "yes"),
    ),
    Task.REGRESSION: TableSchema(
        (Column("y", ColumnType.NUMERIC, Purpose.TARGET, "float64", (-1.0, 0.0, 1.0)),),
        Task.REGRESSION,
    ),
}


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def logits(rows, seed=0):
    """What a perfect model knows of each row, and a class drawn by it."""
    rng = np.random.default_rng(seed)
    known = rng.normal(0, 2, rows)
    return known, (rng.random(rows) < sigmoid(known)).astype(int)


def parts(task, scores, truth):
    """Figures by stretch."""
    cuts = np.array_split(np.arange(len(truth)), STRETCHES)
    classes = SCHEMAS[task].classes
    return [figures_of(task, scores[at], truth[at], classes=classes) for at in cuts]


def shown(task, metric, accused, proof, frozen=None, *, usable=True):
    """Evidence of what challenger and champion say of rows: (new, old, truth) of both sets."""
    figure = deciding_figure(accused, metric, task)
    new, old = (parts(task, scores, proof[2]) for scores in proof[:2])
    held = [parts(task, scores, (frozen or proof)[2]) for scores in (frozen or proof)[:2]]
    return Evidence(
        metric=metric,
        figure=figure,
        proof={"challenger": fold(new).values(), "champion": fold(old).values()},
        frozen={"challenger": fold(held[0]).values(), "champion": fold(held[1]).values()},
        leads={name: lead_of(name, new, old) for name in dict.fromkeys((figure, *accused, metric))},
        rows=len(proof[2]),
        champion=3,
        frozen_lead=lead_of(metric, *held),
        frozen_usable=usable,
    )


def off_in_calibration(rows=600, by=1.5, seed=0):
    """(new, old, truth): both rank rows alike, and the champion is too sure of the second class."""
    known, truth = logits(rows, seed)
    return sigmoid(known), sigmoid(known + by), truth


def test_the_figure_that_accused_decides():
    """ROC AUC is equal, so that it could not; the log loss is told, with both values."""
    evidence = shown(Task.BINARY, "roc_auc", ("log_loss", "accuracy"), off_in_calibration())
    values = [evidence.proof[who]["log_loss"] for who in ("challenger", "champion")]

    assert not rule(shown(Task.BINARY, "roc_auc", (), off_in_calibration()), **LIMITS).better
    ruling = rule(evidence, **LIMITS)
    assert ruling.better
    assert (
        f"log loss, which confirmed the harm, is {values[0]:.4f} on 600 proof rows against "
        f"champion 3's {values[1]:.4f}; ROC AUC is" in ruling.reason
    )


def test_a_challenger_that_decides_like_a_dummy_is_called_so_and_not_refused():
    """In the reason, which goes wherever the gate's answer does."""
    evidence = shown(Task.BINARY, "log_loss", (), off_in_calibration())
    plain = rule(evidence, min_improvement=0.0, max_regression=0.02)
    doubted = replace(evidence, doubt="every one of the 600 rows is decided 'no'")
    said = rule(doubted, min_improvement=0.0, max_regression=0.02)
    assert said.better == plain.better
    told = "; of the challenger on proof, every one of the 600 rows is decided 'no'"
    assert (told in said.reason, told in plain.reason) == (True, False)


def test_the_tuned_figure_decides_where_it_accused_too():
    """However many others did."""
    assert deciding_figure(("accuracy", "roc_auc"), "roc_auc", Task.BINARY) == "roc_auc"
    assert deciding_figure((), "roc_auc", Task.BINARY) == "roc_auc"
    assert deciding_figure(("rmse", "bias"), "r2", Task.REGRESSION) == "rmse"
    with pytest.raises(ConfigError, match="no figure of a binary model"):
        deciding_figure(("rmse",), "roc_auc", Task.BINARY)


def test_one_that_is_worse_by_the_accusing_figure_is_refused():
    """Its ROC AUC is equal: the tuned figure says nothing against it."""
    new, old, truth = off_in_calibration()
    ruling = rule(shown(Task.BINARY, "roc_auc", ("log_loss",), (old, new, truth)), **LIMITS)
    assert not ruling.better
    assert not ruling.forgot
    assert ruling.reason.startswith("no better on proof: log loss, which confirmed the harm")


def test_what_the_other_accuser_got_worse_by_is_no_mending():
    """Better in one of the figures that accused, and beyond chance worse in another."""
    _, truth = logits(3000)
    sure = np.where(truth == 1, 0.9, 0.1)
    new = np.where(np.arange(3000) % 10 == 0, 1 - sure, sure)  # a tenth is answered wrongly
    old = np.where(truth == 1, 0.55, 0.45)
    evidence = shown(Task.BINARY, "roc_auc", ("log_loss", "accuracy"), (new, old, truth))
    assert "accuracy, which confirmed the harm too" in rule(evidence, **LIMITS).reason


@pytest.mark.parametrize("rows", [24, 60, 600])
def test_better_by_chance_is_refused(rows):
    """A challenger that answers at random around the champion, ahead on just these rows."""
    for seed in range(40):
        known, truth = logits(rows, seed)
        noise = np.random.default_rng(1000 + seed).normal(0, 0.05, rows)
        proof = (sigmoid(known + noise), sigmoid(known), truth)
        for figure in ("roc_auc", "log_loss"):
            evidence = shown(Task.BINARY, "roc_auc", (figure,), proof)
            lead = evidence.leads[figure]
            if 0 < lead.value <= lead.by_chance:
                ruling = rule(evidence, **LIMITS)
                assert not ruling.better
                assert "chance" in ruling.reason
                break
        else:
            continue
        return
    raise AssertionError("nobody was ahead by chance")


def test_chance_promotes_one_in_twenty():
    """The lead of an equal model is taken for certain as often as stated."""
    certain = 0
    for seed in range(200):
        errors = np.random.default_rng(seed).normal(size=(2, 300))
        new, old = (parts(Task.REGRESSION, each, np.zeros(300)) for each in errors)
        certain += lead_of("mae", new, old).certain
    assert 3 <= certain <= 19


def test_few_rows_prove_nothing():
    """29 rows, every one of them answered better."""
    truth = np.arange(29) % 2
    proof = (np.where(truth, 0.9, 0.1), np.where(truth, 0.6, 0.4), truth)
    evidence = shown(Task.BINARY, "roc_auc", ("log_loss",), proof)
    assert not rule(evidence, **LIMITS).better


def test_the_tuned_figure_must_not_collapse():
    """Everybody the mean: the log loss of a champion that is far off is beaten, ROC AUC is lost."""
    known, truth = logits(600)
    proof = (np.full(600, truth.mean()), sigmoid(known + 6), truth)
    evidence = shown(Task.BINARY, "roc_auc", ("log_loss",), proof)
    ruling = rule(evidence, **LIMITS)
    assert not ruling.better
    assert "of its ROC AUC on proof, 0.02 is allowed" in ruling.reason
    assert excuse(ruling, evidence, inverted()[1], max_regression=0.02) == ruling


@pytest.mark.parametrize("figure", ["rmse", "bias"])
def test_regression_alike(figure):
    """A shift that R2 hardly sees is mended, and the other way round refused."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 10, 500)
    new, old = truth + rng.normal(0, 1, 500), truth + rng.normal(0.6, 1, 500)
    assert rule(shown(Task.REGRESSION, "r2", (figure,), (new, old, truth)), **LIMITS).better
    turned = rule(shown(Task.REGRESSION, "r2", (figure,), (old, new, truth)), **LIMITS)
    assert turned.reason.startswith("no better on proof")


def forgetful(rows, seed, forgets=0.9):
    """(new, old, truth): the challenger ranks rows a little worse than the champion."""
    known, truth = logits(rows, seed)
    return sigmoid(known + np.random.default_rng(99 + seed).normal(0, forgets, rows)), known, truth


@pytest.mark.parametrize("where", ["proof", "the frozen test rows"])
def test_a_loss_within_chance_is_no_objection(where):
    """Few rows on which it looks worse by more than is allowed, and might be no worse: told."""
    spared = 0
    for seed in range(12):
        new, old, truth = forgetful(150, seed)
        if where == "proof":
            evidence = shown(
                Task.BINARY, "roc_auc", ("log_loss",), (new, sigmoid(4 * old + 3), truth)
            )
        else:
            fewer = (new, sigmoid(old), truth)
            evidence = shown(Task.BINARY, "roc_auc", ("log_loss",), off_in_calibration(), fewer)
        loss, lead = evidence.losses()[where]
        ruling = rule(evidence, **LIMITS)
        if loss > 0.02 and lead.value >= -lead.by_chance:
            spared += 1
            assert ruling.better
            assert f"that it lost {loss:.4f} of its ROC AUC on {where} may be chance" in (
                ruling.reason
            )
    assert spared


@pytest.mark.parametrize("where", ["proof", "the frozen test rows"])
def test_a_loss_beyond_chance_is_refused(where):
    """The same challengers on rows enough to tell it."""
    for seed in range(4):
        new, old, truth = forgetful(3000, seed)
        mended = (new, sigmoid(4 * old + 3), truth)
        proof = mended if where == "proof" else off_in_calibration()
        frozen = off_in_calibration() if where == "proof" else (new, sigmoid(old), truth)
        evidence = shown(Task.BINARY, "roc_auc", ("log_loss",), proof, frozen)
        ruling = rule(evidence, **LIMITS)
        assert not ruling.better
        assert ruling.forgot
        assert f"of its ROC AUC on {where}, 0.02 is allowed" in ruling.reason


def test_where_chance_is_not_told_the_loss_alone_counts():
    """Stretches of the frozen rows without one of the classes: nothing excuses the loss."""
    truth = np.repeat([0, 1], [397, 3])
    knows = (np.arange(400) / 400 + truth) / 2
    frozen = (1 - knows, knows, truth)
    evidence = shown(Task.BINARY, "roc_auc", ("log_loss",), off_in_calibration(), frozen)
    assert not np.isfinite(evidence.frozen_lead.error)
    ruling = rule(evidence, **LIMITS)
    assert not ruling.better
    assert "of its ROC AUC on the frozen test rows, 0.02 is allowed" in ruling.reason


def inverted(rows=600):
    """Evidence of a world that has turned round, and what shows it."""
    known, truth = logits(rows)
    then, was = logits(2000, seed=1)
    evidence = shown(
        Task.BINARY,
        "roc_auc",
        (),
        (sigmoid(-known), sigmoid(known), 1 - truth),
        (sigmoid(-then), sigmoid(then), was),
    )
    blocks = [logits(250, seed) for seed in range(2, 20)]
    held = [HeldOut.of(SCHEMAS[Task.BINARY], sigmoid(k), y) for k, y in blocks]
    quality = PerformanceModel.fit([(each.outcomes, each.figures) for each in held])
    on_proof = fold(parts(Task.BINARY, sigmoid(known), 1 - truth))
    return evidence, other_answers(quality, on_proof, HarmConfig())


def test_a_change_of_meaning_excuses_what_it_explains():
    """The frozen rows ask for the old answers; the champion itself lost as much the other way."""
    evidence, others = inverted()
    strict = rule(evidence, **LIMITS)
    assert strict.forgot
    ruling = excuse(strict, evidence, others, max_regression=0.02)
    assert ruling.excused
    assert "the old relation no longer holds" in ruling.reason
    assert "where held-out rows with such outputs had" in ruling.reason


def test_what_it_does_not_explain_is_still_refused():
    """The champion lost little: a challenger that forgot the old world has no excuse."""
    known, truth = logits(2000)
    then, was = logits(2000, seed=1)
    _, others = inverted()
    proof = (sigmoid(known), sigmoid(known + np.random.default_rng(9).normal(0, 1, 2000)), truth)
    evidence = shown(Task.BINARY, "roc_auc", (), proof, (sigmoid(-then), sigmoid(then), was))
    assert 0.02 < evidence.world_loss < evidence.frozen_loss / 2
    ruling = excuse(rule(evidence, **LIMITS), evidence, others, max_regression=0.02)
    assert ruling.forgot
    assert not ruling.excused
    assert "the champion itself lost" in ruling.reason


def test_without_other_answers_there_is_no_excuse():
    """Harder rows, of which the model says so, are no change of meaning."""
    evidence, _ = inverted()
    strict = rule(evidence, **LIMITS)
    assert excuse(strict, evidence, (), max_regression=0.02) == strict
    known = np.random.default_rng(0).normal(0, 0.5, 600)
    truth = (np.random.default_rng(1).random(600) < sigmoid(known)).astype(int)
    blocks = [logits(250, seed) for seed in range(2, 20)]
    held = [HeldOut.of(SCHEMAS[Task.BINARY], sigmoid(k), y) for k, y in blocks]
    quality = PerformanceModel.fit([(each.outcomes, each.figures) for each in held])
    harder = fold(parts(Task.BINARY, sigmoid(known), truth))
    assert harder.values()["roc_auc"] < quality.figures["roc_auc"] - 0.1
    assert other_answers(quality, harder, HarmConfig()) == ()


def test_a_lead_that_rows_do_not_tell_is_not_certain():
    """Stretches without which a figure is not defined."""
    truth = np.zeros(100, int)
    truth[3] = 1
    both = [parts(Task.BINARY, np.linspace(0, 1, 100), truth) for _ in range(2)]
    assert lead_of("roc_auc", *both).error == np.inf
    assert not Lead(0.5, np.inf).certain


def test_frozen_rows_are_parted_by_time_over_all_shards(finished):
    """Each shard holds rows of all times: a stretch is of one time, and all make the whole."""
    manifest = ShardManifest.read(finished / "data" / "shards")
    tests = [entry.file for entry in manifest.of(Role.TEST)]
    model = load_champion(f"sqlite:///{finished}/mlflow.db", "rides").judged
    with LocalEngine(1) as engine:
        tracker = Tracker(f"sqlite:///{finished}/mlflow.db", "rides")
        context = StageContext(Workspace.at(finished), Settings(), engine, tracker)
        ends = stretch_ends(context, manifest, Role.TEST)
        given = (context, model, tests, context.shards, manifest.schema)
        found = measure_stretches(*given, label="", ends=ends)
        whole = measure_shards(context, model, manifest, Role.TEST)
        early = _Before((manifest.schema.time.name,), ends[0])
        first = measure_shards(context, model, manifest, Role.TEST, only=early)
        (alone,) = measure_stretches(*given, label="", ends=ends, only=early)
        coarse = replace(
            manifest, schema=replace(manifest.schema, columns=_undated(manifest.schema))
        )
        assert stretch_ends(context, coarse, Role.TEST) is None
    assert fold(found).values() == pytest.approx(whole.values())
    assert found[0].values() == pytest.approx(first.values())
    assert alone.values() == pytest.approx(first.values())
    sizes = [int(part.confusion.sum()) for part in found]
    assert len(sizes) == STRETCHES
    assert (np.diff(ends) > 0).all()
    assert max(sizes) - min(sizes) < 0.1 * sum(sizes) / STRETCHES + 2


@dataclass(frozen=True)
class _Before:
    """A filter of rows, by time."""

    columns: tuple[str, ...]
    end: int

    def rows(self, table):
        return table[self.columns[0]].cast(pa.int64()).to_numpy() < self.end


def _undated(schema):
    """No column is the time any more."""
    return tuple(
        replace(c, purpose=Purpose.CARRIED) if c.purpose is Purpose.TIME else c
        for c in schema.columns
    )


@pytest.mark.slow
def test_harm_of_calibration_alone_is_mended(root, live, again, change):
    """Scores are off, the order of rows stands: by its ROC AUC nobody would be promoted."""
    change(
        root,
        "monitoring.retraining.max_regression=0.02",
        "registration.min_improvement=0.1",
        "training.params={num_iterations: 12, learning_rate: 0.05}",
    )
    table = live(root, 2000)
    schema = ShardManifest.read(root / "data" / "shards").schema
    model = load_champion(f"sqlite:///{root}/mlflow.db", "rides").judged
    said = predict_scores(model[-1], model[0].transform(table), schema.task)
    odds = np.log(said / (1 - said)) + 2
    truth = np.where(np.random.default_rng(0).random(2000) < sigmoid(odds), "1", "0")
    at = table.column_names.index("cancelled")
    facts = again(
        root, table.set_column(at, "cancelled", pa.array(truth)), accused=("log_loss",)
    ).facts

    assert (facts["promoted"], facts["decided_by"], facts["metric"]) == (
        True,
        "log_loss",
        "roc_auc",
    )
    assert facts["challenger_proof_log_loss"] < facts["champion_proof_log_loss"]
    for who in ("challenger", "champion"):
        assert f"{facts[f'{who}_proof_log_loss']:.4f}" in facts["reason"]
