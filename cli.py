"""The `clarion` command: parses, calls, prints. Rooms are loaded when one of their commands is called."""

import importlib
from pathlib import Path

import click

from core.commands import Desk
from core.errors import EngineError
from core.names import near_miss

#: Every command, in the order people meet them: name → module, its function, the line shown in `--help`.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("campaigns.commands.files", "init", "Make a ready workspace in a folder."),
    "demo": ("demo.commands", "demo", "Run the whole job on sample data, on this machine."),
    "up": ("workers.commands", "up", "Start services, workers, scheduler and web on this machine."),
    "down": ("workers.commands", "down", "Stop everything `clarion up` started."),
    "doctor": ("workers.commands", "doctor", "Say what is set up and what is missing."),
    "import": (
        "customers.commands",
        "import_",
        "Import customers, purchases, events, consents or suppressions.",
    ),
    "customer": ("customers.commands", "customer", "Show, merge, export and erase customers."),
    "tiers": ("customers.commands", "tiers", "Show how many customers are in each level, and their revenue."),
    "validate": ("campaigns.commands.files", "validate", "Check every file of the workspace."),
    "schema": ("campaigns.commands.files", "schema", "Write JSON Schemas that editors complete and check with."),
    "segment": ("segments.commands", "segment", "Count, list, show and explain segments."),
    "preview": ("campaigns.commands.looking", "preview", "Render a campaign's mailing for one customer."),
    "send-test": ("campaigns.commands.looking", "send_test", "Send a rendered mailing to yourself."),
    "plan": (
        "campaigns.commands.planning",
        "plan",
        "Show what would be sent to how many people, and who is left out.",
    ),
    "test": ("campaigns.workspace_tests.commands", "test", "Play the workspace's tests: who gets what, when."),
    "simulate": ("reports.rehearsal.commands", "simulate", "Rehearse the days to come; nothing is written or sent."),
    "apply": ("campaigns.commands.planning", "apply", "Carry out exactly the plan that was reviewed."),
    "send": ("campaigns.commands.planning", "send", "Plan and apply one campaign."),
    "pause": ("campaigns.commands.control", "pause", "Hand over nothing more until resumed."),
    "resume": ("campaigns.commands.control", "resume", "Go on where a paused campaign stopped."),
    "cancel": ("campaigns.commands.control", "cancel", "End a campaign; what was not handed over never will be."),
    "retry": ("campaigns.commands.settling", "retry", "Send failed messages again."),
    "reconcile": ("campaigns.commands.settling", "reconcile", "Settle messages in doubt by the mail server's log."),
    "status": ("campaigns.commands.answers", "status", "Show the ledger's counts, and check that they balance."),
    "why": ("campaigns.commands.answers", "why", "Explain what happened to one customer in one campaign."),
    "calendar": ("campaigns.calendar.commands", "calendar", "Show what goes out when, to how many."),
    "sequence": ("campaigns.sequences.commands", "sequence", "Show who is where in sequences; let somebody leave."),
    "enrol": ("campaigns.sequences.commands", "enrol", "Let a customer enter a sequence."),
    "task": ("campaigns.commands.tasks", "task", "List what employees have to do, and say what was done."),
    "event": ("campaigns.events.commands", "event", "Show events; register, withdraw and check in people."),
    "inquiry": ("campaigns.inquiries.commands", "inquiry", "List what people asked, and say what was answered."),
    "survey": ("reports.surveys.commands", "survey", "Show what customers answered to surveys."),
    "report": ("reports.commands", "report", "Show what came back."),
    "feedback": ("campaigns.commands.feedback", "feedback", "Show bounces, complaints and replies, and what followed."),
    "suppress": ("suppression.commands", "suppress", "Add, list, check, export and remove suppressions."),
    "consent": ("web.commands", "consent", "Show and record what customers agree to."),
    "retention": ("customers.rights.commands", "retention", "Remove what was kept long enough."),
    "audit": ("workers.commands", "audit", "Show who did what, and that nobody changed it."),
    "transport": ("delivery.commands.transport", "transport", "Show the transports; test, pause and resume them."),
    "dkim": ("delivery.commands.dkim", "dkim", "Make signing keys, and show the DNS records that go with them."),
    "worker": ("workers.commands", "worker", "Run worker processes."),
    "scheduler": ("workers.commands", "scheduler", "Run the scheduler."),
    "api-key": ("web.api.commands", "api_key", "Make a key for a program that calls the HTTP API."),
    "web": ("web.commands", "web", "Serve tracked links, the public pages and the HTTP API."),
    "inbound": ("workers.commands", "inbound", "Take in bounces, complaints, automatic answers, opt-outs and replies."),
    "db": ("workers.commands", "db", "Look after the database."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), function)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and (close := near_miss(args[0], COMMANDS)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Ours becomes one message on stderr and an exit code; a bug keeps its traceback."""
        try:
            return super().invoke(ctx)
        except EngineError as error:
            click.echo(f"clarion: {error}", err=True)
            ctx.exit(error.exit_code)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clarion", prog_name="clarion")
@click.option(
    "-w",
    "--workspace",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The workspace folder (default: the current one, or $CLARION_WORKSPACE).",
)
@click.pass_context
def clarion(ctx: click.Context, folder: Path | None) -> None:
    """Campaigns as code: files → plan with head counts → run → a ledger that balances."""
    if ctx.obj is None:
        ctx.obj = Desk(folder)
        ctx.call_on_close(ctx.obj.close)


def main() -> None:
    """The console script."""
    clarion(prog_name="clarion")


if __name__ == "__main__":
    main()
