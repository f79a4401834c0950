"""A group of commands that answers a misspelt name with the closest one."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from ..core.checks import unknown


class Group(TyperGroup):
    """A typer group whose unknown commands are a `UsageError` in three parts."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return (name, command, rest) as typer does.

        Raises:
            UsageError: `args[0]` is no command of this group.
        """
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise unknown(f"command of `{ctx.command_path}`", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)
