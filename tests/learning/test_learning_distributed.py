"""distributed: one training by ranks, each with its shards; it is whole, or ends and says why."""

import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from tidemill.config import TrainingConfig
from tidemill.engines import LocalEngine
from tidemill.errors import (
    BudgetExceeded,
    ServiceUnavailable,
    StorageFailed,
    UsageError,
    WorkerLost,
)
from tidemill.learning import choose_strategy, fit, predict_scores
from tidemill.learning.meeting import PORTS, Meeting, MeetingPlace, attend, free_port
from tidemill.learning.network import refuse_strangers
from tidemill.metrics import HIGHER_IS_BETTER, figures_of
from tidemill.schema import Task
from tidemill.testing.blocks import ArrayBlocks
from tidemill.testing.learners import learning_data

pytestmark = pytest.mark.timeout(900)  # a rank is a process that imports LightGBM

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("c", "a", "b"), Task.REGRESSION: ()}
DECIDES = {Task.BINARY: "roc_auc", Task.MULTICLASS: "log_loss", Task.REGRESSION: "r2"}
SHORT = {"num_iterations": 20, "num_leaves": 7}


class Noted(ArrayBlocks):
    """Blocks that note in a folder who reads which shard; a rank can be let die, or fail."""

    def __init__(self, folder: Path, *data, does=None, **more):
        super().__init__(*data, **more)
        self.folder, self.does = folder, does

    def read(self, block):
        shard = self.shards[block]
        with (self.folder / str(os.getpid())).open("a") as file:
            file.write(f"{shard}\n")
        if self.does is not None and shard == "00001":
            self.does(self.folder)
        return super().read(block)


def die(folder):
    """Of the rank that reads it, once."""
    with suppress(FileExistsError):
        (folder / "died").touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)


def kill_the_worker(folder):
    """That which started the rank, once."""
    with suppress(FileExistsError):
        (folder / "died").touch(exist_ok=False)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)


def fail(_):
    raise StorageFailed("the disk is gone", remedy="mount it")


def together(engine, *, task=Task.REGRESSION, strategy="distributed", train=None, **more):
    """A fit of four shards by two ranks."""
    train = train or ArrayBlocks(*learning_data(task, 4096, seed=1))
    held = ArrayBlocks(*learning_data(task, 800, seed=2))
    config = TrainingConfig(strategy=strategy, **more.pop("settings", {}))
    options = {"task": task, "classes": CLASSES[task], "seed": 3, "engine": engine, **more}
    return fit(config, SHORT, train, held, **options)


def readers(folder):
    """The shards that each process has read."""
    return {int(file.name): set(file.read_text().split()) for file in folder.glob("[0-9]*")}


@pytest.fixture(scope="module")
def engine():
    with LocalEngine(2) as engine:
        yield engine


def test_each_rank_reads_its_own_shards_and_nobody_else_does(engine, tmp_path):
    """Dealt as cards."""
    train = Noted(tmp_path, *learning_data(Task.REGRESSION, 4096, seed=1))
    found = together(engine, train=train)
    shares = sorted(map(sorted, readers(tmp_path).values()))
    assert shares == [["00000", "00002"], ["00001", "00003"]]
    assert os.getpid() not in readers(tmp_path)
    assert (found.strategy, found.warnings) == ("distributed", ())
    assert found.curve[-1][1] > 0.8


@pytest.mark.slow
def test_other_workers_leave_the_same_bytes(engine):
    """However many there are; the number of ranks is part of the model."""
    with LocalEngine(3) as other:
        found = [together(one, task=Task.BINARY).estimator.model for one in (engine, other)]
        assert found[0] == found[1]
        three = together(other, task=Task.BINARY, settings={"ranks": 3})
    assert three.estimator.model != found[0]


@pytest.mark.slow
@pytest.mark.parametrize("harm", [die, kill_the_worker], ids=lambda f: f.__name__)
def test_who_loses_a_rank_is_told_and_begins_anew(tmp_path, harm):
    """All ranks end; the next training finds others. What is killed is a rank, or its worker."""
    train = Noted(tmp_path, *learning_data(Task.REGRESSION, 4096, seed=1), does=harm)
    with LocalEngine(2) as engine:
        with pytest.raises(WorkerLost) as caught:
            together(engine, train=train)
        assert "run the same command again" in caught.value.remedy
        ends = time.monotonic() + 60
        while any(psutil.pid_exists(pid) for pid in readers(tmp_path)):
            assert time.monotonic() < ends
            time.sleep(0.1)
        assert together(engine, train=train).curve[-1][1] > 0.8


