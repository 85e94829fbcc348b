"""The machinery behind ./run.sh, ./install.sh and ./deploy.sh; README.md in this folder says how it works."""

# The newest of CHANGELOG.md.
__version__ = "2.0.0"
