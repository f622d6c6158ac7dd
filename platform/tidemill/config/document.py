"""params.yaml as text: read, checked with every problem at once, and changed with comments kept."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from tidemill.config.params import Params
from tidemill.config.ports_schema import describe_ports
from tidemill.config.sections import UNTOLD, TrainingConfig
from tidemill.config.tree import nearest_setting, setting_of, settings_in
from tidemill.errors import ConfigError, WorkspaceMissing

_STORAGE = re.compile(r"""^["']?storage["']?\s*:|[{,]\s*["']?storage["']?\s*:""", re.MULTILINE)

__all__ = [
    "changed_settings",
    "load_params",
    "params_schema",
    "params_text",
    "read_params",
    "set_params",
    "storage_url",
]


def load_params(root: Path) -> Params:
    """Read and check ``root/params.yaml``.

    Raises
    ------
    WorkspaceMissing
        If there is no such file.
    ConfigError
        If it is not valid YAML, or a key or value is wrong; all problems in one error.
    """
    return read_params(params_text(root))


def storage_url(root: Path) -> str | None:
    """``storage.url`` of ``root/params.yaml``; None where there is none, or it is not valid."""
    try:
        text = params_text(root)
        # A twentieth of a second for those who have no such section is not worth it.
        return read_params(text).storage.url if _STORAGE.search(text) else None
    except (ConfigError, WorkspaceMissing):
        return None


def params_text(root: Path) -> str:
    """The text of ``root/params.yaml``, whatever it says.

    Raises
    ------
    WorkspaceMissing
        If there is no such file.
    ConfigError
        If it is not text.
    """
    path = root / "params.yaml"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise WorkspaceMissing(
            f"there is no params.yaml in {root}",
            remedy="change to a workspace, or make one with: tidemill init DIR --source ... "
            "--target ...",
            path=str(path),
        ) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(
            "params.yaml is not UTF-8 text", remedy="save params.yaml as UTF-8", path=str(path)
        ) from exc


def read_params(text: str) -> Params:
    """Check the text of a params.yaml.

    >>> read_params("dataset: {source: rides.csv, target: cancelled}").training.learner
    'lightgbm'
    """
    document = _document(text, YAML(typ="safe", pure=True))
    try:
        return Params.model_validate(document)
    except ValidationError as exc:
        raise _config_error(exc) from exc


def _document(text: str, yaml: YAML) -> Any:
    try:
        document = yaml.load(io.StringIO(text))
    except YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"params.yaml is not valid YAML{where}: {getattr(exc, 'problem', exc)}",
            remedy="mend the YAML there",
            line=mark.line + 1 if mark else None,
        ) from exc
    if not isinstance(document, Mapping):
        raise ConfigError(
            "params.yaml holds no settings",
            remedy="give it at least dataset.source and dataset.target",
        )
    return document


def _config_error(exc: ValidationError) -> ConfigError:
    problems = {}
    for problem in exc.errors():
        location = setting_of([str(part) for part in problem["loc"]])
        key = ".".join(location)
        if problem["type"] == "extra_forbidden":
            close = nearest_setting(location)
            hint = f"; did you mean {close!r}?" if close else ""
            problems[key] = f"unknown key{hint}"
        elif problem["type"] == "missing":
            problems[key] = "is required"
        elif problem["type"] == "model_type" and (inner := settings_in(location)):
            problems[key] = f"holds settings of its own: {', '.join(inner)}"
        else:
            text = problem["msg"].removeprefix("Value error, ")
            given = problem["input"]
            told = key and not isinstance(given, dict) and problem["type"] != UNTOLD
            shown = f" (given: {given!r})" if told else ""
            name, _, rest = text.partition(": ")
            problems[key or name] = (text if key else rest) + shown
    listing = "; ".join(f"{key}: {text}" for key, text in problems.items())
    return ConfigError(
        f"params.yaml: {listing}",
        remedy=f"correct {', '.join(problems)} in params.yaml",
        problems=problems,
    )


class _SpelledOut(RoundTripRepresenter):
    """Writes null as a word, not as nothing."""

    def represent_none(self, data: None) -> Any:  # noqa: ARG002
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_SpelledOut.add_representer(type(None), _SpelledOut.represent_none)

_NO_YAML = "is not a YAML value"
_ASSIGNMENT = re.compile(r"^(?P<key>[A-Za-z_][\w.-]*)=(?P<value>.*)$", re.DOTALL)


