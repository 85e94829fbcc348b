"""What the README says, for machines: its commands with the output that it shows, its examples and settings."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

_PLACED = re.compile(r"(?P<line>.*\S)  # (?P<place>.+)")


@dataclass
class Command:
    """A line that the README gives to the shell, and the lines that it shows below."""

    text: str
    shown: list = field(default_factory=list)


@dataclass
class Example:
    """An addition to the project; each part is a (place, lines)."""

    title: str
    parts: list = field(default_factory=list)


def blocks():
    """(language, lines) of every fenced block."""
    language, lines = None, []
    for line in README.read_text().splitlines():
        if language is not None and line == "```":
            yield language, lines
            language = None
        elif language is not None:
            lines.append(line)
        elif line.startswith("```"):
            language, lines = line[3:], []


def block(wanted):
    """The lines of the one block in this language."""
    (lines,) = [lines for language, lines in blocks() if language == wanted]
    return lines


def commands():
    """Every Command of the README, in order."""
    found = []
    for language, lines in blocks():
        if language == "console":
            for line in lines:
                if line.startswith("$ "):
                    found.append(Command(line[2:]))
                else:
                    found[-1].shown.append(line)
    return found


def examples():
    """{title: Example}, in order."""
    found = {}
    for line in block("python"):
        if line.startswith("# "):
            title = re.split("[:,]", line[2:])[0]
            found[title] = example = Example(title)
        elif part := _PLACED.fullmatch(line):
            example.parts.append((part["place"], [part["line"]]))
        else:
            example.parts[-1][1].append(line)
    return found


def settings():
    """The keys of template.yaml that stand in the text with a value, as {key: [line]}, in order."""
    found = {}
    for line in re.findall(r"`((?:[A-Z]+|Parameters|Policies|VpcConfig): [^`]+)`", README.read_text()):
        found.setdefault(line.split(":")[0], []).append(line)
    return found


def apply(project, example):
    """Adds an Example to the project as a person would who reads where each part goes."""
    for place, lines in example.parts:
        if file := re.fullmatch(r"(\S+), a new file", place):
            (project / file[1]).parent.mkdir(parents=True)
            (project / file[1]).write_text("\n".join(lines) + "\n")
            continue
        path = project / ("template.yaml" if place.endswith(":") else "src/lambda.py")
        path.write_text("\n".join(_placed(path.read_text().splitlines(), place, lines)) + "\n")


def _placed(old, place, lines):
    if place == "top":
        first = next(number for number, line in enumerate(old) if line.startswith(("import ", "from ")))
        return old[:first] + lines + old[first:]
    if place == "handler":
        function = next(number for number, line in enumerate(old) if line.startswith("def handler("))
        return _insert(old, next(n for n in range(function, len(old)) if old[n].endswith('"""')), lines, 0)
    if name := re.fullmatch(r"instead of (\".+\")", place):
        replaced = next(number for number, line in enumerate(old) if line.strip().startswith(f"{name[1]}:"))
        new = _insert(old, replaced, lines, 0)
        return new[:replaced] + new[replaced + 1 :]
    found = -1
    for key in re.findall(r"\w+:", place):
        found = next(number for number in range(found + 1, len(old)) if old[number].strip() == key)
    return _insert(old, found, lines, 2)


def _insert(old, number, lines, deeper):
    indent = " " * (len(old[number]) - len(old[number].lstrip()) + deeper)
    return old[: number + 1] + [indent + line for line in lines] + old[number + 1 :]
