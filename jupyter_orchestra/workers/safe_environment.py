"""Owns which variables code that a model wrote gets: a list of names, none of which can hold a key; knows no task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

KEPT: Final = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TERM", "TZ", "NO_COLOR",
    "LANG", "LANGUAGE", "LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME",
    "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "JAVA_HOME",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME",
    "PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE",
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_DATA_DIRS", "IPYTHONDIR", "MPLBACKEND", "MPLCONFIGDIR",
    "JUPYTER_PATH", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_PLATFORM_DIRS",
    "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
})  # fmt: skip
FAMILIES: Final = ("OMP_", "OPENBLAS_", "MKL_", "BLIS_", "GOTO_", "NUMBA_", "CUDA_")  # how many threads, which devices
SECRETS: Final = ("KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "AUTH", "LICENSE")


def safe_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What of `environ` goes on to code that a model wrote. What is not known by its name does not."""
    return {name: value for name, value in environ.items() if name in KEPT or _is_tuning(name)}


def _is_tuning(name: str) -> bool:
    return name.startswith(FAMILIES) and not any(word in name for word in SECRETS)
