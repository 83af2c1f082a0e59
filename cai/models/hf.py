"""`hf/PATH-OR-NAME`: any causal language model that transformers can load, on a CPU, CUDA or MPS device."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cai.chat import Chat, Encoded
from cai.errors import CAIError, ConfigError, EngineError
from cai.models.fingerprints import adapter_files, file_hashes, fingerprint, model_files, resolved_template
from cai.recipe import EngineSettings
from cai.records import ChoiceRequest, ChoiceScores, Completion, Failure, GenerateRequest, user

if TYPE_CHECKING:
    from cai.models.hf_model import LoadedModel

CODE_VERSION = "hf-3"
"""Changes when this code would answer a request otherwise than before: all that was stored is then asked again."""
DTYPES = ("float32", "bfloat16", "float16")


class HFEngine:
    """A local model. Constructing it reads the configuration and hashes the files; weights load at the first request.

    `dtype` "auto" is the checkpoint's own, on every device, so that a fingerprint means one thing on all machines.
    `template` "auto" has the fingerprint of "chat" where the folder holds a chat template. Where it holds none, "auto"
    is not taken for "transcript": a tokenizer's own code may bring a template, which only loading it would tell.
    Raises `EngineError` for a model that is not there or has no safetensors, `ConfigError` for settings that cannot be.
    """

    scores_choices = True
    scores_strings = True

    def __init__(self, rest: str, settings: EngineSettings) -> None:
        self.spec = f"hf/{rest}"
        self._settings = settings
        if settings.trust_remote_code and not settings.revision:
            raise ConfigError("engine.trust_remote_code needs engine.revision: code that is run must not change unseen")
        self._folder = _folder(rest, settings.revision)
        self._adapter = _existing(settings.adapter, "adapter") if settings.adapter else None
        self._config = _read_json(self._folder / "config.json")
        _refuse_classifier(self._folder, self._config.get("architectures"))
        self._dtype = settings.dtype if settings.dtype != "auto" else _own_dtype(self._config)
        self.fingerprint = self._fingerprint()

    def generate(self, requests: Iterable[GenerateRequest]) -> Iterator[tuple[int, Completion | Failure]]:
        """Completions in the order in which they end; a window of requests is sorted by length and cut into batches."""
        from cai.models.hf_generate import generate

        stops = self.chat.stop_ids | _end_ids(self._folder)
        yield from generate(self._loaded, self.chat, requests, self._encode_prompt, stops, self._settings.batch_tokens)

    def score(self, requests: Iterable[ChoiceRequest]) -> Iterator[tuple[int, ChoiceScores | Failure]]:
        """Log-probabilities over the whole vocabulary; a choice of several tokens has the sum of theirs."""
        from cai.models.hf_score import score

        yield from score(self._loaded, requests, self._encode_choices, self._settings.batch_tokens)

    def one_token(self, prefix: str, choices: Sequence[str]) -> bool:
        """Whether each choice is one token right after `prefix` by this model's tokenizer, and no two are the same."""
        from cai.models.questions import separate_tokens

        return separate_tokens(*self.chat.encode_choices((user("Hi"),), prefix, choices))

    def forged_answer(self, said: str) -> str:
        """A user's text that has the assistant say `said`, as this model's chat template writes an answer."""
        return self.chat.forged_answer(said)

    def check_roles(self, roles: Iterable[str]) -> None:
        """Raise `ConfigError` if the chat template cannot render one of `roles`."""
        self.chat.check_roles(roles)

    @cached_property
    def chat(self) -> Chat:
        """How this model's tokenizer writes a dialogue."""
        from transformers import AutoTokenizer

        settings = self._settings
        remote = {"trust_remote_code": True, "code_revision": settings.revision} if settings.trust_remote_code else {}
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(self._folder), **remote)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise EngineError(f"{self.spec}: cannot read the tokenizer: {_line(error)}") from error
        return Chat(tokenizer, settings.template)

    @cached_property
    def context(self) -> int | None:
        """Tokens that the model can read, prompt and completion together; None if it sets no limit."""
        text = self._config.get("text_config") or self._config
        sizes = [text.get(name) for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")]
        known = [size for size in (*sizes, self.chat.tokenizer.model_max_length) if size and size < 1e9]
        return int(min(known)) if known else None

    @cached_property
    def _loaded(self) -> LoadedModel:
        from safetensors import SafetensorError

        from cai.models.hf_model import load

        settings, tokenizer = self._settings, self.chat.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
        adapter = str(self._adapter) if self._adapter else None
        try:
            return load(
                str(self._folder), self._dtype, settings.device, adapter, settings.revision,
                settings.trust_remote_code, pad,
            )  # fmt: skip
        except (OSError, ValueError, KeyError, ImportError, RuntimeError, AssertionError, SafetensorError) as error:
            raise EngineError(f"{self.spec}: cannot load the model: {_line(error)}") from error

    def _fingerprint(self) -> str:
        files = model_files(self._folder)
        _require_safetensors(self._folder, [path.name for path in files])
        adapter = adapter_files(self._adapter) if self._adapter else []
        if self._adapter:
            _require_safetensors(self._adapter, [path.name for path in adapter])
        try:
            return fingerprint(
                code=CODE_VERSION, files=file_hashes(files), adapter=file_hashes(adapter), dtype=self._dtype,
                template=resolved_template(self._settings.template, self._folder),
                revision=self._settings.revision if self._settings.trust_remote_code else None,
            )  # fmt: skip
        except OSError as error:
            raise EngineError(f"{self.spec}: {_line(error)}") from error

    def _encode_prompt(self, request: GenerateRequest) -> list[int] | Failure:
        try:
            ids = self.chat.encode(request.messages, request.prefix)
        except ConfigError as error:
            return Failure(str(error))
        wanted = request.sampling.max_tokens
        if self.context and len(ids) + wanted > self.context:
            return Failure(
                f"prompt of {len(ids)} tokens + max_tokens {wanted} exceeds the model's context of {self.context}"
            )
        return ids or Failure("the prompt has no tokens")

    def _encode_choices(self, requests: Sequence[ChoiceRequest]) -> Iterator[Encoded | Failure]:
        for encoded in self.chat.encode_all_choices([(one.messages, one.prefix, one.choices) for one in requests]):
            yield Failure(str(encoded)) if isinstance(encoded, ConfigError) else self._fitting(encoded)

    def _fitting(self, encoded: Encoded) -> Encoded | Failure:
        prompt, options = encoded
        longest = max(len(option) for option in options)
        if self.context and longest > self.context:
            return Failure(f"prompt of {longest} tokens exceeds the model's context of {self.context}")
        if not prompt or min(map(len, options)) < 2:
            return Failure("the prompt has no tokens")
        return encoded


def _folder(rest: str, revision: str | None) -> Path:
    if not rest or rest.startswith(("/", ".", "~")) or rest.count("/") > 1 or Path(rest).is_dir():
        return _existing(rest, "model")
    from huggingface_hub import snapshot_download

    wanted = ["*.safetensors", "*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "*.py"]
    for local in (True, False):
        try:
            found = Path(snapshot_download(rest, revision=revision, allow_patterns=wanted, local_files_only=local))
        except (OSError, ValueError) as error:
            reason = _line(error)
            continue
        if not local or any(found.glob("*.safetensors")):
            return found
    raise EngineError(f"no model folder at {rest}, and the hub gives no model of that name: {reason}")


def _existing(name: str, noun: str) -> Path:
    path = Path(name).expanduser()
    if not name or not path.is_dir():
        raise EngineError(f"no {noun} folder at {name or 'the empty path'}")
    return path


def _require_safetensors(folder: Path, names: list[str]) -> None:
    if any(name.endswith(".safetensors") for name in names):
        return
    found = sorted(path.name for path in folder.glob("*") if path.suffix in (".bin", ".pt", ".pth", ".gguf"))
    which = f" (found {', '.join(found[:3])}; convert it)" if found else ""
    raise EngineError(f"{folder} holds no safetensors weights{which}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        adapter = (path.parent / "adapter_config.json").exists()
        hint = "; it is an adapter: name its base model, and it as engine.adapter" if adapter else ""
        raise EngineError(f"{path.parent} is not a model folder: it has no {path.name}{hint}") from None
    except (OSError, ValueError) as error:
        raise EngineError(f"{path}: {_line(error)}") from error
    if not isinstance(value, dict):
        raise EngineError(f"{path}: not a JSON object")
    return value


def _refuse_classifier(folder: Path, architectures: Any) -> None:
    """Raise `EngineError` for a reward model, whose weights would be read as those of a language model."""
    names = [name for name in architectures if isinstance(name, str)] if isinstance(architectures, list) else []
    if names and all(name.endswith("ForSequenceClassification") for name in names):
        raise EngineError(f"{folder} is a reward model or classifier ({names[0]}), not a language model")


def _own_dtype(config: dict[str, Any]) -> str:
    text = config.get("text_config") or {}
    named = config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype")
    return named if named in DTYPES else "float32"


def _end_ids(folder: Path) -> frozenset[int]:
    """The tokens that end an answer by the model's own `generation_config.json`, if it has one."""
    path = folder / "generation_config.json"
    value = _read_json(path).get("eos_token_id") if path.exists() else None
    return frozenset(value if isinstance(value, list) else [value] if value is not None else [])


def _line(error: BaseException) -> str:
    text = str(error) if isinstance(error, CAIError) else " ".join(str(error).split())
    return text[:300] or type(error).__name__
