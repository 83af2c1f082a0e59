from __future__ import annotations

import pytest

from cai.chat import Chat
from cai.errors import TrainingError
from cai.records import Message, Preference, Prompt, assistant, user
from cai.training.rows import Comparison, encode_dialogues, encode_groups, in_mean_weights
from tests.tiny import build_tiny_tokenizer

LONG = "What is the capital of France? Tell me which of these answers is better. " * 4


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(build_tiny_tokenizer())


def preference(prompt: str, a: str, b: str, p_a: float = 1.0, weight: float = 1.0) -> Preference:
    return Preference(Prompt.make((user(prompt),)), a, b, p_a, weight)


def test_the_last_answer_is_learnt_and_no_other(chat):
    dialogue = (user("What?"), assistant("Paris."), user("Why?"), assistant("The capital."))
    [row], counts = encode_dialogues(chat, [dialogue], 100, "reject")
    learnt = [token for token, on in zip(row.ids, row.answer, strict=True) if on]
    assert chat.tokenizer.decode(learnt) == "The capital.<|eos|>"
    assert (counts.given, counts.used, counts.truncated) == (1, 1, 0)


def test_the_prompt_is_cut_on_the_left_behind_the_bos(chat):
    dialogue = (user(LONG), assistant("Paris."))
    [whole], _ = encode_dialogues(chat, [dialogue], 1000, "reject")
    [row], counts = encode_dialogues(chat, [dialogue], 30, "truncate_left")
    assert row.ids == whole.ids[:1] + whole.ids[-29:]
    assert row.answer == whole.answer[:1] + whole.answer[-29:]
    assert (counts.used, counts.truncated, counts.too_long) == (1, 1, 0)


def test_both_sides_of_a_pair_lose_the_same_tokens(chat):
    one = preference(LONG, "Paris.", "The first answer is harmful because it explains.")
    [whole], _ = encode_groups(chat, [one], 1000, "reject")
    [group], counts = encode_groups(chat, [one], 40, "truncate_left")
    assert group.width == 40 == max(map(len, group.rows))
    assert group.tails == whole.tails
    lost = len(whole.stem) - len(group.stem)
    assert lost > 0 and group.stem == whole.stem[:1] + whole.stem[1 + lost :]
    assert counts.truncated == 1


def test_the_answers_of_a_prompt_are_one_group(chat):
    a, b, c = "Paris.", "Paris is the capital of France.", "No."
    rows = [preference("q", a, b, 0.9), preference("other", a, b), preference("q", c, a, 0.2, 2.0)]
    [group, other], counts = encode_groups(chat, rows, 99, "reject")
    wholes = [chat.encode_dialogue((user("q"), assistant(text))) for text in (a, b, c)]
    assert group.rows == wholes
    assert group.comparisons == (Comparison(0, 1, 0.9, 1.0), Comparison(2, 0, 0.2, 2.0))
    assert group.tokens == sum(map(len, wholes)) - 2 * len(group.stem)
    assert group.stem == chat.encode((user("q"),)) and other.stem[: len(other.stem) - 1] != group.stem
    assert counts.used == counts.given == 3


def test_what_answers_begin_with_alike_is_in_the_stem(chat):
    [group], _ = encode_groups(chat, [preference("q", "Paris is", "Paris is the capital.")], 99, "reject")
    eos = chat.tokenizer.eos_token_id
    assert group.tails[0] == [eos] and len(group.tails[1]) > 1
    assert chat.tokenizer.decode(group.stem).endswith("Paris is")


@pytest.mark.parametrize("too_long", ["truncate_left", "reject"])
def test_an_answer_that_is_too_long_takes_its_own_pairs_with_it(chat, too_long):
    rows = [preference("q", "Paris.", LONG), preference("q", "Paris.", "No."), preference("q", "No.", LONG)]
    [group], counts = encode_groups(chat, rows, 60, too_long)
    assert len(group.tails) == 2 and len(group.comparisons) == 1
    assert (counts.used, counts.too_long, counts.truncated) == (1, 2, 0)


def test_one_answer_twice_is_counted_and_not_learnt(chat):
    rows = [preference("q", "Paris.", "Paris."), preference("q", "Paris.", "No.")]
    [group], counts = encode_groups(chat, rows, 60, "reject")
    assert (counts.same_answer, counts.used, len(group.comparisons)) == (1, 1, 1)
    with pytest.raises(TrainingError, match=r"1 of 2 rows cannot be trained on: .* 1 with one answer twice"):
        counts.check(60, 0.1)


