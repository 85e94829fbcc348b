"""Reads the README: its commands with the output that it shows, and its examples."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

# The sentence above a block that goes into a file.
_PLACED = re.compile(r"In (?:a new file, )?`(?P<file>[^`]+)`(?:, (?P<place>.+))?:")


@dataclass
class Block:
    """A fenced block, below a heading and a sentence."""

    heading: str
    sentence: str
    language: str
    lines: list = field(default_factory=list)


@dataclass
class Command:
    """A command in the README, and the output that it shows below."""

    text: str
    shown: list = field(default_factory=list)


@dataclass
class Example:
    """An addition to the project; each part is a (file, place, lines). `text` is all that the README says of it."""

    title: str
    text: str
    parts: list = field(default_factory=list)

    @property
    def prose(self):
        """The text on one line."""
        return " ".join(self.text.split())


def blocks() -> list[Block]:
    found, heading, sentence, inside = [], "", "", False
    for line in README.read_text().splitlines():
        if inside and line != "```":
            found[-1].lines.append(line)
        elif line.startswith("```"):
            inside = not inside
            if inside:
                found.append(Block(heading, sentence, line[3:]))
        elif line.startswith("#"):
            heading = line.strip("# ")
        elif line:
            sentence = line
    return found


def block(language):
    """The lines of the one block in this language."""
    (found,) = [block.lines for block in blocks() if block.language == language]
    return found


def commands(only: str | None = None, but: str | None = None) -> list[Command]:
    """Every Command of the README, in order; of one example alone, or of all but one."""
    found = []
    for one in blocks():
        if one.language == "console" and only in (None, one.heading) and but != one.heading:
            for line in one.lines:
                if line.startswith("$ "):
                    found.append(Command(line[2:]))
                elif found[-1].text.endswith(" \\"):
                    found[-1].text = found[-1].text[:-1] + line.strip()
                else:
                    found[-1].shown.append(line)
    return found


def examples() -> dict[str, Example]:
    """{title: Example}, in order."""
    texts = dict(re.findall(r"^### (.+)\n((?:(?!##).*\n)+)", README.read_text(), re.MULTILINE))
    found = {title: Example(title, text) for title, text in texts.items()}
    for one in placed():
        if one.heading in found:
            found[one.heading].parts.append(part(one))
    return found


def placed() -> Iterator[Block]:
    """The blocks that go into files."""
    return (one for one in blocks() if one.language in ("yaml", "python", "text"))


def apply(project: Path, example: Example) -> None:
    """Adds an Example to the project, each part where the README says."""
    for where in example.parts:
        put(project, *where)


def put(project: Path, file: str, place: str | None, lines: list[str]) -> None:
    path = project / file
    if place is None:
        before = path.read_text() if path.exists() else ""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(before + "\n".join(lines) + "\n")
    else:
        path.write_text("\n".join(_placed(path.read_text().splitlines(), place, lines)) + "\n")


def part(block: Block) -> tuple[str, str | None, list[str]]:
    """Where a block goes, as `put` takes it."""
    found = _PLACED.fullmatch(block.sentence)
    assert found, f"this sentence does not say where its block goes: {block.sentence}"
    return found["file"], found["place"], block.lines


def _placed(old: list[str], place: str, lines: list[str]) -> list[str]:
    names = re.findall(r"`([^`]+)`", place)
    if place == "at the top":
        first = _find(old, lambda line: line.startswith(("import ", "from ")))
        return old[:first] + [line for line in lines if line not in old] + old[first:]
    if place == "as the first lines of `handler`":
        function = _find(old, lambda line: line.startswith("def handler("))
        after = 1 + _find(old, lambda line: line.endswith('"""'), function + 1)
        if not old[function + 1].endswith('"""'):
            after = 1 + _find(old, lambda line: line == '    """', function + 1)
    elif place.startswith("in place of the line that begins with"):
        after = _find(old, lambda line: line.strip().startswith(names[0]))
        del old[after]
    elif place.startswith("in place of"):
        owner = _find(old, lambda line: line.strip() == f"{names[1]}:")
        after = _find(old, lambda line: line.strip().startswith("Policies:"), owner)
        assert names[0] == "Policies: []"
        if old[after].strip() == names[0]:
            del old[after]
        else:  # as "A permission" says
            after, lines = after + 1, lines[1:]
    elif place.startswith("above"):
        after = old.index(names[0])
    else:
        assert place.startswith("below"), place
        owner = _find(old, lambda line: line.strip() == f"{names[1].rstrip(':')}:") if names[1:] else 0
        after = 1 + _find(old, lambda line: line.strip() == names[0], owner)
        above, first = (len(line) - len(line.lstrip()) for line in (old[after - 1], lines[0]))
        assert first == above + 2, f"{lines[0]!r} is not below {old[after - 1]!r}"
    return old[:after] + lines + old[after:]


def _find(lines, holds, start=0) -> int:
    return next(number for number in range(start, len(lines)) if holds(lines[number]))
