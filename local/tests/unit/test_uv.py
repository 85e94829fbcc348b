"""What uv is told by the environment."""

import pytest

from local import uv

INDEX = {"PIP_INDEX_URL": "https://a/simple"}
EXTRA = {"PIP_EXTRA_INDEX_URL": "https://b/simple https://c/simple"}

# https://pip.pypa.io/en/stable/topics/configuration/#environment-variables
# https://docs.astral.sh/uv/reference/environment/
SETTINGS = [
    ({}, {}),
    (INDEX, {"UV_DEFAULT_INDEX": "https://a/simple"}),
    (EXTRA, {"UV_EXTRA_INDEX_URL": "https://b/simple https://c/simple"}),
    ({"PIP_INDEX_URL": ""}, {}),
    # uv's own count first.
    ({**INDEX, "UV_DEFAULT_INDEX": "https://u/simple"}, {}),
    ({**INDEX, "UV_INDEX_URL": "https://u/simple"}, {}),
    ({**EXTRA, "UV_INDEX": "https://u/simple"}, {}),
]


@pytest.mark.parametrize(("given", "set"), SETTINGS)
def test_variables_of_pip_count_as_uvs_own(monkeypatch, given, set):
    for name in (*INDEX, *EXTRA, "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert uv.settings() == {"UV_NO_EDITABLE": "1", **set}
