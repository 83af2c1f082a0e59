"""Bad input at the command line: one clear line, exit status 2, nothing written."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cai.cli import main
from cai.errors import ConfigError, InputError
from cai.recipe import Recipe
from cai.recipe_files import load_recipe
from tests.pipeline.runs import write_prompts
from tests.tiny import build_tiny_model

DATA = ["--set", "train=[]", "--set", "sample.policy=base"]


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


def refused(out: Path, *arguments: str) -> str:
    """The one line that `cai run` refuses with."""
    code, text = invoke("run", "--out", str(out), "--quiet", *arguments)
    assert code == 2, text
    assert text.startswith("Error: ")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    assert not out.exists()
    return text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            b'{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}\n',
            "a.jsonl:1",
        ),
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt": "\xff\xfe"}\n', "a.jsonl:2"),
        ("a.jsonl", b'{"prompt": "x"}\n{"prompt": "y', "a.jsonl:2"),
        ("a.jsonl", b"", "a.jsonl"),
        ("a.jsonl", b'{"promt": "x"}\n', "a.jsonl:1"),
        ("a.csv", b"goal,target\n", "a.csv"),
    ],
    ids=["ends with the assistant", "invalid UTF-8", "half a line", "empty", "no such column", "only a head"],
)
def test_prompt_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert message in refused(tmp_path / "run", "--model", "fake", "--prompts", str(tmp_path / name), *DATA)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nprinciples:\n  - id: a\n    critque: y\n", "c.yaml:4:5: "),
        ("name: x\nprinciples:\n  - {id: a, critique: x, revision: y}\n", "has no 'comparison'"),
        ("name: &a x\nprinciples: *a\n", "c.yaml:1:7"),
        ("name: x\nname: y\n", "c.yaml:2:1"),
    ],
    ids=["unknown key", "missing form", "anchor", "key twice"],
)
def test_constitutions(tmp_path: Path, text: str, message: str) -> None:
    prompts = write_prompts(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    told = refused(
        tmp_path / "run",
        "--model",
        "fake",
        "--prompts",
        str(prompts),
        "--constitution",
        str(tmp_path / "c.yaml"),
        *DATA,
    )
    assert message in told


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path)
    (tmp_path / "c.yaml").write_text("name: x\nprinciples:\n  - id: a\n    critque: y\n")
    told = refused(
        tmp_path / "run",
        "--model",
        "fake",
        "--prompts",
        str(prompts),
        "--constitution",
        str(tmp_path / "c.yaml"),
        *DATA,
    )
    assert "critique" in told
    (tmp_path / "r.yaml").write_text("reward:\n  lrr: 1\n")
    told = refused(tmp_path / "run", "--recipe", str(tmp_path / "r.yaml"), "--prompts", str(prompts))
    assert "r.yaml:2:3: unknown key 'lrr' in 'reward'; did you mean 'lr'?" in told


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("reward.lrr=1", "unknown key 'lrr' in 'reward'; did you mean 'lr'?"),
        ("rewrd.lr=1", "did you mean 'reward'?"),
        ("name=../../escaped", "name: expected the name of one folder under outputs/, found '../../escaped'"),
        ("reward.lr=abc", "expected a number, found 'abc'"),
        ("reward.lr", "expected key=value"),
        ("preferences.clamp=[0.4,2]", "from 0 to 1, found 2"),
        ("critique.rounds=.inf", "--set"),
    ],
)
def test_settings(tmp_path: Path, setting: str, message: str) -> None:
    prompts = write_prompts(tmp_path)
    assert message in refused(tmp_path / "run", "--model", "fake", "--prompts", str(prompts), "--set", setting)


@pytest.mark.parametrize(
    ("setting", "bound"),
    [
        ("sft.max_length=4", "from 8 to 10,000,000, found 4"),
        ("reward.max_length=4", "from 8 to 10,000,000, found 4"),
        ("reward.batch_tokens=2", "from 16 to 1,000,000,000, found 2"),
        ("engine.batch_tokens=0", "from 16 to 1,000,000,000, found 0"),
        ("sft.batch_size=0", "from 1 to 1,000,000, found 0"),
        ("reward.mega_batch=99999", "from 1 to 10,000, found 99999"),
        ("respond.max_tokens=10000000", "from 1 to 1,000,000, found 1e+07"),
        ("sft.lr=0", "over 0 and up to 1, found 0"),
        ("reward.lr=5", "over 0 and up to 1, found 5"),
        ("sft.max_grad_norm=-1", "from 0 to 1,000,000,000, found -1"),
        ("reward.warmup_ratio=1", "from 0 to 0.99, found 1"),
        ('reward.lora={"r": 8, "dropout": 1}', "from 0 to 0.9, found 1"),
        ("engine.concurrency=100000", "from 1 to 10,000, found 100000"),
        ("engine.timeout=0", "from 0.01 to 100,000, found 0"),
    ],
)
def test_a_number_out_of_bounds_is_refused_with_the_range(tmp_path: Path, setting: str, bound: str) -> None:
    told = refused(tmp_path / "run", "--model", "fake", "--set", setting)
    assert told.endswith(f": expected a number {bound}\n")
    block, _, rest = setting.partition(".")
    if block in ("sft", "reward") and "lora" not in rest:
        command = ("train", block, "--data" if block == "sft" else "--preferences", "x", "--model", "hf/x")
        assert invoke(*command, "--out", str(tmp_path / "model"), "--set", rest) == (2, told)


def test_gradients_can_be_clipped_below_one() -> None:
    assert load_recipe(None, {"sft.max_grad_norm": 0, "reward.max_grad_norm": 0.3}).reward.max_grad_norm == 0.3


def numbers(cls: Any, where: tuple[str, ...] = ()) -> Iterator[str]:
    """The key of every setting that may be a number."""
    for key, hint in typing.get_type_hints(cls).items():
        for one in (hint, *typing.get_args(hint)):
            if is_dataclass(one):
                yield from numbers(one, (*where, key))
            elif one in (int, float):
                yield ".".join((*where, key))


def test_every_number_of_a_recipe_is_bounded_on_both_sides() -> None:
    keys = set(numbers(Recipe))
    assert {"sft.max_length", "reward.lora.r", "audit.ece", "limit", "label.pairs"} <= keys and len(keys) > 80
    for key in keys - {"preferences.weights"}:
        for value in (-1, 10**12):
            with pytest.raises(ConfigError, match=rf"--set {key}: expected a number .*, found (-1|1e\+12)$"):
                load_recipe(None, {key: value})


WEIGHTS = """expected a block of names, each with a number, in JSON as in --set 'preferences.weights={"name": 0.5}'"""
TRAIN = """expected a list (each 'sft' | 'reward'), in JSON as in --set 'train=["sft"]'"""
CLAMP = "expected a list (a number, a number) or 'auto' or nothing (null)"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("train=[sft]", f"train: {TRAIN}, found '[sft]', which is no JSON: see its character 2"),
        ('preferences.weights={"a": 1', "found '{\"a\": 1', which is no JSON: it ends too early"),
        ("preferences.weights={a: 1}", f"weights: {WEIGHTS}, found '{{a: 1}}', which is no JSON: see its character 2"),
        ("preferences.clamp=[0.4,", f"{CLAMP}, in JSON as in --set 'preferences.clamp=[0.5, 0.5]', found '[0.4,'"),
        ("reward.lora={r: 8}", """nothing (null), in JSON as in --set 'reward.lora={"r": 8}', found '{r: 8}'"""),
        ("rewrd.lora={r: 8}", """expected a list, block or text, in JSON as in --set 'rewrd.lora={"name": 0.5}'"""),
        ("train=" + "[" * 20_000, "which is no JSON: nested too deep"),
        ('preferences.weights={"a": "x"}', "preferences.weights.a: expected a number, found 'x'"),
        ('train=["sft", "rewrd"]', "found ['sft', 'rewrd']; did you mean 'reward'?"),
        ("reward.scheduler=cosin", "found 'cosin'; did you mean 'cosine'?"),
    ],
)
def test_a_list_or_block_that_cannot_be_read_is_told_with_an_example(tmp_path: Path, setting: str, told: str) -> None:
    line = refused(tmp_path / "run", "--model", "fake", "--set", setting)
    assert told in line and line.startswith(f"Error: --set {setting.partition('=')[0]}")
    for words in ("Expecting", "delimiter", "char ", "Unterminated"):
        assert words not in line


def test_the_example_of_a_training_names_the_key_as_it_was_given(tmp_path: Path) -> None:
    command = ("train", "reward", "--preferences", "x", "--model", "hf/x", "--out", str(tmp_path / "rm"))
    assert """in JSON as in --set 'lora={"r": 8}', found""" in invoke(*command, "--set", "lora={r: 8}")[1]


def test_a_weight_in_a_recipe_that_is_no_number_is_told_at_its_line(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("preferences:\n  weights:\n    a: 2\n    b: much\n")
    told = refused(tmp_path / "run", "--recipe", str(tmp_path / "r.yaml"))
    assert "r.yaml:4:8: preferences.weights.b: expected a number, found 'much'" in told


@pytest.mark.parametrize("block", ["sft", "reward"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("0", "expected a number over 0 and up to 10,000, found 0"),
        ("-0.0", "expected a number over 0 and up to 10,000, found -0"),
        ("-1", "expected a number over 0 and up to 10,000, found -1"),
        ("1e9", "expected a number over 0 and up to 10,000, found 1e+09"),
        ("nan", "expected a number, found 'nan'"),
    ],
)
def test_a_training_of_no_epochs_is_refused(tmp_path: Path, block: str, value: str, told: str) -> None:
    line = f"Error: --set {block}.epochs: {told}\n"
    assert refused(tmp_path / "run", "--model", "fake", "--set", f"{block}.epochs={value}") == line
    data = "--preferences" if block == "reward" else "--data"
    out = tmp_path / "trained"
    command = ("train", block, data, "x", "--model", "hf/x", "--out", str(out), "--set", f"epochs={value}")
    assert invoke(*command) == (2, line) and not out.exists()


def test_a_setting_that_is_no_finite_number_is_named(tmp_path: Path) -> None:
    for value in (".nan", ".inf"):
        told = refused(tmp_path / "run", "--model", "fake", "--set", f"sft.epochs={value}")
        assert told == f"Error: --set sft.epochs: '{value}' cannot be read: infinity and not-a-number are not read\n"


def test_a_part_of_an_epoch_is_a_training() -> None:
    assert load_recipe(None, {"reward.epochs": 0.01, "sft.epochs": 1}).reward.epochs == 0.01


def test_a_recipe_of_no_epochs_is_refused_at_its_line(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("sft:\n  epochs: 0\n")
    told = refused(tmp_path / "run", "--recipe", str(tmp_path / "r.yaml"))
    assert "r.yaml:2:11: sft.epochs: expected a number over 0 and up to 10,000, found 0" in told


SETS = ("a=1", "reward.lrr=1", "label", "reward.epochs=abc", "critique.rounds=0", "reward.batch_size=8")


@pytest.mark.parametrize("command", ["run", "plan"])
def test_settings_that_are_wrong_are_told_in_one_go(tmp_path: Path, command: str) -> None:
    options = [word for text in SETS for word in ("--set", text)]
    code, text = invoke(command, "--model", "fake", "--out", str(tmp_path / "run"), *options)
    assert (code, text.count("\n")) == (2, 5), text
    assert all(line.startswith("Error: --set ") for line in text.splitlines())
    for told in (
        "unknown key 'a'", "did you mean 'lr'?", "'label': expected key=value", "found 'abc'", "from 1 to 100, found 0"
    ):  # fmt: skip
        assert text.count(told) == 1, told
    assert not (tmp_path / "run").exists()


def test_a_recipe_file_that_is_wrong_in_two_places_is_told_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("reward:\n  lrr: 1\n  epochs: no\nsfft: {}\n")
    code, text = invoke("run", "--recipe", str(tmp_path / "r.yaml"), "--out", str(tmp_path / "run"))
    assert (code, text.count("\n")) == (2, 3), text
    assert [line.partition("r.yaml:")[2].partition(": ")[0] for line in text.splitlines()] == ["2:3", "3:11", "4:1"]


def test_the_settings_of_a_training_are_told_in_one_go(tmp_path: Path) -> None:
    sets = ["--set", "lrr=1", "--set", "reward.epochs=abc", "--set", "batch_size"]
    code, text = invoke(
        "train", "reward", "--preferences", "x", "--model", "hf/x", "--out", str(tmp_path / "rm"), *sets
    )
    assert (code, text.count("\n")) == (2, 3), text
    assert all(line.startswith("Error: --set ") for line in text.splitlines())


def test_folders_that_are_not_there_or_of_another_version(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path)
    told = refused(tmp_path / "run", "--model", f"hf/{tmp_path}/nowhere", "--prompts", str(prompts))
    assert "nowhere" in told
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_text('{"format": 99}')
    code, text = invoke("run", "--model", "fake", "--prompts", str(prompts), "--out", str(tmp_path / "old"), *DATA)
    assert (code, text.count("\n")) == (2, 1)
    assert "made by another version (format 99" in text
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["manifest.json"]


BELOW_A_FILE = [
    ("run", "--model", "fake", "--prompts", "prompts.jsonl", *DATA, "--out", "some.txt/run"),
    ("plan", "--model", "fake", "--prompts", "prompts.jsonl", *DATA, "--out", "some.txt/run"),
    ("train", "reward", "--preferences", "pairs.jsonl", "--model", "embedded", "--out", "some.txt/a/run"),
    ("train", "sft", "--data", "pairs.jsonl", "--model", "embedded", "--out", "some.txt/run"),
    ("evaluate", "reward", "--preferences", "pairs.jsonl", "--model", "no-model", "--out", "some.txt/run"),
    ("export", "no-run", "--format", "sft", "--out", "some.txt/run"),
    ("import", "pairs.jsonl", "--out", "some.txt/run"),
    ("import", "pairs.jsonl", "--out", "some.txt/run.jsonl"),
    ("embedded", "train", "--out", "some.txt/run"),
    ("embedded", "prompts", "--out", "some.txt/run"),
    ("embedded", "preferences", "--out", "some.txt/run"),
    ("constitution", "new", "some.txt/run.yaml"),
    ("constitution", "import", "no-file.json", "--out", "some.txt/run.yaml"),
]


@pytest.mark.parametrize("command", BELOW_A_FILE, ids=lambda words: " ".join((*words[:2], words[-1])))
def test_a_path_below_a_file_is_refused_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_prompts(tmp_path)
    Path("some.txt").write_text("mine")
    said = f"Error: {command[-1]}: nothing can be written below some.txt, which is a file; name another path\n"
    assert invoke(*command) == (2, said)
    if command[-1].endswith("run") and command[1] not in ("prompts", "preferences"):
        told = "Error: some.txt: this is a file, and a folder is to be written; name another\n"
        assert invoke(*command[:-1], "some.txt") == (2, told)
    assert {one.name for one in tmp_path.iterdir()} == {"some.txt", "prompts.jsonl"}
    assert Path("some.txt").read_text() == "mine"


@pytest.mark.parametrize("command", ["run", "plan"])
def test_outputs_that_is_a_file_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("outputs").write_text("mine")
    told = invoke(command, "--model", "fake", "--prompts", str(write_prompts(tmp_path)), *DATA)
    assert told == (
        2,
        "Error: outputs/rl-cai: nothing can be written below outputs, which is a file; name another path\n",
    )


@pytest.mark.parametrize("command", [("embedded", "prompts", "--out"), ("constitution", "new")], ids=" ".join)
def test_a_folder_where_a_file_is_to_be_written_is_refused(tmp_path: Path, command: tuple[str, ...]) -> None:
    for folder in (str(tmp_path), "."):
        assert invoke(*command, folder) == (2, f"Error: {folder}: this is a folder; name a file\n")


def test_roles_that_a_template_cannot_render(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "model")
    (model / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
        "<|user|>{{ m.content }}{% endfor %}<|assistant|>"
    )
    prompts = tmp_path / "p.jsonl"
    rows = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]}
    prompts.write_text(json.dumps(rows) + "\n")
    told = refused(tmp_path / "run", "--model", f"hf/{model}", "--prompts", str(prompts), *DATA)
    assert "system" in told


def test_a_context_that_is_too_long_is_rejected_counted_and_the_run_goes_on(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "model")
    prompts = tmp_path / "p.jsonl"
    rows = [{"prompt": "word " * 5000}, {"prompt": "How do I cheat?"}]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, text = invoke(
        "run", "--model", f"hf/{model}", "--prompts", str(prompts), "--out", str(tmp_path / "run"), "--until",
        "respond", "--set", "respond.max_tokens=8", "--set", "max_rejected=1.0", "--quiet", *DATA,
    )  # fmt: skip
    rejects = [json.loads(line) for line in (tmp_path / "run" / "respond.rejected.jsonl").read_text().splitlines()]
    long = [row for row in rejects if "context" in row["reason"]]
    assert len(long) == 1, (code, text, rejects)


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """A file-size limit on the process stands for the full disk: writes fail in the middle, as they do there."""
    prompts = write_prompts(tmp_path, red_team=2000)
    command = [
        sys.executable, "-c", "from cai.cli import main; main()", "run", "--model", "fake", "--prompts", str(prompts),
        "--out", str(tmp_path / "run"), "--quiet", *DATA,
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: ")
    assert not list((tmp_path / "run").glob("*.tmp"))
    whole = subprocess.run(command, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr


def _hears_ctrl_c() -> None:
    """A process started in the background of a shell script would ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path, red_team=400)
    log = tmp_path / "log"
    command = [
        sys.executable, "-c", "from cai.cli import main; main()", "run", "--model", f"fake?latency=0.02&log={log}",
        "--prompts", str(prompts), "--out", str(tmp_path / "run"), *DATA,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=_hears_ctrl_c
    ) as process:
        while not log.exists() or log.stat().st_size < 200:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in told
    assert "Traceback" not in told


@pytest.mark.parametrize("share", ["2", "1", "-0.1", "nan"])
@pytest.mark.parametrize(
    "command",
    [
        ["prompts", "p.jsonl"], ["import", "p.jsonl", "--out", "o"],
        ["train", "reward", "--preferences", "p.jsonl", "--model", "embedded", "--out", "o"],
        ["evaluate", "reward", "--preferences", "p.jsonl", "--model", "m"],
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_a_share_that_is_none_is_told_by_the_option_that_was_typed(command, share):
    done = CliRunner().invoke(main, [*command, "--test-share", share])
    assert done.exit_code == 2
    assert "Invalid value for '--test-share': " in done.stderr and "is not in the range 0<=x<1" in done.stderr


def test_a_recipe_that_extends_none_is_named_with_its_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 1\nextends: rl-cia\n")
    with pytest.raises(InputError, match=r"mine\.yaml:2:10: no recipe file 'rl-cia'; did you mean 'rl-cai'"):
        load_recipe(str(path))
