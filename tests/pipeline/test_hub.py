"""What a push would send, and what huggingface_hub itself sends to a hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cai.errors import ConfigError, RunError
from cai.pipeline.hub import planned_upload
from cai.storage.run import file_sha256, write_json
from tests.pipeline.hub import Hub, local_hub

PUSH = """
import sys
from pathlib import Path
from cai.errors import CAIError
from cai.pipeline.hub import planned_upload, push
try:
    print(push(planned_upload(Path(sys.argv[1]), ["sft"], "me/data", private=sys.argv[2] == "private")))
except CAIError as error:
    print("told:", error)
"""


SENT = ["README.md", "sft/dataset_info.json", "sft/export.json", "sft/train.jsonl", "sft/train.parquet"]
NOT_SENT = [".env", "notes.txt", "sft/half.jsonl.tmp", "sft/key.pem", "prompts/export.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "datasets"
    (made / "sft").mkdir(parents=True)
    (made / "README.md").write_text("---\nlanguage: en\n---\n# card\n", encoding="utf-8")
    (made / "sft" / "train.jsonl").write_text('{"a": "ü"}\n', encoding="utf-8")
    (made / "sft" / "train.parquet").write_bytes(b"PAR1\x00\xff")
    files = {name: {"sha256": file_sha256(made / "sft" / name)} for name in ("train.jsonl", "train.parquet")}
    write_json(made / "sft" / "export.json", {"files": files})
    (made / "sft" / "dataset_info.json").write_text("{}")
    (made / "prompts").mkdir()
    write_json(made / "prompts" / "export.json", {"files": {}})
    for name in NOT_SENT[:-1]:
        (made / name).write_text("no")
    return made


def push(folder: Path, hub: Hub, visibility: str = "private") -> str:
    """In a process of its own, since huggingface_hub reads the hub's address once."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
    env |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_test", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(folder.parent / "home"), "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": str(Path(__file__).parents[2])}  # fmt: skip
    command = [sys.executable, "-c", PUSH, str(folder), visibility]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=env, timeout=120).stdout.strip()


def test_a_plan_names_files_and_sizes_and_asks_nobody(folder: Path) -> None:
    upload = planned_upload(folder, ["sft"], "me/data")
    assert upload.private and upload.size == sum((folder / name).stat().st_size for name, _ in upload.files)
    assert [name for name, _ in upload.files] == SENT
    assert sorted(upload.unsent) == sorted(NOT_SENT) == sorted(upload.to_json()["not_sent"])


def test_a_file_that_its_export_does_not_know_is_told_in_one_line(folder: Path) -> None:
    (folder / "sft" / "train.jsonl").write_text("{}\n")
    with pytest.raises(RunError, match=r"train\.jsonl: gone, or not the file that export\.json lists"):
        planned_upload(folder, ["sft"], "me/data")
    write_json(
        folder / "sft" / "export.json", {"files": {"../notes.txt": {"sha256": file_sha256(folder / "notes.txt")}}}
    )
    with pytest.raises(RunError, match=r"notes\.txt: gone, or not the file"):
        planned_upload(folder, ["sft"], "me/data")


@pytest.mark.parametrize("name", ["a/b/c", "../x", "a b", "", "-x", "me/data\nx"])
def test_a_name_that_the_hub_does_not_allow_is_told_in_one_line(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError) as told:
        planned_upload(folder, ["sft"], name)
    assert "\n" not in str(told.value)


def test_a_link_is_not_followed_and_a_folder_without_a_card_is_not_sent(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (folder / "sft" / "link.jsonl").symlink_to(tmp_path / "secret")
    assert "sft/link.jsonl" in planned_upload(folder, ["sft"], "me/data").unsent
    (folder / "sft" / "dataset_info.json").unlink()
    (folder / "sft" / "dataset_info.json").symlink_to(tmp_path / "secret")
    with pytest.raises(RunError, match=r"dataset_info\.json: is a link"):
        planned_upload(folder, ["sft"], "me/data")
    with pytest.raises(RunError, match=r"has no README\.md"):
        planned_upload(folder / "sft", [], "me/data")


@pytest.mark.parametrize("visibility", ["private", "public"])
def test_the_hub_gets_the_planned_files_and_the_token_of_the_environment(folder: Path, visibility: str) -> None:
    with local_hub() as hub:
        assert push(folder, hub, visibility) == f"{hub.url}/datasets/me/data/commit/{'0' * 40}"
    assert hub.files == {
        name: (folder / name).read_bytes() for name, _ in planned_upload(folder, ["sft"], "me/data").files
    }
    assert hub.tokens == {"Bearer hf_test"} and hub.cards == [(folder / "README.md").read_text(encoding="utf-8")]
    [made] = hub.made
    assert made["type"] == "dataset" and made["name"] == "data"
    assert (
        made.get("private", made.get("visibility"))
        in {"private": (True, "private"), "public": (False, "public")}[visibility]
    )


def test_a_refusal_is_one_line_without_the_token(folder: Path) -> None:
    with local_hub() as hub:
        hub.refuse = True
        told = push(folder, hub)
    assert told.startswith("told: me/data: the hub refused or did not answer: ") and "\n" not in told
    assert "hf_test" not in told


def test_no_hub_at_all_is_one_line(folder: Path) -> None:
    told = push(folder, Hub(url="http://127.0.0.1:9"))
    assert told.startswith("told: me/data: the hub refused or did not answer: ") and "\n" not in told