def set_params(
    text: str, assignments: Sequence[str], *, options: Mapping[str, str] | None = None
) -> str:
    r"""Return params.yaml's text with ``section.key=value`` set, comments kept.

    Values are read as YAML. The result is checked as a whole before it is returned.

    Parameters
    ----------
    text : str
    assignments : sequence of str
    options : mapping of str to str, optional
        Settings that other options of a command gave: ``{"dataset.key": "--key"}``.

    Raises
    ------
    ConfigError
        If one is wrong, or all together are; where a value would be right in quotes, or as a
        list, the remedy says so.

    >>> print(set_params("dataset:\n  source: a  # mine\n  target: y\n", ["dataset.source=b"]))
    dataset:
      source: b  # mine
      target: y
    <BLANKLINE>
    """
    try:
        result = _assigned(text, assignments)
        read_params(result)
    except ConfigError as exc:
        blamed = _blamed(exc, text, assignments, options or {})
        if blamed is None:
            raise
        raise blamed from exc
    return result


def _assigned(text: str, assignments: Sequence[str]) -> str:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.Representer = _SpelledOut
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = _document(text, yaml)
    for assignment in assignments:
        match = _ASSIGNMENT.match(assignment)
        if match is None:
            # What stands behind "=", here and below, may be a secret.
            given = assignment.partition("=")[0]
            raise ConfigError(
                f"--set {given!r} is not of the form section.key=value",
                remedy="write for example: --set training.learner=sgd; a name with spaces goes "
                'into a mapping: --set "dataset.types={my column: numeric}"',
                assignment=given,
            )
        *sections, key = match["key"].split(".")
        node = document
        for section in sections:
            if not isinstance(node.get(section), Mapping):
                node[section] = {}
            node = node[section]
        try:
            node[key] = YAML(typ="safe", pure=True).load(match["value"])
        except YAMLError:
            raise ConfigError(
                f"--set {match['key']}: its value {_NO_YAML}",
                remedy="write a YAML value: a text in quotes, a list as [a, b], a mapping as "
                "{a: b}",
                assignment=match["key"],
                problems={match["key"]: _NO_YAML},
            ) from None  # the parser's own words repeat it
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


def _blamed(
    exc: ConfigError, text: str, assignments: Sequence[str], options: Mapping[str, str]
) -> ConfigError | None:
    """The error of what was given on a command line, which is not in params.yaml; or None."""
    problems: Mapping[str, str] = exc.fields.get("problems", {})
    for index, assignment in enumerate(assignments):
        key, _, value = assignment.partition("=")
        if not any(_same_branch(key, problem) for problem in problems):
            continue
        spellings = {json.dumps(value, ensure_ascii=False): '"..."', f"[{value}]": "[...]"}
        for spelled, hidden in spellings.items():
            other = [*assignments[:index], f"{key}={spelled}", *assignments[index + 1 :]]
            if _sound(text, other):
                right = f"write: --set {shlex.quote(other[index])}"
                if problems.get(key) == _NO_YAML:
                    shown = shlex.quote(f"{key}={hidden}")
                    right = f"write the value in the place of the dots: --set {shown}"
                return ConfigError(_of_no_file(exc), remedy=right, **exc.fields)
    given = {a.partition("=")[0]: f"--set {a.partition('=')[0]}" for a in assignments}
    blamed = [
        option
        for key, option in {**options, **given}.items()
        if any(_same_branch(key, problem) for problem in problems)
    ]
    if not blamed or "assignment" in exc.fields:
        return None
    return ConfigError(_of_no_file(exc), remedy=f"correct {', '.join(blamed)}", **exc.fields)


def _same_branch(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _of_no_file(exc: ConfigError) -> str:
    return exc.message.removeprefix("params.yaml: ")


def _sound(text: str, assignments: Sequence[str]) -> bool:
    try:
        read_params(_assigned(text, assignments))
    except ConfigError:
        return False
    return True


def changed_settings(before: str, after: str) -> dict[str, str]:
    r"""What two texts of params.yaml say differently, as ``{"seed": "42 -> 7"}``.

    Defaults count as said, where the text is sound.

    >>> said = "dataset: {source: a, target: y}"
    >>> changed_settings(said, said + "\nseed: 7")
    {'seed': '42 -> 7'}
    >>> changed_settings(said, said + "\ntraining: {params: {max_depth: 3}}")
    {'training.params.max_depth': 'absent -> 3'}
    """
    old, new = _leaves(_dumped(before)), _leaves(_dumped(after))
    return {
        key: f"{_shown(old.get(key))} -> {_shown(new.get(key))}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    }


def _dumped(text: str) -> Mapping[str, Any]:
    try:
        return read_params(text).model_dump(mode="json")
    except ConfigError:  # it is about to be mended
        found: Mapping[str, Any] = _document(text, YAML(typ="safe", pure=True))
        return found


def _leaves(document: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name, value in document.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping):  # an empty one says nothing
            leaves |= _leaves(value, f"{key}.")
        else:
            leaves[key] = value
    return leaves


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def params_schema() -> dict[str, Any]:
    """The JSON schema of params.yaml, for editors."""
    schema = Params.model_json_schema()
    learner = TrainingConfig.model_fields["learner"].default
    describe_ports(schema["$defs"], learner)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
