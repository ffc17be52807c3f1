"""What MLflow is told of an execution."""

import re
from datetime import UTC, datetime
from posixpath import normpath
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pressroom.database.models import Execution
from pressroom.executions.states import Status
from pressroom.settings import Settings
from pressroom.tracking.facts import RunFacts, output_name, result_names, run_facts

MOMENT = datetime(2026, 3, 1, 7, 30, tzinfo=UTC)


def facts(name: str | None = "sales", public_url: str | None = None, **columns: Any) -> RunFacts:
    known: dict[str, Any] = {
        "id": 12, "username": "ana", "submitted_by": "bob", "input_path": "/home/ana/n.ipynb", "status": "success",
        "attempt": 2, "queue": "default", "started_at": MOMENT, "completed_at": MOMENT,
    }  # fmt: skip
    return run_facts(Execution(**known | columns), name, "here", public_url)


def test_parameters_are_texts_and_numbers_are_metrics_and_other_results_are_tags() -> None:
    told = facts(
        parameters_used={"region": "EMEA", "months": [1, 2], "rate": 0.5, "all": True, "password": "***"},
        results={"revenue": 12.5, "rows": 3, "done": True, "best": "tree", "huge": 10**400},
    )
    assert told.params == {"region": "EMEA", "months": "[1, 2]", "rate": "0.5", "all": "true", "password": "***"}
    assert told.metrics == {"revenue": 12.5, "rows": 3.0}
    assert {name: told.tags[f"result.{name}"] for name in ("done", "best")} == {"done": "true", "best": "tree"}


def test_the_tags_say_where_an_execution_came_from() -> None:
    told = facts(batch_id=3, batch_index=0, schedule_id=4, scheduled_at=MOMENT, public_url="https://press.example")
    expected = {"execution_id": "12", "installation": "here", "attempt": "2", "notebook": "sales", "username": "ana"}
    expected |= {"submitted_by": "bob", "batch_id": "3", "batch_index": "0", "schedule_id": "4", "status": "success"}
    expected |= {"scheduled_at": "2026-03-01T07:30:00+00:00", "url": "https://press.example/db/executions/12"}
    assert {name: told.tags.get(f"pressroom.{name}") for name in expected} == expected
    assert told.marks == {"pressroom.execution_id": "12", "pressroom.installation": "here"}
    assert (told.tags["mlflow.user"], told.tags["mlflow.source.name"]) == ("ana", "/home/ana/n.ipynb")
    assert "pressroom.batch_id" not in facts().tags


def test_the_experiment_is_the_notebook_and_without_a_name_its_path() -> None:
    assert (facts().experiment, facts(name=None).experiment) == ("sales", "/home/ana/n.ipynb")
    named = [facts(status=status).status for status in (Status.SUCCESS, Status.FAILED, Status.CANCELLED)]
    assert named == ["FINISHED", "FAILED", "KILLED"]
    assert facts().ended_ms == 1_772_350_200_000


@given(st.dictionaries(st.text(min_size=1), st.one_of(st.floats(), st.integers(), st.text(), st.none())))
def test_whatever_a_notebook_records_mlflow_can_take_it(results: dict[str, Any]) -> None:
    told = facts(results=results, parameters_used=results)
    for name in [*told.params, *told.metrics, *told.tags]:
        assert re.fullmatch(r"[\w\-./ :]{1,250}", name), name
        assert normpath(name) == name
        assert not name.startswith(("/", ".."))
    assert all(abs(value) < float("inf") for value in told.metrics.values())


def test_long_texts_are_cut_to_what_mlflow_takes() -> None:
    told = facts(parameters_used={"a": "x" * 10_000}, error_message="y" * 10_000)
    assert (len(told.params["a"]), len(told.tags["pressroom.error"])) == (6000, 5000)


def test_names_that_would_be_the_same_in_mlflow_differ() -> None:
    told = facts(results={"a?b": 1, "a*b": 2, "a_b": 3, "x" * 250 + "1": 4, "x" * 250 + "2": 5, "n": 6})
    assert sorted(told.metrics.values()) == [1, 2, 3, 4, 5, 6]
    assert (told.metrics["a_b"], told.metrics["n"]) == (3, 6), "what can keep its name keeps it"
    assert max(map(len, told.metrics)) <= 250
    files = result_names({"a?b": "image/png", "a*b": "image/png", "a*b.png": "application/x-strange"})
    assert len(set(files.values())) == 3


def test_files_have_names_that_can_stand_in_an_address() -> None:
    execution = Execution(output_path="/home/ana/executions/Bericht #1 50%-12.ipynb")
    assert output_name(execution) == "Bericht _1 50_-12.ipynb"
    named = {"a#b": "image/png", "../ä\\\n": "image/png", "by month": "application/vnd.apache.parquet"}
    assert list(result_names(named).values()) == ["results/a_b.png", "results/_ä__.png", "results/by month.parquet"]


@given(st.dictionaries(st.text(min_size=1), st.sampled_from(["image/png", "image/svg+xml", "application/x-strange"])))
def test_every_result_has_a_file_of_its_own(media_types: dict[str, str]) -> None:
    files = list(result_names(media_types).values())
    assert len(set(files)) == len(media_types)
    for file in files:
        folder, name = file.split("/")
        assert folder == "results"
        assert re.fullmatch(r"[\w\-. ()+,=@]+", name), name
        assert not name.startswith(".")
        assert len(name.encode()) <= 255


def test_a_password_in_the_address_is_not_for_kernels() -> None:
    settings = Settings.model_validate({"MLFLOW_TRACKING_URI": "https://bob:s3cret@mlflow.example:5000/x"})
    assert settings.mlflow_uri_of_kernels == "https://mlflow.example:5000/x"
    assert "s3cret" not in repr(settings)
    own = {"MLFLOW_TRACKING_URI": "http://a", "PRESSROOM_MLFLOW_TRACKING_URI": "http://b"}
    assert Settings.model_validate(own).mlflow_uri_of_kernels == "http://b"
    assert Settings.model_validate({"MLFLOW_TRACKING_URI": ""}).mlflow_tracking_uri is None