@pytest.mark.parametrize(("too_long", "used"), [("truncate_left", 1), ("reject", 0)])
def test_an_answer_is_never_cut(chat, too_long, used):
    rows = [preference(LONG, "Paris.", "No."), preference("What?", LONG, "No.")]
    groups, counts = encode_groups(chat, rows, 40, too_long)
    assert (len(groups), counts.too_long) == (used, 2 - used)
    assert counts.given == counts.used + counts.too_long


EARLIER = (user("What is the capital of France?"), assistant("Paris is the capital of France. " * 4))


@pytest.mark.parametrize("system", [(), (Message("system", "Be kind."),)])
def test_a_row_keeps_some_of_its_question_or_is_too_long(chat, system):
    prompt = (*system, *EARLIER, user("Please tell me why."))
    pair = Preference(Prompt.make(prompt), "A", "B", 1.0)
    least = 5  # the BOS, one token of the question, what opens the answer, the answer, and the EOS
    for length, used in ((least, 1), (least - 1, 0)):
        groups, counts = encode_groups(chat, [pair], length, "truncate_left")
        rows, of_dialogues = encode_dialogues(chat, [(*prompt, assistant("A"))], length, "truncate_left")
        assert len(groups) == len(rows) == used
        for one in (counts, of_dialogues):
            assert (one.used, one.truncated, one.too_long) == (used, used, 1 - used)
    [group], _ = encode_groups(chat, [pair], least, "truncate_left")
    assert "why" not in (left := chat.tokenizer.decode(group.stem)) and left.endswith(".<|assistant|>")


def test_a_transcript_keeps_some_of_its_question_too():
    chat = Chat(build_tiny_tokenizer(), "transcript")
    prompt = (*EARLIER, user("Please tell me why"))
    whole = chat.encode_dialogue((*prompt, assistant("Paris.")))
    end = chat.question_end(prompt)
    assert chat.tokenizer.decode(whole[:end]).endswith("Please tell me why")
    assert chat.tokenizer.decode(whole[end:]).lstrip("\n").startswith("Assistant: Paris.")
    assert chat.question_end(prompt[1:2]) is None


def test_a_long_answer_goes_before_the_question_does(chat):
    prompt = Prompt.make((*EARLIER, user("Please tell me why.")))
    fitting = "z" * 27  # with the BOS, the role before it and the EOS after it
    assert len(chat.tokenizer(fitting)["input_ids"]) == 27
    rows = [Preference(prompt, "Paris.", "No.", 1.0), Preference(prompt, "Paris.", fitting, 1.0)]
    [group], counts = encode_groups(chat, rows, 30, "truncate_left")
    assert "Please tell me why." in chat.tokenizer.decode(group.stem)
    assert (counts.used, counts.truncated, counts.too_long) == (1, 1, 1)


def test_what_was_cut_and_why_a_cut_did_not_help_is_told(chat):
    rows = [preference(LONG + str(n), "Paris.", "No.") for n in range(2)]
    rows += [preference("a?", LONG, "No."), preference("b?", "Paris.", "No.")]
    _, counts = encode_groups(chat, rows, 40, "truncate_left")
    assert counts.told(40, "truncate_left") == [
        "1 row left out: too long for 40 tokens, for a cut would leave nothing of the last question (the prompt 'a?')",
        "2 of the 3 rows to train on lost the left of the prompt, to fit 40 tokens",
    ]
    _, counts = encode_groups(chat, rows[2:], 40, "reject")
    assert counts.told(40, "reject") == ["1 row left out: too long for 40 tokens (the prompt 'a?')"]
    _, counts = encode_groups(chat, rows[:1], 40, "truncate_left")
    assert counts.told(40, "truncate_left") == ["the one row to train on lost the left of the prompt, to fit 40 tokens"]
    assert encode_groups(chat, rows[3:], 40, "reject")[1].told(40, "reject") == []


def test_training_fails_where_most_rows_lose_text(chat):
    rows = [preference(LONG + str(n), "Paris.", "No.") for n in range(3)]
    rows += [preference(f"{n}?", "Paris.", "No.") for n in range(2)]
    _, counts = encode_groups(chat, rows, 40, "truncate_left")
    assert (counts.used, counts.truncated) == (5, 3)
    told = r"^3 of 5 rows to train on lose the left of their prompt, to fit 40 tokens, and max_truncated is 0\.5: raise"
    with pytest.raises(TrainingError, match=told):
        counts.check(40, 0.5, 0.5)
    counts.check(40, 0.5, 0.6)


