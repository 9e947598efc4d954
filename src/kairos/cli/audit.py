"""`kairos audit`: what makes a result believable, checked on the user's own data."""

import typer

from kairos.cli import audit_adr, audit_equity, audit_null

app = typer.Typer(help="Look-ahead and luck: checks that you can run on your own data.", no_args_is_help=True)
lookahead = typer.Typer(help="Make everything again from altered inputs and compare.", no_args_is_help=True)
app.add_typer(lookahead, name="lookahead")
lookahead.command("equity")(audit_equity.lookahead_equity)
lookahead.command("adr")(audit_adr.lookahead_adr)
app.command("null")(audit_null.null)
