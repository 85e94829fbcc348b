"""The project as its template describes it at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from local.engine import Function
from local.gateway.model import Api


@dataclass(frozen=True)
class Project:
    """The template's functions, by every name that they go by, and its APIs. `full_paths` has each function once."""

    functions: Mapping[str, Function]
    full_paths: Mapping[str, Function]
    apis: tuple[Api, ...]
