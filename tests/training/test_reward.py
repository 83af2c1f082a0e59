from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from cai.chat import Chat
from cai.errors import TrainingError
from cai.models.reward import score_responses
from cai.recipe import LoraSettings, RewardSettings
from cai.records import Preference, Prompt, assistant, user
from cai.training.backbone import load_backbone
from cai.training.checks import check_ids, check_scores
from cai.training.reward import RewardRun, _not_learnt, train_reward
from cai.training.rows import encode_groups
from cai.training.templates import template_ids
from cai.training.vocabulary import read_rows
from tests.tiny import build_tiny_model, build_tiny_tokenizer
from tests.training.planted import preferences, weights_hash, with_a_drawn_head

SETTINGS = RewardSettings(
    lr=3e-3, epochs=2, batch_size=16, max_length=128, checkpoint_every=2, batch_tokens=700, dtype="float32"
)
ALONE = """
import json, sys
sys.modules["cai"] = None  # importing it is an error from here on
from pathlib import Path
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder = Path(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
golden = json.loads((folder / "golden_scores.json").read_text())
found = []
for side in ("right", "left"):
    tokenizer.padding_side = side
    texts = [row["messages"] for row in golden["rows"]]
    batch = tokenizer.apply_chat_template(texts, tokenize=True, return_dict=True, return_tensors="pt", padding=True)
    with torch.inference_mode():
        found.append(model(**batch).logits[:, 0].tolist())
assert not [name for name in sys.modules if name.startswith("cai.")]
print(json.dumps({"found": found, "golden": golden}))
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base"))


def plain(base: Path, folder: Path) -> Path:
    """The same weights under a tokenizer without a chat template, whose pad is its EOS."""
    tokenizer = build_tiny_tokenizer()
    tokenizer.chat_template = None
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(folder)
    return folder


def train(
    base: Path, tmp_path: Path, settings: RewardSettings = SETTINGS, rows=None, name: str = "rm", progress=None, **more
):
    return train_reward(
        base, rows or preferences(60), tmp_path / name, settings, 0,
        checkpoints=tmp_path / "checkpoints", progress=progress, **more,
    )  # fmt: skip


def test_it_learns_a_planted_preference_and_says_what_it_did(base, tmp_path, capfd):
    steps = []
    report = train(base, tmp_path, progress=lambda *at: steps.append(at))
    assert report["rows_given"] == report["rows_used"] == 60
    assert [step for step, _, _ in steps] == list(range(1, 9)) and steps[0][1] == 8
    assert report["loss"] < 0.3 < report["loss_first"]
    unseen = preferences(30, seed=1)
    a = score_responses(tmp_path / "rm", [(one.prompt.messages, one.response_a) for one in unseen])
    b = score_responses(tmp_path / "rm", [(one.prompt.messages, one.response_b) for one in unseen])
    assert sum((x > y) == (one.p_a > 0.5) for one, x, y in zip(unseen, a, b, strict=True)) >= 28
    about = json.loads((tmp_path / "rm" / "training.json").read_text())
    assert about["trainer"] == "reward" and len(about["losses"]) == 8 and about["settings"]["lr"] == 3e-3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rm"]
    assert capfd.readouterr() == ("", "")


def test_soft_labels_are_learnt_as_probabilities(base, tmp_path):
    train(base, tmp_path, replace(SETTINGS, epochs=12, scheduler="linear"), preferences(60, p=0.8))
    rows = preferences(40, seed=2)
    a = score_responses(tmp_path / "rm", [(one.prompt.messages, one.chosen) for one in rows])
    b = score_responses(tmp_path / "rm", [(one.prompt.messages, one.rejected) for one in rows])
    learnt = torch.sigmoid(torch.tensor(a) - torch.tensor(b)).mean().item()
    assert learnt == pytest.approx(0.8, abs=0.06)


def test_the_folder_scores_alike_without_this_package(base, tmp_path):
    model = plain(base, tmp_path / "plain")
    report = train(model, tmp_path, replace(SETTINGS, epochs=0.5))
    assert any("<|pad|> (id" in note for note in report["notes"])
    assert any("transcript was stored" in note for note in report["notes"])
    environment = {**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(tmp_path / "rm")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    golden = [row["score"] for row in result["golden"]["rows"]]
    for scores in result["found"]:
        assert scores == pytest.approx(golden, abs=result["golden"]["tolerance"])
    assert len({round(score, 3) for score in golden}) > 3


def test_pad_becomes_a_token_of_its_own(base, tmp_path):
    made = load_backbone(plain(base, tmp_path / "plain"), 0)
    config = made.model.config
    assert made.tokenizer.pad_token_id == config.pad_token_id != made.tokenizer.eos_token_id
    assert (config.num_labels, config.problem_type, config.id2label) == (1, "regression", {0: "reward"})


def test_a_new_pad_makes_room_in_the_embeddings(base, tmp_path):
    folder = plain(base, tmp_path / "plain")
    data = (folder / "tokenizer.json").read_text().replace('"<|pad|>"', '"<|other|>"')
    (folder / "tokenizer.json").write_text(data)
    before = AutoModelForCausalLM.from_pretrained(base).config.vocab_size
    made = load_backbone(folder, 0)
    embeddings = made.model.get_input_embeddings().weight
    assert made.tokenizer.pad_token_id == before == embeddings.shape[0] - 1 == made.model.config.vocab_size - 1
    assert embeddings[before].abs().sum() == 0


@pytest.mark.parametrize("lora", [None, LoraSettings(r=4, alpha=8, dropout=0.1)], ids=["full", "lora"])
def test_a_run_that_is_stopped_and_continued_ends_in_the_same_bits(base, tmp_path, lora):
    settings = replace(SETTINGS, lora=lora, epochs=1.5)
    train(base, tmp_path, settings, name="whole")

    def stop_at(last):
        def progress(step, total, loss):
            if step == last:
                raise KeyboardInterrupt

        return progress

    for last in (1, 3, 5):
        with pytest.raises(KeyboardInterrupt):
            train(base, tmp_path, settings, name="cut", progress=stop_at(last))
    seen = []
    train(base, tmp_path, settings, name="cut", progress=lambda step, *_: seen.append(step))
    assert seen == [5, 6]
    assert weights_hash(tmp_path / "cut") == weights_hash(tmp_path / "whole")
    assert (tmp_path / "cut/training.json").read_text() == (tmp_path / "whole/training.json").read_text()


def test_other_settings_do_not_continue_an_old_run(base, tmp_path):
    def stop(step, total, loss):
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(base, tmp_path, progress=stop)
    seen = []
    train(base, tmp_path, replace(SETTINGS, lr=1e-3), progress=lambda step, *_: seen.append(step))
    assert seen[0] == 1


def test_what_is_finished_is_not_trained_again(base, tmp_path):
    settings = replace(SETTINGS, epochs=0.5)
    report = train(base, tmp_path, settings)
    before = (tmp_path / "rm/model.safetensors").stat().st_ino
    steps = []
    again = train(
        base, tmp_path, replace(settings, checkpoint_every=7), progress=lambda step, *_: steps.append(step)
    )  # fmt: skip
    assert again == report and not steps
    assert (tmp_path / "rm/model.safetensors").stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rm"]
    for change in ({"settings": replace(settings, batch_tokens=300)}, {"rows": preferences(60, seed=3)}):
        steps.clear()
        train(base, tmp_path, **{"settings": settings, **change}, progress=lambda step, *_: steps.append(step))
        assert steps == [1, 2]


def test_a_finished_model_that_was_harmed_is_trained_again(base, tmp_path):
    settings = replace(SETTINGS, epochs=0.5)
    train(base, tmp_path, settings)
    weights = tmp_path / "rm/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + bytes(4))
    train(base, tmp_path, settings)
    assert weights.read_bytes() == whole


def test_the_transcript_is_trained_and_stored_where_it_is_asked_for(base, tmp_path):
    report = train(base, tmp_path, replace(SETTINGS, epochs=0.5), template="transcript")
    assert any("template was not used; the Human/Assistant transcript was stored" in note for note in report["notes"])
    dialogue = (user("What is it?"), assistant("Paris."))
    saved = AutoTokenizer.from_pretrained(tmp_path / "rm")
    expected = Chat(AutoTokenizer.from_pretrained(base), "transcript").encode_dialogue(dialogue)
    assert template_ids(saved, [message.to_json() for message in dialogue]) == expected
    assert "Human:" in saved.decode(expected)


def test_adapters_are_merged_into_a_plain_model(base, tmp_path):
    train(base, tmp_path, replace(SETTINGS, lora=LoraSettings(r=4), epochs=0.5))
    names = {path.name for path in (tmp_path / "rm").iterdir()}
    assert "adapter_config.json" not in names and "model.safetensors" in names
    full = AutoModelForSequenceClassification.from_pretrained(tmp_path / "rm")
    assert type(full).__name__ == "LlamaForSequenceClassification"


def test_micro_batches_change_memory_and_not_the_gradient(base):
    rows = preferences(12)
    gradients = []
    for budget in (100, 100_000):
        made = with_a_drawn_head(load_backbone(base, 0))
        groups, _ = encode_groups(made.chat, rows, 128, "reject")
        settings = replace(SETTINGS, batch_size=12, batch_tokens=budget, lr=0.0, weight_decay=0.0)
        run = RewardRun(made, groups, settings, 0)
        kept = []
        run.optimizer.register_step_pre_hook(
            lambda optimizer, *_, kept=kept: kept.extend(
                one.grad.clone() for group in optimizer.param_groups for one in group["params"]
            )
        )
        run.advance()
        gradients.append(kept)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_training_the_embeddings_that_are_read_is_training_them_all(base, tmp_path, monkeypatch):
    rows = preferences(40)
    before = load_backbone(base, 0).model.get_input_embeddings().weight.detach()
    settings = replace(SETTINGS, epochs=2, weight_decay=0.1, lr=1e-3)
    train(base, tmp_path / "few", settings, rows)
    monkeypatch.setattr("cai.training.reward.read_rows", lambda *_: None)
    train(base, tmp_path / "all", settings, rows)
    few, every = (load_file(tmp_path / name / "rm" / "model.safetensors") for name in ("few", "all"))
    assert few.keys() == every.keys()
    for name in few:
        torch.testing.assert_close(few[name], every[name], rtol=1e-4, atol=2e-6)
    groups, _ = encode_groups(load_backbone(base, 0).chat, rows, settings.max_length, "reject")
    read = {token for group in groups for row in group.rows for token in row}
    unread = [token for token in range(5, len(before)) if token not in read]
    shrunk = few["model.embed_tokens.weight"][unread] / before[unread]
    assert len(unread) > 100 and shrunk.min() > 0.9 and shrunk.max() < 1, "by weight decay alone"
    assert shrunk.max() - shrunk.min() < 1e-5


@pytest.mark.parametrize("kind", ["padding", "shared", "frozen", "normed"])
def test_an_embedding_is_cut_down_only_where_that_changes_nothing(base, kind):
    model = load_backbone(base, 0).model
    embedding = model.get_input_embeddings()
    if kind == "shared":
        model.other = torch.nn.Linear(1, 1, bias=False)
        model.other.weight = embedding.weight
    elif kind == "frozen":
        embedding.weight.requires_grad_(False)
    elif kind == "normed":
        embedding.max_norm = 1.0
    asked, whole = torch.tensor([[5, 9, 5, 7]]), embedding.weight
    expected = embedding(asked)
    cut = read_rows(model, [9, 7, 5])
    assert (cut is None) == (kind != "padding")
    assert torch.equal(embedding(asked), expected)
    if cut is not None:
        assert len(embedding.weight) == len(cut.ids) <= 4 < len(whole)
        with pytest.raises(IndexError):
            embedding(torch.tensor([[11]]))
        with torch.no_grad():
            embedding.weight.add_(1.0)
        unread = whole.detach()[11].clone()
        cut.restore(0.5)
        assert embedding.weight is whole and torch.equal(embedding(asked), expected + 1.0)
        assert torch.equal(whole[11], unread * 0.5)


@pytest.mark.parametrize(("lr", "said"), [(1e-9, True), (3e-3, False)])
def test_a_training_that_learned_nothing_says_so(base, tmp_path, lr, said):
    report = train(base, tmp_path, replace(SETTINGS, lr=lr), preferences(40))
    assert any("the loss hardly moved in" in note for note in report["notes"]) is said


def test_a_loss_that_rose_is_told_as_such_and_so_is_a_model_that_was_a_reward_model(base, tmp_path):
    first = train(base, tmp_path, SETTINGS, preferences(40))
    assert not any("the loss" in note or "reward model already" in note for note in first["notes"])
    (tmp_path / "rm").rename(tmp_path / "trained")
    turned = [replace(one, p_a=1 - one.p_a) for one in preferences(40)]
    report = train(tmp_path / "trained", tmp_path, replace(SETTINGS, lr=1e-9, epochs=1), turned)
    [said] = [note for note in report["notes"] if "the loss" in note]
    assert "which is worse than a coin (0.6931): " in said
    assert said.endswith("; the model was a reward model already, and was trained on with the head that it came with")


@pytest.mark.parametrize(
    ("first", "last", "loss", "said"),
    [
        (
            0.7604,
            0.7829,
            "pairs",
            "the loss rose from 0.7604 to 0.7829 in 4 steps, which is worse than a coin (0.6931): ",
        ),
        (
            0.5,
            0.6,
            "pairs",
            "the loss rose from 0.5000 to 0.6000 in 4 steps: lower lr, or raise epochs if steps are few",
        ),
        (0.7, 0.9, "listwise", "the loss rose from 0.7000 to 0.9000 in 4 steps: lower lr"),
        (0.69, 0.69, "pairs", "the loss hardly moved in 4 steps: unless all labels are near ½, raise epochs or lr"),
        (0.69, 0.6, "pairs", None),
    ],
)
def test_what_is_said_of_a_loss_that_did_not_fall(first, last, loss, said):
    run = SimpleNamespace(total=4, settings=replace(SETTINGS, loss=loss))
    lines = _not_learnt(run, SimpleNamespace(came_with_head=False), first, last)
    assert [line.startswith(said) for line in lines] == ([True] if said else [])


def test_weights_count(base, tmp_path):
    rows = [replace(one, weight=0.0) if one.p_a < 0.5 else one for one in preferences(40)]
    report = train(base, tmp_path, replace(SETTINGS, epochs=0.5), rows)
    assert report["rows_used"] + report["rows_zero_weight"] == 40 and report["rows_zero_weight"] > 5


def test_a_head_starts_at_zero_and_one_that_the_folder_has_is_kept(base, tmp_path):
    made = load_backbone(base, 0)
    assert made.drawn == {"score.weight"} and not made.model.score.weight.any()
    again = with_a_head(base, tmp_path / "scoring")
    assert not (kept := load_backbone(again, 0)).drawn and kept.model.score.weight.detach().std() > 0.1


def with_a_head(base, folder):
    """A reward model of the same backbone, whose head was drawn."""
    made = with_a_drawn_head(load_backbone(base, 0))
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return folder


def test_centring_brings_the_sum_of_both_rewards_near_zero(base, tmp_path):
    rows = preferences(60)
    sums = {}
    scoring = with_a_head(base, tmp_path / "scoring")
    for centering in (0.0, 1.0):
        train(scoring, tmp_path, replace(SETTINGS, centering=centering, epochs=4), rows)
        a = score_responses(tmp_path / "rm", [(one.prompt.messages, one.response_a) for one in rows])
        b = score_responses(tmp_path / "rm", [(one.prompt.messages, one.response_b) for one in rows])
        sums[centering] = sum(abs(x + y) for x, y in zip(a, b, strict=True)) / 60
    assert sums[1.0] < 0.5 * sums[0.0]


# ------------------------------------------------------------------------------------------------ what must not pass


def test_pad_equal_to_eos_is_refused():
    tokenizer = build_tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    with pytest.raises(TrainingError, match="equals EOS"):
        check_ids(tokenizer, [])


@pytest.mark.parametrize(("row", "problem"), [([1, 9, 9], "not with '<|eos|>'"), ([1, 1, 9, 2], "'<|bos|>' 2 times")])
def test_rows_that_would_be_misread_are_refused(row, problem):
    with pytest.raises(TrainingError, match=problem.replace("|", r"\|")):
        check_ids(build_tiny_tokenizer(), [row])


def test_a_score_that_depends_on_padding_is_refused(base):
    made = with_a_drawn_head(load_backbone(base, 0))
    rows = [made.tokenizer(text)["input_ids"] + [2] for text in ("bake it", "The first answer is harmful because", "a")]
    assert check_scores(made.model.eval(), rows, 0) == []
    made.model.config.pad_token_id = 2
    with pytest.raises(TrainingError, match="pad_token_id is not 0"):
        check_scores(made.model, rows, 0)
    made.model.config.pad_token_id = 0
    with pytest.raises(TrainingError, match="scores differ between batch 1 and batch 8"):
        check_scores(ReadsLastPosition(made.model), rows, 0)


class ReadsLastPosition(torch.nn.Module):
    """Scores the last position whatever it holds, as a model does whose pad is its EOS."""

    def __init__(self, model):
        super().__init__()
        self.inner, self.config = model, model.config

    def forward(self, input_ids, attention_mask, **_):
        hidden = self.inner.model(input_ids, attention_mask=attention_mask).last_hidden_state
        return SequenceClassifierOutput(logits=self.inner.score(hidden)[:, -1])


def test_absolute_positions_are_noted(tmp_path):
    tokenizer = build_tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path / "gpt2")
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=128, initializer_range=0.2,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    report = train(tmp_path / "gpt2", tmp_path, replace(SETTINGS, epochs=0.5))
    assert any("absolute positions" in note for note in report["notes"])


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_old_model(base, tmp_path):
    (tmp_path / "rm").mkdir()
    (tmp_path / "rm" / "training.json").write_text('{"trainer": "reward"}')
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) at step \d+; lower reward\.lr"):
        train(base, tmp_path, replace(SETTINGS, lr=1e20, max_grad_norm=1e20))
    assert [path.name for path in (tmp_path / "rm").iterdir()] == ["training.json"]


@pytest.mark.parametrize(("folder", "problem"), [("nowhere", "no config.json"), ("empty", "no config.json")])
def test_a_model_that_is_not_there(tmp_path, folder, problem):
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=problem):
        train(tmp_path / folder, tmp_path)


def test_too_many_rejected_rows_fail(base, tmp_path):
    rows = [Preference(Prompt.make((user(str(n)),)), "Paris " * 200, "No.", 1.0) for n in range(5)] + preferences(4)
    with pytest.raises(TrainingError, match="5 of 9 rows cannot be trained on: 5 too long for 128 tokens"):
        train(base, tmp_path, SETTINGS, rows)


def test_the_context_of_the_model_is_a_limit_too(tmp_path):
    base = build_tiny_model(tmp_path / "short", context=48)
    rows = [Preference(Prompt.make((user("Please tell me. " * 40 + str(n)),)), "Paris.", "No.", 1.0) for n in range(8)]
    report = train(base, tmp_path, replace(SETTINGS, max_length=1000, max_truncated=1, epochs=1), rows)
    assert report["rows_truncated"] == 8
    assert AutoTokenizer.from_pretrained(tmp_path / "rm").pad_token == "<|pad|>"
