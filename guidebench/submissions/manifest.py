"""What a submission says of itself: `submission.json`, beside the results directory that the file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from guidebench.errors import BadInput
from guidebench.text import brief

FORMAT = 1  # raised when submission.json changes in a way that readers must know
NAME = "submission.json"
SOURCE = "source"  # the folder of the code of a method or an attack
_LONGEST = 2_000  # characters of a text


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How the settings were found."""

    settings_tried: int | None = None  # how many; None: not stated
    tuned_on: str = ""  # on whom: a protocol, or people in words
    words: str = ""  # in the authors' words

    @property
    def in_words(self) -> str:
        """For a table; "": nothing is stated."""
        tried = "" if self.settings_tried is None else f"{self.settings_tried} settings tried"
        on = f"on {self.tuned_on}" if self.tuned_on else ""
        return "; ".join(part for part in (" ".join(part for part in (tried, on) if part), self.words) if part)


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The content of submission.json."""

    form: Literal["method", "attack"]  # attack: of somebody else's results
    name: str  # of the method or the attack, as on a leaderboard
    authors: str = ""
    link: str = ""  # to a paper or to code
    tuning: Tuning = field(default_factory=Tuning)
    attacks: tuple[str, ...] = ()  # labels of the attacks that an attack submission is about
    evidence: bool = True  # False: records and pictures only; no score can be computed again
    sources: tuple[str, ...] = ()  # files of the code below SOURCE, the one that defines the class first
    against: Mapping[str, str] = field(default_factory=dict)  # of an attack: key of a trial -> digest of its record
    environment: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # devices and versions, of all records
    files: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of every other file, by its path

    def __post_init__(self) -> None:
        """Raises BadInput unless it says who and where in a few words."""
        texts = {"name": self.name, "authors": self.authors, "link": self.link}
        texts |= {"tuning.tuned_on": self.tuning.tuned_on, "tuning.words": self.tuning.words}
        for name, text in texts.items():
            if len(text) > _LONGEST or not text.isprintable():
                raise BadInput(
                    f"{name} = {brief(text)} is not allowed; give one line of at most {_LONGEST:,} characters"
                )
        if not self.name.strip():
            raise BadInput("a submission needs a name; give --name")
        if self.link and not self.link.startswith(("https://", "http://")):
            raise BadInput(f"link = {brief(self.link)} is not an address; give one that begins with https://")
        if (self.tuning.settings_tried or 0) < 0:
            raise BadInput(f"tuning.settings_tried = {brief(self.tuning.settings_tried)} is not allowed; give a number")

    def to_json(self) -> bytes:
        """The content of the file; equal submissions give equal bytes."""
        data = msgspec.json.encode({"format": FORMAT, **msgspec.to_builtins(self)}, order="sorted")
        return msgspec.json.format(data, indent=1) + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> Submission:
        """What `to_json` wrote. Raises BadInput, in one line, if it is something else."""
        try:
            found = msgspec.json.decode(text, type=_Head).format
            if found != FORMAT:
                raise BadInput(f"{NAME} has format {brief(found)}, this version reads {FORMAT}; update guidebench")
            submission = msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            words = " ".join(str(error).split()) or "nested too deeply"
            raise BadInput(f"{NAME} cannot be read: {words}") from None
        if missing := [name for name in submission.sources if f"{SOURCE}/{name}" not in submission.files]:
            raise BadInput(f"{NAME} names code that is not among its files: {brief(missing)}")
        return submission


class _Head(msgspec.Struct):
    format: object = None
