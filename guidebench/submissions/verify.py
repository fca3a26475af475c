"""Checks a submission as far as that is possible here: one line per check, and nothing of it is believed before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guidebench.store.folders import StoredRecord, scan
from guidebench.store.unreadable import left_out
from guidebench.submissions import claims
from guidebench.submissions.against import check_against
from guidebench.submissions.check import Check, counted, differs, each_differs, not_checked, ok
from guidebench.submissions.code import check_code, with_included_code
from guidebench.submissions.manifest import Submission
from guidebench.submissions.on_testbed import Found, check_on_testbeds
from guidebench.submissions.opening import Opened, opened
from guidebench.submissions.pack import environment_of
from guidebench.submissions.recomputed import check_scores

SAMPLE = 3  # trials that are judged again


@dataclass(frozen=True)
class Verified:
    """What was found."""

    file: Path
    submission: Submission
    checks: tuple[Check, ...]

    @property
    def differing(self) -> int:
        """How many checks found something that does not match."""
        return sum(check.result == "differs" for check in self.checks)

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        who = self.submission
        return {
            "file": str(self.file),
            "form": who.form,
            "name": who.name,
            "authors": who.authors,
            "link": who.link,
            "differs": self.differing,
            "checks": [{"about": one.about, "result": one.result, "says": one.says} for one in self.checks],
        }


def verify(
    file: str | Path,
    *,
    sample: int = SAMPLE,
    against: str | Path | None = None,
    trust_code: bool = False,
    photos: Path | None = None,
    device: str = "auto",
) -> Verified:
    """Checks a submission.

    sample: how many trials are rendered and judged again. against: the submission whose results an attack lowers.
    trust_code: whether included code, and Python files that records name, may run; none does otherwise. photos: the
    photographs that trials were made with, if they were the authors'. Raises BadInput, in one line, if the file is not
    a submission.
    """
    with opened(file, lenient=True) as found:
        checks = _files(found)
        stored, checks_of_records = _records(found)
        checks += checks_of_records
        if stored:
            checks += _of_records(found, stored, sample, trust_code, photos, device)
        if found.submission.form == "attack":
            if against is None:
                checks.append(not_checked("against", "give the attacked submission with --against METHOD.zip"))
            else:
                with opened(against) as victim:
                    checks += check_against(victim, found, stored)
        return Verified(found.file, found.submission, tuple(checks))


def _files(found: Opened) -> list[Check]:
    if found.wrong:
        return each_differs("files", found.wrong)
    return [ok("files", f"{counted(len(found.submission.files), 'file')}, all as they were packed")]


def _records(found: Opened) -> tuple[list[StoredRecord], list[Check]]:
    """The records that can be read, and what is said of them and of the others."""
    if not any((found.folder / kind).is_dir() for kind in ("records", "failures")):
        return [], [differs("records", "there are none")]
    stored, corrupt = scan(found.folder)
    checks = each_differs("records", left_out(corrupt, found.folder))
    if stored:
        measured = sum(item.record.is_measured for item in stored)
        failed = f", {len(stored) - measured} of failed trials" if measured < len(stored) else ""
        says = f"{counted(len(stored), 'record')}{failed}, each as it was written"
        checks.insert(0, ok("records", says))
    return stored, checks


def _of_records(
    found: Opened, stored: Sequence[StoredRecord], sample: int, trust_code: bool, photos: Path | None, device: str
) -> list[Check]:
    submission = found.submission
    checks = claims.check_versions(stored)
    same_numerics = all(check.result == "ok" for check in checks)
    checks += claims.check_protocols(stored)
    plugins = [item.record.spec.method for item in stored]
    attacks = [run.attack for item in stored for run in item.record.attacks]
    checks += check_code(submission, found.folder, plugins, attacks)
    other_numerics = "measured by other arithmetic than this version has; check it with the version that made it"
    on_testbeds = Found([not_checked(about, other_numerics) for about in ("testbed", "people", "renders")], {})
    if same_numerics:
        on_testbeds = check_on_testbeds(
            with_included_code(submission, found.folder, stored) if trust_code else stored,
            sample=sample,
            evidence=submission.evidence,
            trust_code=trust_code,
            photos=photos,
            device=device,
        )
    checks += claims.check_people(stored, on_testbeds.groups, attack=submission.form == "attack")
    if not submission.evidence:
        checks.append(not_checked("scores", "there is no evidence in it: scores are what the records say"))
    elif same_numerics:
        checks += check_scores(stored)
    else:
        checks.append(not_checked("scores", other_numerics))
    checks += on_testbeds.checks
    checks += claims.check_marks(stored)
    checks += claims.check_salt(stored)
    checks += claims.check_tuning(submission, stored)
    return checks + claims.check_environment(submission, environment_of(stored))
