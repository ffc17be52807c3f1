"""What a kernel may see of the service's environment: an allow list, so that no secret reaches a notebook."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

USUAL = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "TERM",
    "VIRTUAL_ENV", "CONDA_*", "JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_CONFIG_PATH",
    "JUPYTER_PLATFORM_DIRS", "IPYTHONDIR", "MPLBACKEND", "MPLCONFIGDIR", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "R_LIBS*", "R_HOME", "JULIA_*",
)  # fmt: skip
"""The names that every kernel may see; one may end in ``*``."""

NEVER = (
    "DATABASE_URL", "PGPASSWORD", "PRESSROOM_ADMIN_URL", "PRESSROOM_DATABASE_URL", "PRESSROOM_SMTP_URL",
    "PRESSROOM_MLFLOW_TRACKING_URI", "PRESSROOM_*KEY*", "PRESSROOM_*PASSWORD*", "PRESSROOM_*SECRET*",
    "PRESSROOM_*TOKEN*", "JUPYTERHUB_*SECRET*", "JUPYTERHUB_*TOKEN*", "OTEL_*HEADERS",
)  # fmt: skip
"""The names of the service's own secrets, which no kernel sees, whatever is allowed."""


def kernel_environment(environment: Mapping[str, str], allowed: Sequence[str] = ()) -> dict[str, str]:
    """The part of ``environment`` that a kernel may see: the usual names, and those ``allowed`` besides; of these
    none of the service's own secrets."""
    names = (*USUAL, *allowed)
    return {key: value for key, value in environment.items() if _is_any(key, names) and not _is_any(key.upper(), NEVER)}


def _is_any(key: str, names: Sequence[str]) -> bool:
    return any(fnmatchcase(key, name) for name in names)
