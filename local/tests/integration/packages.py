"""Packages on this machine that build at once: they contain their build backend, which needs no other package."""

# https://peps.python.org/pep-0517/
_BACKEND = """import os, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    info = "{name}-1.dist-info"
    wheel = "{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, wheel), "w") as file:
        file.write("{name}.py")
        file.writestr(f"{{info}}/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1\\n")
        file.writestr(f"{{info}}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        file.writestr(f"{{info}}/RECORD", "")
    return wheel
"""


def package(directory, value, building=""):
    """Makes a package in the directory, and of its name, whose VALUE this is; `building` runs when it is built."""
    name = directory.name
    directory.mkdir(parents=True)
    (directory / "backend.py").write_text(f"{_BACKEND.format(name=name)}\n{building}\n")
    (directory / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "1"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    save(directory, value)


def save(directory, value):
    (directory / f"{directory.name}.py").write_text(f"VALUE = {value!r}\n")
