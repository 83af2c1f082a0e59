"""feedback-forensics' loader and figures, as its app calls them when a file of annotated pairs is opened."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from reading import Rows, Task, answer

NAME = "annotated_pairs"


def without_clients(name: str) -> None:
    """Stand in for a package's own `__init__`, which imports clients of language models; its modules are its own."""
    bare = ModuleType(name)
    bare.__path__ = find_spec(name).submodule_search_locations  # type: ignore[union-attr]
    sys.modules[name] = bare


def read(task: Task) -> dict[str, Rows]:
    """The rows of the viewer's table, its annotators, and the figures that it shows."""
    without_clients("inverse_cai")
    from feedback_forensics import DatasetHandler
    from feedback_forensics.data.loader import get_votes_dict_from_annotated_pairs_json

    path = task.datasets / "single" / NAME / f"{NAME}.json"
    votes = get_votes_dict_from_annotated_pairs_json(path)
    handler = DatasetHandler()
    handler.add_data_from_path(path)
    column = handler.first_handler
    selected = {"selected": votes["reference_annotator_col"], "metadata_keys": votes["available_metadata_keys"]}
    return {
        "rows": [plain(row) for row in votes["df"].to_dict("records")],
        "annotators": [{"id": id, **one} for id, one in votes["annotator_metadata"].items()],
        "viewer": [selected],
        "overall": [plain(column.compute_overall_metrics())],
        "by annotator": [column.compute_annotator_metrics()["metrics"]["strength"]],
    }


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers of numpy as numbers, and a vote that is missing in the table as None."""
    values = {key: value.item() if hasattr(value, "item") else value for key, value in row.items()}
    return {str(key): None if value != value else value for key, value in values.items()}


if __name__ == "__main__":
    answer(read)