@pytest.mark.slow
def test_an_error_of_one_rank_is_the_error_of_the_training(engine, tmp_path):
    """Its type, words and remedy; no other rank waits for ever."""
    train = Noted(tmp_path, *learning_data(Task.REGRESSION, 4096, seed=1), does=fail)
    with pytest.raises(StorageFailed, match="the disk is gone") as caught:
        together(engine, train=train)
    assert caught.value.remedy == "mount it"


@pytest.mark.slow
@pytest.mark.parametrize("task", list(Task), ids=str)
def test_it_is_as_good_as_one_process(engine, task):
    """No worse by a hundredth of the figure that decides; shards of one class take part."""
    X, y = learning_data(task, 3000, seed=99)
    rows, target = learning_data(task, 4096, seed=1)
    order = target.argsort(kind="stable")
    train = ArrayBlocks(rows[order], target[order])
    found = []
    for strategy in ("boosted", "distributed"):
        more = {"settings": {"class_weight": "balanced"}} if task is Task.BINARY else {}
        fitted = together(engine, task=task, strategy=strategy, train=train, **more)
        figures = figures_of(
            task, predict_scores(fitted.estimator, X, task), y, classes=CLASSES[task]
        )
        found.append(figures.values()[DECIDES[task]])
    gained = found[1] - found[0] if HIGHER_IS_BETTER[DECIDES[task]] else found[0] - found[1]
    assert gained > -0.01


@pytest.mark.slow
def test_it_goes_on_from_a_model(engine):
    """Its rounds are added, and it is no worse."""
    start = together(engine)
    further = together(engine, start=start.estimator)
    assert further.curve[-1][1] > start.curve[-1][1]
    assert further.estimator.booster.num_trees() > start.estimator.booster.num_trees()


@pytest.mark.slow
def test_fewer_shards_than_ranks_are_as_many_ranks_and_a_warning(engine):
    """With one shard it is the fit of one process, tree by tree."""
    train = ArrayBlocks(*learning_data(Task.REGRESSION, 4096, seed=1), shard_blocks=100)
    found = together(engine, train=train)
    assert found.warnings == ("training.ranks: 2, but 1 shards with rows: as many ranks as shards",)
    assert (
        found.estimator.model == together(engine, strategy="boosted", train=train).estimator.model
    )


class Deaf(LocalEngine):
    """Its workers reach nobody."""

    def stream(self, function, items, **_):
        for index, _item in enumerate(items):
            yield index, None


class Astray(LocalEngine):
    """An address at which nothing can listen: of documentation, no machine has it."""

    host = "192.0.2.1"


@pytest.mark.parametrize(
    ("engine", "error", "says", "remedy"),
    [
        (LocalEngine(1), UsageError, "need as many workers", "TIDEMILL_WORKERS=2"),
        (Deaf(2), ServiceUnavailable, "0 of 2 ranks met at 127.0.0.1", "free at once"),
        (Astray(2), ServiceUnavailable, "192.0.2.1", "run the same command again"),
    ],
)
def test_what_cannot_meet_is_told(engine, error, says, remedy):
    """Before anything is learnt."""
    with pytest.raises(error, match=says) as caught:
        together(engine)
    assert remedy in caught.value.remedy


def test_the_budget_is_that_of_a_rank():
    """By the shards that it gets: of three shards one of two ranks has two."""
    rows = {"rows": 3 * 10**7, "n_features": 30, "task": Task.BINARY, "shard_rows": 10**7}
    config = TrainingConfig(strategy="distributed", memory_budget_mb=1000)
    with pytest.raises(BudgetExceeded):
        choose_strategy(config, **rows)
    three = choose_strategy(config.model_copy(update={"ranks": 3}), **rows)
    assert "in each of 3 ranks" in three.why
    two = choose_strategy(config.model_copy(update={"memory_budget_mb": 4000}), **rows)
    assert two.needed_bytes == pytest.approx(2 * three.needed_bytes, rel=0.15)


def test_ranks_meet_and_part_together():
    """All are told all addresses; when one leaves, the others' links end."""
    with Meeting(3, "127.0.0.1") as meeting, ThreadPoolExecutor() as pool:
        met = list(pool.map(lambda rank: attend(meeting.place, rank), range(3)))
        assert len({tuple(addresses) for addresses, _ in met}) == 1
        assert len({port for _, port in met[0][0]} & {*PORTS}) == 3
        met[1][1].close()
        for rank in (0, 2):
            met[rank][1].settimeout(10)
            assert met[rank][1].recv(1) == b""


