"""Guesses in words, for the terminal: one line for each reason, with every place that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from local.cloudformation.template import Guess

_VARIABLE = ("Environment", "Variables")
# Beginnings of the reasons for which there is no placeholder.
_MISSING = ("null is", "AWS::Include cannot", "the macro", "CloudFormation takes it")


def told(guesses: Iterable[Guess], given: Callable[[str, str], bool]) -> list[str]:
    """`given` says whether env.json has a value for a variable, by the function's full path or "Globals Function"."""
    reasons: dict[tuple[str, str], list[Guess]] = {}
    for guess in guesses:
        if guess.path[:2] != _VARIABLE or not given(guess.resource, guess.path[2]):
            reasons.setdefault((guess.reason, guess.parameter), []).append(guess)
    return [
        f"{reason}: {'it is missing' if reason.startswith(_MISSING) else 'a placeholder stands in for it'} in "
        f"{', '.join(dict.fromkeys(map(_place, places)))}"
        f"{_remedy(parameter, places)}"
        for (reason, parameter), places in reasons.items()
    ]


def _place(guess: Guess) -> str:
    if guess.resource == "Conditions":
        return f"the condition {guess.path[0]}"
    name = guess.path[2] if guess.path[:2] == _VARIABLE else ".".join(guess.path)
    return f"{name} of {'every function' if 'Globals Function' in guess.resource else guess.resource}"


def _remedy(parameter: str, places: list[Guess]) -> str:
    if parameter:
        return f". Give it a value: ./run.sh --parameter-overrides {parameter}=VALUE"
    variable = next((guess for guess in places if guess.path[:2] == _VARIABLE), None)
    if not variable:
        return ""
    function = "Parameters" if "Globals " in variable.resource else variable.resource
    return f'. Give it a value in env.json: {{"{function}": {{"{variable.path[2]}": "VALUE"}}}}'
