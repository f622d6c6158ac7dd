"""The driver of Spark in this process: a JVM that is started, asked, and ended with it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired
from typing import IO, Any

from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway

from tidemill.errors import DependencyMissing, ServiceUnavailable, UsageError

__all__ = ["SparkDriver"]

_END_SECONDS = 10.0
_TAIL_BYTES = 2_000

_SETTINGS = {
    "spark.app.name": "tidemill",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Also for libraries that an item loads when it runs already.
    **{
        f"spark.executorEnv.{name}_NUM_THREADS": "1"
        for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")
    },
}


class SparkDriver:
    """A Spark application of this process, and its JVM.

    What the JVM writes is kept in a temporary file, and its end told where it fails.

    Parameters
    ----------
    workers : int
        Processes at once, without an address.
    address : str or None
        ``host:port`` of a standalone master, several divided by commas; None means this machine.
    wait_seconds : float
        How long the master may take to answer.

    Attributes
    ----------
    context : pyspark.SparkContext
    process : subprocess.Popen
        The JVM.

    Raises
    ------
    DependencyMissing
        If there is no Java, or none that Spark can use.
    UsageError
        If this process has a Spark session already.
    ServiceUnavailable
        If no master answers, or it takes nobody on.
    """

    def __init__(self, workers: int, address: str | None, *, wait_seconds: float) -> None:
        master = f"local[{workers},4]"  # with the failures of one item that a cluster allows
        told = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        if address is not None:
            _require_answer(address, wait_seconds)
            master, told = f"spark://{address}", {}
        _require_java()
        if SparkContext._gateway is not None:
            raise UsageError(
                "this process has a Spark session already, and Spark allows one",
                remedy="close the other engine first, or run this in a process of its own",
            )
        settings = {**_SETTINGS, **told, "spark.master": master}
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the JVM
        self._here = address is None
        self.context = self._started(SparkConf(loadDefaults=False).setAll([*settings.items()]))
        # Workers start Python by this path.
        self.context.pythonExec = os.environ.get("PYSPARK_PYTHON", sys.executable)

    @property
    def alive(self) -> bool:
        """Whether the JVM runs, and the application with it."""
        with suppress(Py4JError, OSError, AttributeError):
            return not self.context._jsc.sc().isStopped()
        return False

    def cores(self) -> int:
        """Items that can run at once: none while no executor is there."""
        with suppress(Py4JError, OSError, AttributeError):
            # Beside this JVM; of a cluster without any Spark itself would count two cores.
            executors = int(self.context._jsc.sc().getExecutorMemoryStatus().size()) - 1
            if executors or self._here:
                return int(self.context.defaultParallelism)
        return 0

    def said(self) -> str:
        """The last lines that the JVM wrote."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _TAIL_BYTES))
        return self._log.read().decode(errors="replace").strip()

    def close(self) -> None:
        """End the application and the JVM."""
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            with suppress(OSError):
                self.context.stop()
            self.context.stop()  # where the JVM is gone the first one ends half-way, or warns
        self._end()

    def _started(self, conf: SparkConf) -> SparkContext:
        try:
            gateway = launch_gateway(conf, {"stdout": self._log, "stderr": self._log})
        except (PySparkException, OSError) as exc:
            raise DependencyMissing(
                f"Spark's Java did not start: {self.said() or exc}",
                remedy="install Java 17 or a later one, and set JAVA_HOME to its folder",
                package="java",
            ) from exc
        self.process: Any = gateway.proc
        # Its columns of pandas are no concern of ours.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        made: list[SparkContext | BaseException] = []

        def make() -> None:
            try:
                made.append(SparkContext(conf=conf, gateway=gateway))
            except BaseException as exc:  # raised below
                made.append(exc)

        # From the main thread it would take Ctrl-C for itself.
        thread = threading.Thread(target=make, name="spark-start")
        thread.start()
        thread.join()
        if isinstance(made[0], SparkContext):
            return made[0]
        said = self.said()
        self._end()
        raise ServiceUnavailable(
            f"Spark did not start at {conf.get('spark.master')}: {said}",
            remedy="see that the master runs the same version of Spark, and can reach this machine "
            "(SPARK_LOCAL_IP is its address)",
        ) from made[0]

    def _end(self) -> None:
        gateway: Any = SparkContext._gateway
        SparkContext._gateway = SparkContext._jvm = None
        with suppress(Py4JError, OSError):
            gateway.shutdown()
        with suppress(OSError):
            self.process.stdin.close()  # at which it ends
        with suppress(TimeoutExpired):
            self.process.wait(_END_SECONDS)
        self.process.kill()
        self.process.wait()
        self._log.close()


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if shutil.which(Path(home, "bin", "java") if home else "java") is None:
        raise DependencyMissing(
            f"Spark needs Java, and there is none {f'in {home} (JAVA_HOME)' if home else 'here'}",
            remedy="install Java 17 or a later one (apt-get install openjdk-17-jre-headless), and "
            "set JAVA_HOME to its folder where it is not in PATH",
            package="java",
        )


def _require_answer(address: str, wait_seconds: float) -> None:
    """Of a master that is not there Spark itself tells after a minute, at length."""
    for one in address.split(","):
        host, _, port = one.rpartition(":")
        if not host or not port.isdigit():
            raise UsageError(
                f"spark://{address} is no address of a Spark master",
                remedy="give it as spark://HOST:PORT, for example spark://localhost:7077",
                address=address,
            )
        with suppress(OSError), socket.create_connection((host, int(port)), wait_seconds):
            return
    raise ServiceUnavailable(
        f"no Spark master answers at {address}",
        remedy="start it there (spark-class org.apache.spark.deploy.master.Master), or correct "
        "the engine's address",
        address=address,
    )
