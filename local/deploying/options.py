"""The options of ./deploy.sh: those of `sam deploy`, except what deploy.sh decides itself."""

import click

from local.deploying import Failure

_SETTINGS = ("--stack-name", "--s3-", "--region", "--profile")
_DECIDED = ("--template", "--output", "--guided", "--resolve-s3", "--confirm-changeset", "-t", "-g")


def check(options: list[str], stack: str) -> None:
    """Raises Failure for what `sam deploy` would refuse, and for what it would misunderstand."""
    for option in options:
        if option.startswith(_SETTINGS):
            raise Failure("set STACK_NAME, BUCKET, AWS_REGION or AWS_PROFILE instead; see ./deploy.sh --help")
        if option.startswith("--") and option.startswith(_DECIDED) or option in _DECIDED:
            raise Failure(f"deploy.sh sets {option.split('=')[0]} itself; to change that, edit its steps in deploy.sh")
    if options and not options[0].startswith("-"):
        raise stray(options[0], stack)
    if not options:
        return
    from samcli.commands.deploy.command import cli as deploy

    context = click.Context(deploy)
    try:
        values, words, _ = deploy.make_parser(context).parse_args(list(options))
        for parameter in deploy.get_params(context):
            if parameter.name in values:
                parameter.type_cast_value(context, values[parameter.name])
    except click.UsageError as error:
        sentence = " ".join(error.format_message().split()).rstrip(".")
        raise Failure(f"{sentence[0].lower()}{sentence[1:]}; see ./deploy.sh --help") from None
    if words:
        raise stray(words[0], stack)


def stray(word: str, stack: str) -> Failure:
    """For a word that belongs to no option: sam would ignore it and deploy."""
    return Failure(
        f'"{word}" is not an option; for a stack with another name: STACK_NAME={stack}-prod ./deploy.sh, '
        "to remove one: ./deploy.sh --delete"
    )
