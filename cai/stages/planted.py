"""Planted: the judge's own stages over pairs that each come with one principle (the audit, `cai constitution test`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cai.records import Answer, Json, Request
from cai.stages import Stage


@dataclass(frozen=True, slots=True)
class PlantedRecord:
    """`item` as the row that it came in, and what the judge's stage makes of its two answers."""

    item: Json
    record: Any

    @property
    def id(self) -> str:
        return str(self.record.id)

    def to_json(self) -> Json:
        return {"item": self.item, "record": self.record.to_json()}


@dataclass(frozen=True, slots=True)
class Planted:
    """Hands each row to the stage of its item's principle; requests are those of a run's labels, and kept like them."""

    VERSION: ClassVar[int] = 1
    by_principle: Mapping[str, Stage]
    read_record: Callable[[Json], Any]

    def read(self, row: Json) -> Iterable[PlantedRecord]:
        yield PlantedRecord(row["item"], self.read_record(row["record"]))

    def requests(self, planted: PlantedRecord) -> list[Request]:
        return self._stage(planted).requests(planted.record)

    def parse(self, planted: PlantedRecord, answers: list[Answer]) -> PlantedRecord:
        return PlantedRecord(planted.item, self._stage(planted).parse(planted.record, answers))

    def _stage(self, planted: PlantedRecord) -> Stage:
        return self.by_principle[planted.item["principle_id"]]