def test_who_does_not_come_or_falls_silent_ends_the_meeting():
    """Within the seconds of each; nobody waits for ever."""
    with Meeting(2, "127.0.0.1", 0.3) as meeting:
        assert attend(meeting.place, 0) is None
    assert meeting.arrived == 1
    with Meeting(2, "127.0.0.1", silence_seconds=0.5) as meeting, ThreadPoolExecutor() as pool:
        met = list(pool.map(lambda rank: attend(meeting.place, rank), range(2)))
        began = time.monotonic()
        while time.monotonic() < began + 1.5:
            with suppress(OSError):
                met[0][1].sendall(b".")
            time.sleep(0.1)
        met[0][1].settimeout(10)
        assert met[0][1].recv(1) == b""


def test_without_the_word_nobody_is_let_in():
    """Nor with a number that is taken, or none; the others still meet."""
    with Meeting(2, "127.0.0.1") as meeting, ThreadPoolExecutor() as pool:
        place = meeting.place
        first = pool.submit(attend, place, 0)
        while not meeting.arrived:
            time.sleep(0.01)
        assert attend(MeetingPlace(place.host, place.port, "guessed"), 1) is None
        assert attend(place, 0) is None
        assert attend(place, 2) is None
        assert attend(place, 1)[0] == first.result()[0]


@pytest.mark.parametrize(
    "said", [b"[" * 65_536, b"\xff\n", b"\n", b"a b c d e\n", b"x" * 199, b"", b"{}\n"]
)
def test_whatever_a_stranger_says_the_others_meet(said):
    """Long, broken or nothing at all: it costs a few seconds at most."""
    with Meeting(1, "127.0.0.1") as meeting:
        place = (meeting.place.host, meeting.place.port)
        with socket.create_connection(place) as stranger:
            with suppress(OSError):
                stranger.sendall(said)
                stranger.shutdown(socket.SHUT_WR)
            addresses, link = attend(meeting.place, 0)
            link.close()
            assert len(addresses) == 1


@pytest.mark.parametrize("strangers", [20, 200])
def test_silent_strangers_keep_no_rank_waiting(strangers):
    """Fewer than the meeting hears at once, or more; it counts those that it let go."""
    with Meeting(2, "127.0.0.1") as meeting, ThreadPoolExecutor() as pool, ExitStack() as held:
        place = meeting.place
        for _ in range(strangers):
            held.enter_context(socket.create_connection((place.host, place.port)))
        began = time.monotonic()
        met = list(pool.map(lambda rank: attend(place, rank), range(2)))
        assert time.monotonic() < began + 5  # of which one stranger alone would take as many
        for addresses, link in met:
            held.enter_context(link)
            assert len(addresses) == 2
        # A rank whose word is not there yet counts among the 128.
        assert meeting.refused == 0
        assert 0 <= meeting.silent - max(0, strangers - 128) <= 2 * (strangers > 128)


def test_a_rank_that_is_not_heard_comes_again():
    """What listened has closed the first link without a word, as where too many came."""
    with free_port() as listener, ThreadPoolExecutor() as pool:
        listener.listen()
        place = MeetingPlace("127.0.0.1", listener.getsockname()[1], "word", 30)
        met = pool.submit(attend, place, 0)
        listener.accept()[0].close()
        link = listener.accept()[0]
        with link:
            assert link.recv(200).split()[:2] == [b"word", b"0"]
            link.sendall(b'[["127.0.0.1", 7]]\n')
            addresses, ours = met.result()
            ours.close()
            assert addresses == [("127.0.0.1", 7)]


class Crowded(LocalEngine):
    """Its workers reach nobody; others do, and say something else or nothing."""

    def stream(self, function, items, **_):
        place = function.keywords["place"]
        with socket.create_connection((place.host, place.port)) as link:
            link.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert link.recv(99) == b"null\n"
        with socket.create_connection((place.host, place.port)) as link:
            link.shutdown(socket.SHUT_WR)
            assert link.recv(99) in (b"", b"null\n")
        yield from enumerate([None for _ in items])


def test_where_ranks_do_not_meet_strangers_are_counted():
    """With the address of the last, and what can be done about it."""
    with pytest.raises(
        ServiceUnavailable, match=r"something else \(1\) or nothing \(1\)"
    ) as caught:
        together(Crowded(2))
    assert "from 127.0.0.1" in str(caught.value)
    assert "12400 to 12499" in caught.value.remedy


def test_a_connection_from_an_address_that_is_no_ranks_is_refused():
    """LightGBM asks nobody who they are."""
    with free_port() as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)):
            refuse_strangers({"127.0.0.1", "127.0.0.2"}, port)
            accepted, _ = listener.accept()
            with accepted, pytest.raises(ServiceUnavailable, match=r"came from 127\.0\.0\.2,"):
                refuse_strangers({"127.0.0.1"}, port)
