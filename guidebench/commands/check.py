"""`guidebench check`."""

from __future__ import annotations

import sys

import click

from guidebench.errors import EXIT_FAILED_TRIALS


@click.command()
@click.argument("spec")
def check(spec: str) -> None:
    """Check that a method, attack, metric or testbed keeps its contract.

    SPEC is a registered name, path/to/file.py:Name or module:Name. Methods and attacks run on the analytic testbed.
    Exit code 1 if a check fails.
    """
    from guidebench.checks.plugin import check_plugin

    findings = check_plugin(spec)
    for finding in findings:
        detail = f": {finding.detail}" if finding.detail else ""
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}{detail}")
    failed = sum(not finding.ok for finding in findings)
    click.echo(f"{len(findings) - failed} of {len(findings)} checks passed")
    if failed:
        sys.exit(EXIT_FAILED_TRIALS)
