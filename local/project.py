"""The project as its template describes it at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from local.engine import Function
from local.gateway.model import Api, Route
from local.gateway.routes import Routes


@dataclass(frozen=True)
class Project:
    """The template's functions, by full path and by every other name, and its APIs."""

    functions: Mapping[str, Function]
    by_name: Mapping[str, Function]
    apis: tuple[Api, ...]
    routes: Routes

    @property
    def every_route(self) -> list[Route]:
        """The routes of all APIs, in the template's order."""
        return [route for api in self.apis for route in api.routes]
