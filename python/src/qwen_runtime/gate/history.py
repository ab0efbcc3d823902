"""The history of a site: every result and every decision, in one SQLite file that only grows."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from qwen_runtime.errors import HostError, UsageError

VERSION = 1
SCHEMA = (
    """CREATE TABLE results (
      digest TEXT PRIMARY KEY, kind TEXT NOT NULL, ended TEXT NOT NULL, model TEXT NOT NULL, hardware TEXT NOT NULL,
      engine_version TEXT, document TEXT NOT NULL)""",
    """CREATE TABLE decisions (
      at TEXT NOT NULL, verdict TEXT NOT NULL, faults TEXT NOT NULL, override_by TEXT, because TEXT,
      evidence TEXT NOT NULL)""",
    *(
        f"CREATE TRIGGER {table}_stay_{change} BEFORE {change} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} stay'); END"
        for table in ("results", "decisions")
        for change in ("DELETE", "UPDATE")
    ),
)
COLUMNS = ("ended", "kind", "model", "hardware", "engine_version", "name", "value")


@dataclass(frozen=True, slots=True)
class Figure:
    ended: str
    kind: str
    model: str
    hardware: str
    engine_version: str | None
    name: str
    value: float


class History:
    def __init__(self, path: Path) -> None:
        """Open or make the file. UsageError where it is something else, HostError where it cannot be written."""
        self._path = path
        try:
            # isolation_level None: a transaction is begun and ended below, and by nothing else.
            self._database = sqlite3.connect(path, timeout=30, isolation_level=None)
            with self._writing() as database:
                [version] = database.execute("PRAGMA user_version").fetchone()
                if version == 0 and not database.execute("SELECT 1 FROM sqlite_master").fetchone():
                    for statement in SCHEMA:
                        database.execute(statement)
                    database.execute(f"PRAGMA user_version = {VERSION}")
                    version = VERSION
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise HostError(
                    f"history {path} cannot be opened ({error})", "a file that can be written", "Correct the path."
                ) from error
            raise self._no_history(str(error)) from error
        if version != VERSION:
            raise self._no_history(f"version {version}")

    def _no_history(self, found: str) -> UsageError:
        return UsageError(
            f"{self._path} is no history of this version ({found})", f"version {VERSION}", "Name another file."
        )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that has the file to itself from its beginning."""
        self._database.execute("BEGIN IMMEDIATE")
        with self._database:
            yield self._database

    def close(self) -> None:
        self._database.close()

    def add(self, document: dict[str, Any]) -> bool:
        """Keep a result; False where it is kept already."""
        text = json.dumps(document, sort_keys=True)
        subject = document["subject"]
        row = (digest(document), document["kind"], document["ended"], subject["model"], subject["hardware"])
        with self._writing() as database:
            added = database.execute(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, subject["engine_version"], text)
            )
            return added.rowcount == 1

    def decide(
        self,
        verdict: str,
        faults: Sequence[str],
        evidence: dict[str, str],
        override_by: str | None,
        because: str | None,
    ) -> None:
        """Log a decision, with the digests of what it rested on."""
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        row = (at, verdict, json.dumps(list(faults)), override_by, because, json.dumps(evidence))
        with self._writing() as database:
            database.execute("INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?)", row)

    def decisions(self) -> list[dict[str, Any]]:
        found = self._database.execute("SELECT at, verdict, faults, override_by, because, evidence FROM decisions")
        names = ("at", "verdict", "faults", "override_by", "because", "evidence")
        return [
            {**dict(zip(names, row, strict=True)), "faults": json.loads(row[2]), "evidence": json.loads(row[5])}
            for row in found
        ]

    def figures(self) -> list[Figure]:
        """The headline figures of every result, the oldest first."""
        found = self._database.execute("SELECT document FROM results ORDER BY ended, digest")
        return [figure for (text,) in found for figure in headline(json.loads(text))]


def digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def headline(document: dict[str, Any]) -> Iterator[Figure]:
    """The figures of a result that are worth a plot over months."""
    subject = document["subject"]
    for name, value in _named(document["kind"], document.get("figures", {}), document):
        if value is not None:
            yield Figure(
                document["ended"],
                document["kind"],
                subject["model"],
                subject["hardware"],
                subject["engine_version"],
                name,
                float(value),
            )


def _named(kind: str, figures: dict[str, Any], document: dict[str, Any]) -> Iterator[tuple[str, float | None]]:
    if kind == "bench":
        for name in ("slo_attainment", "output_tokens_per_s", "output_tokens_per_s_per_gpu", "requests_per_s"):
            yield name, figures[name]
        for name in ("first_token_from_schedule_s", "inter_token_s", "end_to_end_from_schedule_s"):
            for percentile in ("p50", "p99"):
                yield f"{name}_{percentile}", (figures[name] or {}).get(percentile)
    elif kind == "humaneval":
        yield from ((f"pass_at_{k}", value) for k, value in figures["pass_at"].items())
        yield from ((f"answers_{name}", count) for name, count in figures["never_a_score"].items())
    elif kind == "tools":
        yield from ((f"{check}_fails", counted["fails"]) for check, counted in figures.items())
    elif kind == "perplexity":
        yield from ((name, figures[name]) for name in ("perplexity", "bits_per_byte"))
    elif kind == "summaries":
        yield from ((name, figures[name]) for name in ("bleu", "rouge_1", "rouge_2", "rouge_l"))
    elif kind == "retrieval":
        yield from ((f"found_at_{length}", of["found_share"]) for length, of in figures["by_length"].items())
    elif kind == "determinism":
        yield "identical_share", figures["identical_share"]
    elif kind == "saturation":
        yield "highest_good_rate_per_s", document["highest_good_rate_per_s"]


def write_csv(figures: Sequence[Figure], file: TextIO) -> None:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    writer.writerows([getattr(figure, column) for column in COLUMNS] for figure in figures)
