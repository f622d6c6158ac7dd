"""A retraining, from labelled live rows to a judged challenger: six steps that may be repeated.

gather
    Labelled rows, part by part, to learn and proof.
append
    Learn rows are validated and become new shards beside the old ones; a version of the dataset.
teach
    The challenger learns, from where the champion is if the learner can go on.
compare
    Both are judged on proof and on the frozen test shards. A challenger that is better on proof
    but has forgotten more than is allowed learns once again, with old rows among the live ones;
    the first one goes on where a change of meaning explains what it lost and the second is no
    better.
refit
    What is to serve of the challenger learns all labelled rows, those that judged too.
promote
    The challenger is registered; it serves if it is better.

Each leaves a receipt below ``.tidemill/retrain/DECISION``: a killed retraining goes on after the
last of them, and a finished one changes nothing when it is asked for again.

A set of live rows stays for good once its retraining has finished, and its rows are not learnt
again, whoever gives them. The ledger gives the rows of any other one to the next decision, so the
next retraining takes out what an unfinished one had appended: no row is in two sets, and none of
the ledger's is in no set for ever. (Rows out of a file must be given again.) One that is asked for
again after that appends its rows anew.
"""

from tidemill.retraining.order import Order, Outcome, Rows, outcome_of, sweep
from tidemill.retraining.steps import STEPS
from tidemill.retraining.underway import retrain

__all__ = ["STEPS", "Order", "Outcome", "Rows", "outcome_of", "retrain", "sweep"]
