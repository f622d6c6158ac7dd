"""The candidate: scikit-learn pipelines as an MLflow model folder, the same bytes each time.

::

    candidate.json               SHA-256 of every other file, and our own metadata; its hash is
                                 the candidate's digest
    MLmodel, model.skops         what mlflow.sklearn and mlflow.pyfunc load: what serves
    judged.skops                 the pipeline that was judged, where that is another one
    input_example.json, serving_input_example.json
    requirements.txt, conda.yaml, python_env.yaml
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tidemill
from tidemill.learners import learner_of
from tidemill.storage import (
    commit_directory,
    discard_directory,
    fresh_directory,
    hash_bytes,
    storage_errors,
    write_bytes,
)
from tidemill.tracking.allowed import trusted_types
from tidemill.tracking.contents import Contents, FolderContents
from tidemill.tracking.mlmodel import MODEL_FILE, check_mlmodel, settle_mlmodel
from tidemill.tracking.seal import Refusal, read_sealed, write_seal
from tidemill.tracking.service import chain_of, import_mlflow
from tidemill.tracking.skopsfile import canonical, read_pipeline, type_name

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

__all__ = ["Candidate", "open_candidate", "requirements", "save_candidate"]

_REMEDY = "run the training again, or bring it back with: dvc checkout"
JUDGED_FILE = "judged.skops"
_FOREIGN = "build the pipeline of tidemill's reducer and one of its learners only"
_REQUIRED = ("lightgbm", "mlflow", "numpy", "pandas", "pyarrow", "scikit-learn", "skops")


@dataclass(frozen=True, slots=True)
class Candidate:
    """The pipelines of a folder whose files were checked.

    Parameters
    ----------
    pipeline : Pipeline
        Steps ``reducer`` and ``learner``: what serves.
    digest : str
        SHA-256 of candidate.json, and so of all files.
    metadata : mapping
        What :func:`save_candidate` was given.
    judged : Pipeline
        What was judged; ``pipeline`` itself where the same one serves.
    judged_sha256 : str
        Of the judged pipeline's file.
    notes : tuple of str
        What else lies in the folder, is not used, and can be deleted.
    """

    pipeline: Pipeline
    digest: str
    metadata: Mapping[str, Any]
    judged: Pipeline
    judged_sha256: str
    notes: tuple[str, ...] = ()


def requirements(pipeline: Pipeline) -> tuple[str, ...]:
    """The exact versions of the packages that a candidate of it needs to predict, sorted.

    A learner or step that is tried out as a module on the path is of no package, and has none.
    """
    kind = learner_of(pipeline[-1])
    steps = getattr(pipeline[0], "requires", ())  # what is no reducer is refused when it is opened
    known = {f"{name}=={version(name)}" for name in _REQUIRED}
    known.add(f"tidemill=={tidemill.__version__}")
    for name in (*steps, *(kind.requires if kind else ())):
        with suppress(PackageNotFoundError):
            known.add(f"{name}=={version(name)}")
    return tuple(sorted(known))


def save_candidate(
    pipeline: Pipeline,
    folder: Path,
    *,
    example: pd.DataFrame,
    metadata: Mapping[str, Any] | None = None,
    judged: Path | None = None,
) -> str:
    """Write ``pipeline`` as an MLflow model folder; whole or absent, equal bytes for equal input.

    Parameters
    ----------
    pipeline : Pipeline
        Steps ``reducer`` and ``learner``, fitted; only types of the allow-list.
    folder : Path
        Replaced as a whole.
    example : DataFrame
        A few raw feature rows; they become the input example, and their names the signature,
        which leaves the types open: the reducer reads columns as pandas has them.
    metadata : mapping, optional
        JSON-friendly facts to keep beside the pipeline (task, classes, schema, ...); no times,
        no run ids.
    judged : Path, optional
        The sealed folder of the pipeline that was judged in place of this one: that goes along.

    Returns
    -------
    str
        The candidate's digest.

    Raises
    ------
    ModelUntrusted
        If the pipeline holds a type that the safe loader would refuse.
    StorageFailed
        If the disk refuses.

    Notes
    -----
    About four times the pipeline's size in memory.
    """
    staged = fresh_directory(folder.with_name(f".{folder.name}.staged"))
    try:
        with storage_errors(folder):
            _save_mlflow(pipeline, staged, example)
            model = staged / MODEL_FILE
            write_bytes(model, canonical(model.read_bytes()))
            if judged is not None:
                write_bytes(staged / JUDGED_FILE, _sealed_model(judged))
            _settle(staged, requirements(pipeline))
            digest = write_seal(staged, metadata or {})
        open_candidate(staged, remedy=_FOREIGN)
        commit_directory(staged, folder)
    finally:
        discard_directory(staged)
    return digest


def _sealed_model(folder: Path) -> bytes:
    contents = FolderContents(folder)
    sealed = read_sealed(contents, digest=None, label=str(folder), remedy=_REMEDY)
    return sealed.files[MODEL_FILE]


def _save_mlflow(pipeline: Pipeline, folder: Path, example: pd.DataFrame) -> None:
    import_mlflow("mlflow.pyfunc")
    flavor, models = import_mlflow("mlflow.sklearn"), import_mlflow("mlflow.models")
    plain = _plain(example)
    answers = models.infer_signature(model_output=pipeline.predict(example)).outputs
    try:
        flavor.save_model(
            pipeline,
            str(folder),
            serialization_format="skops",
            signature=models.ModelSignature(_named(pipeline, plain), answers),
            input_example=plain,
            pip_requirements=list(requirements(pipeline)),
            skops_trusted_types=list(trusted_types(_names(pipeline[-1]))),
        )
    except import_mlflow("mlflow.exceptions").MlflowException as exc:
        for link in chain_of(exc):
            if isinstance(link, OSError):  # MLflow takes a full disk for a type that skops lacks
                raise link from exc
        refusal = Refusal(str(folder), _FOREIGN)
        raise refusal.of(MODEL_FILE, f"cannot be saved: {exc}") from exc


def _names(estimator: Any) -> frozenset[str]:
    """The types that its learner leaves: it may lie in one of ours."""
    kind = learner_of(estimator)
    return frozenset({type_name(estimator)} if kind is None else kind.estimators)


def _named(pipeline: Pipeline, example: pd.DataFrame) -> Any:
    """The input columns by name alone, and which of them must be there.

    MLflow takes no whole number for a double and no gap in a boolean; the reducer reads a
    column as it comes, and says what it cannot read.
    """
    schemas = import_mlflow("mlflow.types.schema")
    needed = {str(name) for name in pipeline[0].feature_names_in_}
    return schemas.Schema(
        [
            schemas.ColSpec(schemas.AnyType(), str(name), required=str(name) in needed)
            for name in example.columns
        ]
    )


def _plain(example: pd.DataFrame) -> pd.DataFrame:
    """The example in the types that MLflow can write as JSON."""
    import pandas as pd

    columns: dict[Any, pd.Series[Any]] = {}
    for name, column in example.items():
        kind = column.dtype
        if kind == "float32":
            columns[name] = column.astype("float64")
        elif isinstance(kind, pd.CategoricalDtype):
            columns[name] = column.astype(object)
        else:
            columns[name] = column
    plain = pd.DataFrame(columns).reset_index(drop=True)
    # MLflow compares the names with a range, on which pandas' text index warns.
    plain.columns = pd.Index(list(plain.columns), dtype=object)
    return plain


def _settle(folder: Path, required: tuple[str, ...]) -> None:
    """Replace what names this moment or this machine's installer."""
    mlmodel = folder / "MLmodel"
    text = settle_mlmodel(mlmodel.read_text(encoding="utf-8"))
    check_mlmodel(text.encode())
    python = platform.python_version()
    pins = "".join(f"  - {line}\n" for line in required)
    files = {
        "MLmodel": text,
        "python_env.yaml": f"python: {python}\n"
        "build_dependencies:\n- pip\n- setuptools\n- wheel\n"
        "dependencies:\n- -r requirements.txt\n",
        "conda.yaml": "name: mlflow-env\nchannels:\n- conda-forge\n"
        f"dependencies:\n- python={python}\n- pip\n- pip:\n{pins}",
    }
    for name, content in files.items():
        write_bytes(folder / name, content.encode())


