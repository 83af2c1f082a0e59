"""A folder of datasets to the hub: what would go there, and, asked a second time, the upload itself."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cai.errors import ConfigError, RunError
from cai.pipeline.dataset_card import CARD, CONSTITUTION
from cai.pipeline.export_facts import FACTS
from cai.records import Json
from cai.storage.run import file_sha256

BESIDE = "dataset_info.json"
"""What a trainer reads beside the data, where it reads any such file."""


@dataclass(frozen=True, slots=True)
class Upload:
    """The files of `folder` with their sizes in bytes, and the dataset repository that they are meant for.

    `unsent` names what lies there besides and stays here.
    """

    folder: Path
    repository: str
    private: bool
    files: tuple[tuple[str, int], ...]
    unsent: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files)

    def to_json(self) -> Json:
        return {
            "repository": self.repository, "private": self.private, "bytes": self.size, "files": dict(self.files),
            "not_sent": list(self.unsent),
        }  # fmt: skip


def planned_upload(folder: Path, formats: Iterable[str], repository: str, private: bool = True) -> Upload:
    """What a push would send: the card, its constitution and the files of `formats`, those that the card describes.

    Asks nobody. Raises `ConfigError` for a name that the hub does not allow, `RunError` for a file of these that is a
    link, is gone or is not what `export.json` says.
    """
    check_repository(repository)
    if not (folder / CARD).is_file():
        raise RunError(f"{folder}: has no {CARD}; make the datasets first")
    names = [CARD, *([CONSTITUTION] if (folder / CONSTITUTION).exists() else [])]
    names += [f"{name}/{file}" for name in sorted(formats) for file in _files_of(folder / name)]
    for name in names:
        for path in (folder / name, (folder / name).parent):
            if path.is_symlink() and path != folder:
                raise RunError(f"{path}: is a link, and only files of {folder} are sent; remove it")
    files = tuple((name, (folder / name).stat().st_size) for name in names)
    others = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink())
    return Upload(folder, repository, private, files, tuple(str(one) for one in others if one.as_posix() not in names))


def _files_of(folder: Path) -> list[str]:
    """`export.json`, the files that it lists, as it lists them, and `dataset_info.json` if it is there."""
    known = json.loads((folder / FACTS).read_text(encoding="utf-8"))["files"]
    for file, entry in known.items():
        path = folder / file
        if Path(file).name != file or not path.is_file() or file_sha256(path) != entry["sha256"]:
            raise RunError(f"{path}: gone, or not the file that {FACTS} lists; export again")
    return sorted({FACTS, *known, *([BESIDE] if (folder / BESIDE).is_file() else [])})


def check_repository(repository: str) -> str:
    """`repository` itself, if the hub allows such a name; else raises `ConfigError`."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ConfigError(f"--push-to-hub {repository!r}: {_line(error)}") from None
    return repository


def push(upload: Upload) -> str:
    """Make the repository if it is not there and send the files in one commit; returns the commit's address.

    The token is the one that huggingface_hub finds (`HF_TOKEN`, or what `hf auth login` stored). A repository that is
    there keeps its visibility and other files. Raises `RunError` with what the hub said.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="cai")
    try:
        api.create_repo(upload.repository, repo_type="dataset", private=upload.private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=upload.repository, folder_path=upload.folder, repo_type="dataset",
            allow_patterns=[glob.escape(name) for name, _ in upload.files],
            commit_message="Upload datasets and their card",
        )  # fmt: skip
    except Exception as error:
        if not _of_the_hub(error):
            raise
        raise RunError(f"{upload.repository}: the hub refused or did not answer: {_line(error)}") from None
    return str(commit.commit_url)


def _of_the_hub(error: Exception) -> bool:
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"huggingface_hub", "httpx", "httpx2", "httpcore", "requests"})


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
