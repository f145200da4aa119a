"""`pathway doctor`: checks the environment and says what to mend."""

import typer

from handlers.cli.root import FINDING, AsJson, Data, app, run, settings, show
from handlers.doctor import examine
from handlers.place import find


@app.command()
def doctor(data: Data = None, *, as_json: AsJson = False) -> None:
    """Check this environment, broker and database, and say what to mend. Changes nothing."""
    chosen = settings()
    checks = run(examine(chosen, find(data, chosen)))
    ok = all(each.ok for each in checks)
    found = [{"check": each.name, "ok": each.ok, "text": each.text} for each in checks]
    lines = [f"{'ok ' if each.ok else 'FIX'}  {each.name:<20} {each.text}" for each in checks]
    show({"ok": ok, "checks": found}, as_json=as_json, lines=lines)
    if not ok:
        raise typer.Exit(FINDING)