def open_candidate(
    folder: Path | Contents, *, digest: str | None = None, remedy: str = _REMEDY, label: str = ""
) -> Candidate:
    """Load the candidate in ``folder``, and with ``digest`` only if it is that very one.

    Each file is read once: the bytes that were hashed are the bytes that are loaded.

    Parameters
    ----------
    folder : Path or Contents
    label : str
        What to call the folder in messages, e.g. ``rides version 3``.

    Raises
    ------
    ModelUntrusted
        If anything differs; ``fields["file"]`` names the file.
    """
    contents = FolderContents(folder) if isinstance(folder, Path) else folder
    refusal = Refusal(label or contents.place, remedy)
    sealed = read_sealed(contents, digest=digest, label=refusal.label, remedy=remedy)
    for file in ("MLmodel", MODEL_FILE):
        if file not in sealed.files:
            raise refusal.of(file, "is missing")
    try:
        check_mlmodel(sealed.files["MLmodel"])
    except Exception as exc:  # hostile YAML can raise anything
        raise refusal.of("MLmodel", f"is not tidemill's: {exc}") from exc
    files = [file for file in (MODEL_FILE, JUDGED_FILE) if file in sealed.files]
    pipelines = [_pipeline(sealed.files[file], file, refusal) for file in files]
    return Candidate(
        pipelines[0],
        sealed.digest,
        sealed.metadata,
        judged=pipelines[-1],
        judged_sha256=hash_bytes(sealed.files[files[-1]]),
        notes=sealed.notes,
    )


def _pipeline(content: bytes, file: str, refusal: Refusal) -> Pipeline:
    try:
        return read_pipeline(content)
    except Exception as exc:  # and hostile bytes anything from zipfile, numpy or skops
        raise refusal.of(file, f"is not tidemill's: {exc}") from exc
