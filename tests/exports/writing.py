"""Records for exports: multi-turn, Unicode, braces, every kind and both splits."""

from __future__ import annotations

from cai.records import Draft, Message, Preference, Prompt, Round, assistant, user


def make_prompts(count: int = 24) -> list[Prompt]:
    kinds = ("red_team", "helpful", "lookalike")
    prompts = []
    for n in range(count):
        opening = user(f"你好 ü 🙂 {{x}} \u2028 \\n {n}")
        messages = (Message("system", "Be kind."), opening, assistant("ok\n"), user("and?")) if n % 2 else (opening,)
        prompts.append(Prompt.make(messages, kinds[n % 3], "source", "test" if n % 4 == 0 else "train"))
    return prompts


def make_drafts(count: int = 24) -> list[Draft]:
    rounds = (Round("honest", "a critique", "a revision 🙂"), Round("kind", "another", "a better\n\nrevision"))
    return [Draft(p, f"first answer {p.id}", () if p.kind == "helpful" else rounds) for p in make_prompts(count)]


def make_preferences(count: int = 24) -> list[Preference]:
    labels = (0.9, 0.2, 1.0, 0.5, 0.0)
    return [
        Preference(prompt, f"yes 🙂 {prompt.id}", "no", labels[n % 5], 0.5, "human" if n % 2 else "ai")
        for n, prompt in enumerate(make_prompts(count))
    ]


RECORDS = {
    "sft": make_drafts, "preference": make_preferences, "preference_implicit": make_preferences,
    "prompts": make_prompts,
}  # fmt: skip
