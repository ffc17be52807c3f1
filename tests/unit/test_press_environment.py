"""What a kernel may see of the service's environment."""

import pytest
from pydantic import SecretStr

from pressroom.press.account import Account
from pressroom.press.environment import kernel_environment
from pressroom.settings import Settings


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


def _secrets() -> list[str]:
    found = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]
    return [f"PRESSROOM_{name.upper()}" for name in found]


@pytest.mark.parametrize("allowed", ["*", "PRESSROOM_*", "name"])
@pytest.mark.parametrize(
    "name",
    [
        *_secrets(),
        "DATABASE_URL",
        "JUPYTERHUB_API_TOKEN",
        "PRESSROOM_ADMIN_URL",
        "PRESSROOM_DATABASE_PASSWORD",
        "PRESSROOM_TOKEN",
        "pressroom_secret_key",
    ],
)
def test_no_setting_gives_a_kernel_what_is_secret_of_the_service(name: str, allowed: str) -> None:
    environment = {name: "x", "PRESSROOM_URL": "y"}
    assert name not in kernel_environment(environment, [allowed.replace("name", name)])
    assert kernel_environment(environment, ["PRESSROOM_*"]) == {"PRESSROOM_URL": "y"}


def test_the_settings_have_secrets() -> None:
    assert SecretStr.__name__ in str(Settings.model_fields["secret_key"].annotation)
    assert {"PRESSROOM_SECRET_KEY", "PRESSROOM_SMTP_URL", "PRESSROOM_OIDC_CLIENT_SECRET"} <= set(_secrets())


def test_an_account_gets_no_folder_of_the_services_own() -> None:
    own = {
        "R_LIBS_USER": "/root/R",
        "JULIA_DEPOT_PATH": "/root/.julia",
        "PYTHONUSERBASE": "/root/.local",
        "XDG_CACHE_HOME": "/root/.cache",
        "XDG_CONFIG_HOME": "/root/.config",
        "XDG_DATA_HOME": "/root/.local/share",
        "XDG_RUNTIME_DIR": "/run/user/0",
        "XDG_STATE_HOME": "/root/.local/state",
        "HOME": "/root",
    }
    found = Account("ana", 1001, 1001, (), "/home/ana", "/bin/sh", 0o22).environment(own | {"TZ": "UTC"})
    assert found == {"HOME": "/home/ana", "USER": "ana", "LOGNAME": "ana", "SHELL": "/bin/sh", "TZ": "UTC"}


def test_a_setting_names_more_one_by_one_or_by_their_beginning() -> None:
    environment = {"REPORT_BUCKET": "a", "REPORT_KEY": "b", "REPORTS": "c", "TOKEN": "d"}
    assert kernel_environment(environment, ["REPORT_*", "TOKEN"]) == {
        "REPORT_BUCKET": "a",
        "REPORT_KEY": "b",
        "TOKEN": "d",
    }
