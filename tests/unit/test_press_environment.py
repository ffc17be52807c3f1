"""What a kernel may see of the service's environment."""

import pytest

from pressroom.press.environment import kernel_environment


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "CONDA_PREFIX", "SSL_CERT_FILE", "R_LIBS_USER"]
)
def test_the_usual_variables_reach_a_kernel(name: str) -> None:
    assert kernel_environment({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_URL",
        "PRESSROOM_DATABASE_URL",
        "PGPASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "PYTHONPATH",
        "path",
        "XPATH",
        "LC",
    ],
)
def test_no_other_variable_reaches_a_kernel(name: str) -> None:
    assert kernel_environment({name: "x"}) == {}


def test_a_setting_names_more_one_by_one_or_by_their_beginning() -> None:
    environment = {"REPORT_BUCKET": "a", "REPORT_KEY": "b", "REPORTS": "c", "TOKEN": "d"}
    assert kernel_environment(environment, ["REPORT_*", "TOKEN"]) == {
        "REPORT_BUCKET": "a",
        "REPORT_KEY": "b",
        "TOKEN": "d",
    }
