"""The command line: a table of commands, each imported when it is asked for. Nothing heavy is imported here."""

from __future__ import annotations

import os
from typing import Any

import click

from cai import __version__

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Make data and models": {
        "run": ("cai.cli.run:run", "Run a recipe: critique, revision, labels, reward model, exports."),
        "plan": ("cai.cli.plan:plan", "What `cai run` would ask, how long it takes and what it costs."),
        "train": ("cai.cli.train:train", "Train one model on files of your own."),
        "export": ("cai.cli.export:export", "Datasets of a run for other trainers."),
    },
    "Look": {
        "status": ("cai.cli.status:status", "What each step of a run did, and whether it is stale."),
        "show": ("cai.cli.show:show", "Read the rows of a stage, one chain at a time."),
        "audit": ("cai.cli.audit:audit", "Whether a run's judge is fit to label, before anything trains on it."),
        "evaluate": ("cai.cli.evaluate:evaluate", "Measure a model on held-out data."),
    },
    "Prepare": {
        "constitution": ("cai.cli.constitution:constitution", "Write, check, compare and import constitutions."),
        "prompts": ("cai.cli.prompts:prompts", "See how prompt files would be read."),
        "import": ("cai.cli.import_:import_", "Take in preferences and prompts in other formats."),
    },
    "The rest": {
        "embedded": ("cai.cli.embedded:embedded", "The small model that ships with the package."),
        "completion": ("cai.cli.completion:completion", "Completion for your shell."),
    },
}
TABLE = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(TABLE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in TABLE:
            return None
        import importlib

        module, attribute = TABLE[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and args[0] not in TABLE:
            from cai.errors import did_you_mean

            ctx.fail(f"no command is named '{args[0]}'{did_you_mean(args[0], TABLE)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, text) for name, (_, text) in commands.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nStopped. What was answered is kept: the same command goes on from here.", err=True)
            ctx.exit(130)
        except Exception as error:
            raise _told(error) from None


def _told(error: Exception) -> Exception:
    """A user's mistake as the one line that click prints, several as a line each; anything else as it is."""
    from cai.errors import CAIError, SeveralErrors

    if not isinstance(error, CAIError | OSError) or isinstance(error, BrokenPipeError):
        return error
    messages = [str(one) for one in (error.errors if isinstance(error, SeveralErrors) else (error,))]
    if isinstance(error, OSError):
        messages = [f"{error.filename or 'the system'}: {error.strerror or error}"]
    told = _Told("\nError: ".join(" ".join(message.split()) for message in messages))
    if isinstance(error, CAIError):
        told.exit_code = error.exit_code  # type: ignore[misc]
    return told


class _Told(click.ClickException):
    """Printed as one line; the exit status is that of the error, as a rule 2."""

    exit_code = 2


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "CAI", "max_content_width": 100},
)
@click.version_option(__version__, prog_name="cai")
def main() -> None:
    """Constitutional AI and RLAIF as a pipeline.

    A constitution and prompts go in; critiqued and revised answers, AI preference labels, a reward model and datasets
    for every trainer come out.

    \b
    Example:
      cai run                                  the demo, offline, on the embedded model
      cai constitution new my.yaml             a constitution to edit
      cai run --constitution my.yaml --prompts red_team.jsonl --model hf/./my-model --out outputs/mine
      cai show outputs/mine revise             read what came out
    """
    # How long a waiting thread of GNU's OpenMP spins before it sleeps. By default so long that two processes on the
    # same cores take twice the time of one after the other; it has to be said before torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