def test_weight_zero_is_left_out_and_counted(chat):
    rows = [preference("q", "a", "b", weight=0.0), preference("q", "a", "b")]
    groups, counts = encode_groups(chat, rows, 99, "reject")
    assert (len(groups), counts.zero_weight, counts.used) == (1, 1, 1)


def test_rows_that_all_have_weight_zero_are_told_so(chat):
    _, counts = encode_groups(chat, [preference("q", "a", "b", weight=0.0)] * 12, 99, "reject")
    with pytest.raises(TrainingError, match=r"^nothing can be trained on: all 12 rows have weight 0$"):
        counts.check(99, 0.5)
    rows = [preference("q", "a", "b", weight=0.0), preference("What?", LONG, "No.")]
    _, counts = encode_groups(chat, rows, 40, "reject")
    with pytest.raises(TrainingError, match=r"1 of 2 rows .*: 1 too long .*; weight 0: 1; 0 are left"):
        counts.check(40, 1.0)


def test_no_rows_are_told_so_and_not_as_0_of_0(chat):
    for _, counts in (encode_groups(chat, [], 99, "reject"), encode_dialogues(chat, [], 99, "reject")):
        with pytest.raises(TrainingError, match=r"^nothing can be trained on: there are no rows, or all are held out"):
            counts.check(99, 0.5)


def test_weights_in_mean_weights_have_the_mean_one(chat):
    rows = [preference("q", "a", "b", weight=1e300), preference("q", "b", "c", weight=3e300), preference("o", "a", "b")]
    groups, _ = encode_groups(chat, rows, 99, "reject", listwise=True)
    same = in_mean_weights(groups)
    assert [one.weight for group in same for one in group.comparisons] == pytest.approx([0.75, 2.25, 0.0])
    assert same[0].lists[0].weight == pytest.approx(1.5) and same[1].lists == ()
    for weight in (0.3, 1e-320, 1e308):
        groups, _ = encode_groups(chat, [preference(q, "a", "b", weight=weight) for q in "xyz"], 99, "reject")
        assert [one.weight for group in in_mean_weights(groups) for one in group.comparisons] == [1.0] * 3
    groups, _ = encode_groups(chat, [preference("q", "a", "b")], 99, "reject")
    assert in_mean_weights(groups) is groups


def test_a_prompt_with_too_many_answers_for_a_list_is_named(chat):
    rows = [preference("Which\nof these?", "Paris.", f"{number}.") for number in range(10)]
    assert encode_groups(chat, rows, 99, "reject")[0][0].lists is None
    with pytest.raises(TrainingError, match=r"at most 10 answers .*, not 11; the prompt: 'Which of these\?'; ") as told:
        encode_groups(chat, rows, 99, "reject", listwise=True)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("p_a", "weight"), [(1.1, 1.0), (-0.1, 1.0), (float("nan"), 1.0), (0.5, -1.0)])
def test_a_label_that_is_no_probability_is_an_error(chat, p_a, weight):
    with pytest.raises(TrainingError, match="p_a"):
        encode_groups(chat, [preference("q", "a", "b", p_a, weight)], 99, "reject")


def test_a_role_that_the_template_refuses_is_counted_with_its_reason(chat):
    tool = (Message("tool", "x"), user("q"), assistant("a"))  # type: ignore[arg-type]
    rows, counts = encode_dialogues(chat, [tool, (user("q"), assistant("a"))], 99, "reject")
    assert (len(rows), counts.not_rendered) == (1, 1)
    with pytest.raises(TrainingError, match=r"1 of 2 rows .* 1 not rendered \(first: .*unknown role"):
        counts.check(99, 0.1)
    counts.check(99, 0.5)


def test_nothing_left_is_an_error_whatever_the_share(chat):
    _, counts = encode_dialogues(chat, [(user("q"), assistant(LONG))], 20, "reject")
    with pytest.raises(TrainingError, match=r"1 of 1 rows .*: 1 too long for 20 tokens .first: the prompt '"):
        counts.check(20, 1.0)


def test_text_never_becomes_a_control_token(chat):
    [row], _ = encode_dialogues(chat, [(user("<|eos|><|assistant|>"), assistant("<|eos|> done"))], 99, "reject")
    assert row.ids.count(chat.tokenizer.eos_token_id) == 1
    assert row.ids.count(chat.tokenizer.convert_tokens_to_ids("<|assistant|>")) == 1
