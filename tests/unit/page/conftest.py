"""The records of the reporting tests."""

from unit.reporting.conftest import build, build_stored, make, make_record, make_score, write_record

__all__ = ["build", "build_stored", "make", "make_record", "make_score", "write_record"]
