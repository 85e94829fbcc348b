"""What counts as a change of a directory, with inotify and without."""

import os
import threading
import time

import pytest

from local import sources, watch


@pytest.fixture(params=["inotify", "scan"])
def directory(request, tmp_path, monkeypatch):
    elsewhere, tmp_path = tmp_path / "elsewhere", tmp_path / "src"
    (elsewhere / "package").mkdir(parents=True)
    tmp_path.mkdir()
    if request.param == "scan":
        monkeypatch.setattr(watch, "_reports", lambda directory: False)
    elif not watch._reports(tmp_path):
        pytest.skip("no inotify for this directory")
    (tmp_path / "below").mkdir()
    for name in ("a.py", "below/b.py"):
        (tmp_path / name).write_text("1")
    (elsewhere / "linked.py").write_text("1")
    (elsewhere / "package" / "c.py").write_text("1")
    (tmp_path.parent / "current").symlink_to(elsewhere)
    (tmp_path / "linked.py").symlink_to(tmp_path.parent / "current" / "linked.py")
    (tmp_path / "package").symlink_to("../current/package")
    (tmp_path / "later.py").symlink_to("../later.py")
    return tmp_path


def in_place(directory):
    (directory / "a.py").write_text("2")


def by_renaming(directory):
    (directory / "new").write_text("2")
    os.replace(directory / "new", directory / "a.py")


def below(directory):
    (directory / "below" / "b.py").write_text("2")


def added(directory):
    (directory / "c.py").touch()


def deleted(directory):
    (directory / "a.py").unlink()


def directory_deleted(directory):
    below = directory / "below"
    (below / "b.py").unlink()
    below.rmdir()


def made_readable(directory):
    """It may be what fixes a fault."""
    (directory / "a.py").chmod(0o640)


def made_older(directory):
    """As by a clock that was set back."""
    os.utime(directory / "a.py", (0, 0))


def beyond_link(directory):
    (directory.parent / "elsewhere" / "linked.py").write_text("2")


def beyond_link_by_renaming(directory):
    (directory.parent / "elsewhere" / "new").write_text("2")
    os.replace(directory.parent / "elsewhere" / "new", directory.parent / "elsewhere" / "linked.py")


def beyond_link_to_directory(directory):
    (directory.parent / "elsewhere" / "package" / "c.py").write_text("2")


def link_to_another(directory):
    (directory / "linked.py").unlink()
    (directory / "linked.py").symlink_to("a.py")


def link_on_the_way_to_another(directory):
    """As a deployment does that keeps several versions side by side."""
    other = directory.parent / "other"
    (other / "package").mkdir(parents=True)
    (other / "linked.py").write_text("3, and longer")
    (directory.parent / "next").symlink_to("other")
    os.replace(directory.parent / "next", directory.parent / "current")


def back_beyond_link(directory):
    """Its target was away."""
    (directory.parent / "later.py").write_text("1")


CHANGES = [in_place, by_renaming, below, added, deleted, directory_deleted, made_readable, made_older]
CHANGES += [beyond_link, beyond_link_by_renaming, beyond_link_to_directory, link_to_another]
CHANGES += [link_on_the_way_to_another, back_beyond_link]


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_seen_once(directory, change):
    tree = watch.Tree(directory)
    before = tree.version()
    assert tree.version() == before

    change(directory)

    after = tree.version()
    assert after > before
    assert tree.version() == after


@pytest.mark.parametrize("change", CHANGES)
def test_second_change_is_seen_too(directory, change):
    tree = watch.Tree(directory)
    change(directory)
    before = tree.version()

    beyond_link(directory)
    after = tree.version()
    assert after > before or change in (link_to_another, link_on_the_way_to_another)
    (directory / "linked.py").write_text("4, the longest")
    assert tree.version() > after


def test_what_lies_beside_the_end_of_a_link_does_not_count(directory):
    tree = watch.Tree(directory)
    before = tree.version()

    (directory.parent / "elsewhere" / "other.py").write_text("1")
    (directory.parent / "beside").mkdir()

    assert tree.version() == before


def test_file_in_a_new_directory_is_seen(directory):
    tree = watch.Tree(directory)
    (directory / "new").mkdir()
    (directory / "new" / "c.py").write_text("1")
    before = tree.version()

    (directory / "new" / "c.py").write_text("2")

    assert tree.version() > before


def test_directory_that_is_away_while_it_is_asked_for_is_watched_again(directory, monkeypatch):
    """It is not scanned from then on, which would take 36 ms with 5,000 files."""
    tree = watch.Tree(directory)
    directory.rename(directory.with_name("away"))
    away = tree.version()
    assert tree.version() == away
    directory.with_name("away").rename(directory)

    back = tree.version()
    assert back > away
    if watch._reports(directory):
        monkeypatch.setattr(tree, "_scan", None)
    assert tree.version() == back
    in_place(directory)
    assert tree.version() > back


@pytest.mark.parametrize("name", ["a.pyc", ".a.py.swp", "a.py~", "4913"])
def test_what_editors_and_python_write_beside_sources_does_not_count(directory, name):
    tree = watch.Tree(directory)
    before = tree.version()

    (directory / name).write_text("1")
    (directory / "__pycache__").mkdir()
    (directory / "__pycache__" / "a.cpython-313.pyc").write_text("1")

    assert tree.version() == before


def test_what_tools_keep_in_a_project_does_not_count(directory):
    """Whose folder may be a function's, with CodeUri: ."""
    (directory / ".venv").mkdir()
    tree = watch.Tree(directory)
    before = tree.version()

    for place in (".venv/lib", ".tools.new", ".aws-sam/build", ".git", "mine.egg-info"):
        (directory / place).mkdir(parents=True)
        (directory / place / "a.py").write_text("1")
        (directory / place / "__pycache__").mkdir()
    assert tree.version() == before

    (directory / "below" / "__pycache__").mkdir()
    sources.forget_bytecode(directory)
    assert [str(found.parent.relative_to(directory)) for found in sorted(directory.rglob("__pycache__"))] == [
        *(".aws-sam/build", ".git", ".tools.new", ".venv/lib", "mine.egg-info"),
    ]


def test_only_wanted_names_count(directory):
    tree = watch.Tree(directory, recursive=False, wanted=r".*\.json")
    before = tree.version()

    (directory / "c.py").write_text("1")
    (directory / "below" / "d.json").write_text("1")
    assert tree.version() == before
    (directory / "e.json").write_text("1")
    assert tree.version() > before


def test_save_under_way_is_waited_for(tmp_path, monkeypatch):
    """With inotify only: a writer that has begun gets a moment to finish."""
    if not watch._reports(tmp_path):
        pytest.skip("no inotify for this directory")
    monkeypatch.setattr(watch, "_SAVE_S", 5)
    tree = watch.Tree(tmp_path)
    with (tmp_path / "a.py").open("w") as file:
        file.write("half")
        file.flush()
        threading.Timer(0.1, lambda: (file.write(" whole"), file.close())).start()
        begin = time.monotonic()
        tree.version()

        assert (tmp_path / "a.py").read_text() == "half whole"
    assert 0.05 < time.monotonic() - begin < 4
