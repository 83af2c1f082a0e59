"""A folder of datasets to the hub: what would go there, and, asked a second time, the upload itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cai.errors import ConfigError, RunError
from cai.pipeline.dataset_card import CARD
from cai.records import Json


@dataclass(frozen=True, slots=True)
class Upload:
    """The files of `folder` with their sizes in bytes, and the dataset repository that they are meant for."""

    folder: Path
    repository: str
    private: bool
    files: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files)

    def to_json(self) -> Json:
        return {
            "repository": self.repository, "private": self.private, "bytes": self.size, "files": dict(self.files),
        }  # fmt: skip


def planned_upload(folder: Path, repository: str, private: bool = True) -> Upload:
    """What a push would send; asks nobody. Raises `ConfigError` for a name that the hub does not allow or a link."""
    check_repository(repository)
    if not (folder / CARD).is_file():
        raise RunError(f"{folder}: has no {CARD}; make the datasets first")
    found = sorted(path for path in folder.rglob("*") if not _hidden(path.relative_to(folder)))
    for path in found:
        if path.is_symlink():
            raise RunError(f"{path}: is a link, and only files of {folder} are sent; remove it")
    files = tuple((path.relative_to(folder).as_posix(), path.stat().st_size) for path in found if path.is_file())
    return Upload(folder, repository, private, files)


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
            allow_patterns=[name for name, _ in upload.files], commit_message="Upload datasets and their card",
        )  # fmt: skip
    except Exception as error:
        if not _of_the_hub(error):
            raise
        raise RunError(f"{upload.repository}: the hub refused or did not answer: {_line(error)}") from None
    return str(commit.commit_url)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part.endswith(".tmp") for part in path.parts)


def _of_the_hub(error: Exception) -> bool:
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"huggingface_hub", "httpx", "httpx2", "httpcore", "requests"})


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
