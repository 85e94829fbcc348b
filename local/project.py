"""The project as its template describes it at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from local.engine import Function
from local.gateway.model import Api
from local.gateway.routes import Routes


@dataclass(frozen=True)
class Project:
    """The template's functions, each once by its full path and also by every name that it goes by, and its APIs."""

    functions: Mapping[str, Function]
    by_name: Mapping[str, Function]
    apis: tuple[Api, ...]
    routes: Routes
