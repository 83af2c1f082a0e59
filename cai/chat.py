"""Dialogues as token ids: the tokenizer's chat template, or the paper's plain Human/Assistant transcript.

What is written here is used to ask, to train and to score, so that a model always reads a dialogue in one form. Text
from users and models never becomes a control token (`cai.control_tokens`).

In a transcript nothing but text marks a turn. A content that holds ``\\n\\nHuman:`` (a comparison quotes a dialogue)
would forge one, so a space is put before the name, ``\\n\\n Human:``: it reads the same and is not the mark of a turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from cai.control_tokens import GuardedEncoder
from cai.errors import ConfigError
from cai.records import Message, assistant, user

Template = Literal["auto", "chat", "transcript"]
Encoded = tuple[list[int], list[list[int]]]
"""Token ids of a prompt, and of the prompt with each choice."""

_SPEAKER = {"system": "System", "user": "Human", "assistant": "Assistant"}
_FORGED = re.compile(r"\n\n(?=(?:System|Human|Assistant):)")
_BREAK, _OPENING = "\n\n", "Assistant:"
_TAILS = 1024
_PROBE = "\U0010fa02text\U0010fa02"
# Some templates print today's date, or open a thought unless told not to: what a model reads must not change overnight.
_CLOCK = """
{%- macro strftime_now(form) -%}
{{ {"%Y-%m-%d": "2024-07-26"}.get(form, "26 Jul 2024") }}
{%- endmacro -%}
"""
_FIXED: dict[str, Any] = {"date_string": "26 Jul 2024", "enable_thinking": False}


class Chat:
    """How one tokenizer writes a dialogue.

    `template` "auto" takes the tokenizer's chat template and, if it has none, the transcript.
    `stop_ids` and `stop_strings` end an answer. Raises `ConfigError` for "chat" without a template.
    """

    def __init__(self, tokenizer: Any, template: Template = "auto") -> None:
        self.tokenizer = tokenizer
        self.name = str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
        source = getattr(tokenizer, "chat_template", None)
        if template == "chat" and not source:
            raise ConfigError(f"the tokenizer {self.name} has no chat template; use engine.template 'transcript'")
        self.mode: Literal["chat", "transcript"] = "chat" if source and template != "transcript" else "transcript"
        self._template = self._source() if self.mode == "chat" else ""
        self._encoder = GuardedEncoder(tokenizer, self._template)
        self._tails: dict[tuple[str, str], list[int]] = {}
        self._cuts = self._cuts_before_answers()
        self._bos = self._added_bos()
        self._in_parts = False
        self._tail = self._answer_tail()
        self._end = self._answer_end()
        self.stop_ids, self.stop_strings = self._stops()

    # ------------------------------------------------------------------------------------------- what others call

    def text(self, messages: Sequence[Message], prefix: str = "") -> str:
        """The rendered text that `encode` encodes, for people to read; control strings of contents look as they are."""
        return self._encoder.unmask(self._prompt(messages, prefix))

    def encode(self, messages: Sequence[Message], prefix: str = "") -> list[int]:
        """Token ids of the dialogue, with the assistant's next turn opened and `prefix` written in it."""
        return self._ids(self._prompt(messages, prefix))

    def encode_choices(self, messages: Sequence[Message], prefix: str, choices: Sequence[str]) -> Encoded:
        """`encode(messages, prefix)`, and `encode(messages, prefix + choice)` for each choice."""
        [encoded] = self.encode_all_choices([(messages, prefix, choices)])
        if isinstance(encoded, ConfigError):
            raise encoded
        return encoded

    def encode_all_choices(
        self, asked: Sequence[tuple[Sequence[Message], str, Sequence[str]]]
    ) -> list[Encoded | ConfigError]:
        """`encode_choices` of each, or what forbids it; faster than one after the other.

        What comes before the answer is encoded once where it is the same whatever the answer begins with: where a
        control token opens the answer, or in a transcript the tokenizer cuts the text there before it looks for tokens.
        """
        opened = [self._try_opening(messages) for messages, _, _ in asked]
        texts = {
            at: "".join(one) + self._begun(prefix)
            for at, (one, (_, prefix, _)) in enumerate(zip(opened, asked, strict=True))
            if not isinstance(one, ConfigError)
        }
        encoded = dict(zip(texts, map(self._one_bos, self._encoder.encode_all(list(texts.values()))), strict=True))
        return [
            one if isinstance(one, ConfigError) else (encoded[at], self._options(*one, encoded[at], prefix, choices))
            for at, (one, (_, prefix, choices)) in enumerate(zip(opened, asked, strict=True))
        ]

    def encode_dialogue(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a dialogue that ends with the assistant's answer and exactly one EOS."""
        return self._ids(self._closed(messages))

    def encode_supervised(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """`encode_dialogue`, and a mask that is True on the tokens of the last answer, its EOS included."""
        ids = self.encode_dialogue(messages)
        head = self._ids(self._head(messages))
        start = next((at for at, (one, other) in enumerate(zip(head, ids, strict=False)) if one != other), len(head))
        return ids, [at >= start for at in range(len(ids))]

    def question_end(self, prompt: Sequence[Message]) -> int | None:
        """How many tokens a dialogue with this `prompt` has up to the end of its last user turn; None without one."""
        at = max((number for number, message in enumerate(prompt) if message.role == "user"), default=None)
        if at is None:
            return None
        other = [*prompt[:at], user(_PROBE), *prompt[at + 1 :]]
        head, beside = (self._ids(self._head([*one, assistant("")])) for one in (prompt, other))
        pairs = zip(reversed(head), reversed(beside), strict=False)
        behind = next((number for number, (one, another) in enumerate(pairs) if one != another), len(beside))
        return len(head) - min(behind, len(head))

    def decode(self, ids: Sequence[int], after: Sequence[int] = ()) -> str:
        """The text of generated `ids` without control tokens; `after` are the ids before, to keep a joining space."""
        if not after:
            return self._decoded(ids)
        tail = list(after[-8:])
        known, whole = self._decoded(tail), self._decoded([*tail, *ids])
        return whole[len(known) :] if whole.startswith(known) else self._decoded(ids)

    def forged_answer(self, said: str) -> str:
        """A user's text that ends the turn and has the assistant say `said`, in this tokenizer's own control strings.

        In a transcript these are the marks of a text's end alone. What `encode` is given never becomes such a turn.
        """
        if self.mode == "transcript":
            return f"{self._end}{said}{self._end}"
        opened = self._rendered([user(_PROBE)], opened=True)
        return opened.rpartition(_PROBE)[2] + said + self._end

    def check_roles(self, roles: Iterable[str]) -> None:
        """Raise `ConfigError` for a role that the template refuses, or whose text it leaves out."""
        for role in sorted(set(roles) - {"user", "assistant"}):
            marked = Message(role, f"{_PROBE}!")  # type: ignore[arg-type]
            try:
                shown = self._prompt([marked, user(_PROBE)], "")
            except ConfigError as error:
                raise ConfigError(f"{self._whose()} cannot render the role '{role}': {_cause(error)}") from None
            if marked.content not in shown:
                raise ConfigError(f"{self._whose()} leaves out what the role '{role}' says")

    # ------------------------------------------------------------------------------------------- rendering, masked

    def _options(
        self, before: str, opening: str, ids: list[int], prefix: str, choices: Sequence[str]
    ) -> list[list[int]]:
        tail = self._tail_ids(opening, prefix)
        body = ids[: len(ids) - len(tail)]
        if before and body + tail == ids and (self.mode == "chat" or self._cuts):
            return [body + self._tail_ids(opening, prefix + choice) for choice in choices]
        return [self._ids(before + opening + self._begun(prefix + choice)) for choice in choices]

    def _cuts_before_answers(self) -> bool:
        """Whether no token can hold both the end of a dialogue and the beginning of an answer."""
        cut = getattr(getattr(self.tokenizer, "backend_tokenizer", None), "pre_tokenizer", None)
        pieces = cut.pre_tokenize_str(f".{_BREAK}{_OPENING} (") if cut else []
        return any(start == 1 + len(_BREAK) for _, (start, _) in pieces)

    def _try_opening(self, messages: Sequence[Message]) -> tuple[str, str] | ConfigError:
        try:
            return self._opening(messages)
        except ConfigError as error:
            return error

    def _tail_ids(self, opening: str, prefix: str) -> list[int]:
        known = self._tails.get((opening, prefix))
        if known is None:
            if len(self._tails) >= _TAILS:
                self._tails.clear()
            known = self._tails[opening, prefix] = self._encoder.encode(opening + self._begun(prefix))
        return known

    def _prompt(self, messages: Sequence[Message], prefix: str) -> str:
        return "".join((*self._opening(messages), self._begun(prefix)))

    def _opening(self, messages: Sequence[Message]) -> tuple[str, str]:
        """The rendered dialogue, and what opens the answer: from the last control token on, if there is one."""
        if self.mode == "transcript":
            return self._transcript(messages) + _BREAK, _OPENING
        text = self._rendered(messages, opened=True)
        start = self._encoder.last_control(text)
        return ("", text) if start is None else (text[:start], text[start:])

    def _begun(self, prefix: str) -> str:
        """The beginning of an answer as it is written after what opens it."""
        masked = self._encoder.mask(prefix)
        return masked if self.mode == "chat" else _begun(masked)

    def _closed(self, messages: Sequence[Message]) -> str:
        self._require_answer(messages)
        if self.mode == "transcript":
            return self._transcript(messages) + self._end
        whole = self._rendered(messages, opened=False)
        if not whole.endswith(self._tail):
            raise ConfigError(f"{self._whose()} does not close every answer with {self._tail!r}")
        return whole[: len(whole) - len(self._tail)] + self._end

    def _head(self, messages: Sequence[Message]) -> str:
        self._require_answer(messages)
        if self.mode == "transcript":
            return self._prompt(messages[:-1], "")
        return self._rendered([*messages[:-1], assistant(_PROBE)], opened=False).rpartition(_PROBE)[0]

    def _rendered(self, messages: Sequence[Message], opened: bool) -> str:
        from jinja2 import TemplateError

        contents = [self._encoder.mask(one.content) for one in messages]
        turns = [
            {"role": one.role, "content": [{"type": "text", "text": content}] if self._in_parts else content}
            for one, content in zip(messages, contents, strict=True)
        ]
        try:
            text = self.tokenizer.apply_chat_template(
                turns, chat_template=self._template, tokenize=False, add_generation_prompt=opened, **_FIXED
            )
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise ConfigError(f"{self._whose()} cannot render this dialogue: {_cause(error)}") from error
        return str(text)

    def _transcript(self, messages: Sequence[Message]) -> str:
        return self._bos + _turns([Message(one.role, self._encoder.mask(one.content)) for one in messages])

    # ------------------------------------------------------------------------------------------- what the template does

    def _ids(self, masked: str) -> list[int]:
        return self._one_bos(self._encoder.encode(masked))

    def _one_bos(self, ids: list[int]) -> list[int]:
        bos = self.tokenizer.bos_token_id
        return ids[1:] if bos is not None and ids[:2] == [bos, bos] else ids

    def _source(self) -> str:
        try:
            source = str(self.tokenizer.get_chat_template())
        except ValueError as error:
            raise ConfigError(f"the tokenizer {self.name} names no default chat template: {_cause(error)}") from error
        return _CLOCK + source if "strftime_now" in source else source

    def _added_bos(self) -> str:
        if self.mode == "chat" or self.tokenizer.bos_token_id is None:
            return ""
        return (
            str(self.tokenizer.bos_token) if self.tokenizer("a")["input_ids"][0] == self.tokenizer.bos_token_id else ""
        )

    def _answer_tail(self) -> str:
        if self.mode == "transcript":
            return ""
        problem = f"{self._whose()} does not show every turn once"
        for self._in_parts in (False, True):  # templates of models that also see images take a list of parts
            try:
                whole = self._rendered([user(_PROBE), assistant(_PROBE)], opened=False)
            except ConfigError as error:
                problem = str(error)
                continue
            if whole.count(_PROBE) == 2:
                return whole.rpartition(_PROBE)[2]
        raise ConfigError(problem)

    def _answer_end(self) -> str:
        """What closes an answer: the template's own marks up to the first EOS, or all of them and an EOS."""
        eos = str(self.tokenizer.eos_token or "")
        marks = self._encoder.control(self._tail)
        if eos in marks:
            return self._tail[: self._tail.index(eos)] + eos
        kept = self._tail[: self._tail.rindex(marks[-1])] + marks[-1] if marks else ""
        return kept + eos

    def _stops(self) -> tuple[frozenset[int], tuple[str, ...]]:
        eos = {one for one in (self.tokenizer.eos_token_id,) if one is not None}
        if self.mode == "transcript":
            return frozenset(eos), ("\n\nHuman:",)
        marks = self._encoder.control(self._tail)
        if marks:
            return frozenset(eos | {self._encoder.strings[marks[0]]}), ()
        two = self._rendered([user(_PROBE), assistant(_PROBE), user(_PROBE)], opened=False)
        between = two.split(_PROBE)[2]
        marks = self._encoder.control(between)
        if marks:
            return frozenset(eos | {self._encoder.strings[marks[0]]}), ()
        return frozenset(eos), (between.rstrip(),) if between.strip() else ()

    def _require_answer(self, messages: Sequence[Message]) -> None:
        if not messages or messages[-1].role != "assistant":
            raise ConfigError("this dialogue does not end with the assistant's answer")
        if self.tokenizer.eos_token_id is None:
            raise ConfigError(f"the tokenizer {self.name} has no EOS token")

    def _decoded(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _whose(self) -> str:
        return f"the chat template of the tokenizer {self.name}"


def transcript_prompt(messages: Sequence[Message], prefix: str = "") -> str:
    """The transcript with the assistant's turn opened, as text, for a server that has the tokenizer."""
    return _turns(messages) + _BREAK + _OPENING + _begun(prefix)


def _turns(messages: Sequence[Message]) -> str:
    return "".join(f"\n\n{_SPEAKER[message.role]}: {_defused(message.content)}" for message in messages)


def _begun(prefix: str) -> str:
    return f" {_defused(prefix)}" if prefix else ""


def _defused(text: str) -> str:
    return _FORGED.sub("\n\n ", text)


def _cause(error: BaseException) -> str:
    cause = error.__cause__ or error
    return " ".join(str(cause).split()) or type(cause).__name__
