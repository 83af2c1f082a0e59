"""The card that a run writes: `datasets` reads what it says, it follows the run, and it tells no secrets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import datasets
import pytest
from click.testing import CliRunner
from huggingface_hub import DatasetCard

from cai.cli import main
from cai.embedded import model_spec
from cai.pipeline.rebuilding import public_text, rebuild_command
from cai.recipe import Recipe
from cai.recipe_files import load_recipe, parse_set
from cai.storage.run import Run, signature
from tests.pipeline.runs import fake_run, write_prompts


def card_of(folder: Path) -> str:
    return (folder / "datasets" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("files", [["jsonl", "parquet"], ["jsonl"]])
def test_datasets_loads_every_configuration_with_the_rows_that_the_card_says(tmp_path: Path, files: list[str]) -> None:
    fake_run(tmp_path / "run", write_prompts(tmp_path), "fake?reject=0.2", export__files=files)
    folder = tmp_path / "run" / "datasets"
    card = DatasetCard.load(folder / "README.md").data.to_dict()
    assert {one["config_name"] for one in card["configs"]} == {"sft", "preference", "preference_implicit", "prompts"}
    written = json.loads((tmp_path / "run" / "manifest.json").read_text())["steps"]["export"]["datasets"]
    for info in card["dataset_info"]:
        name = info["config_name"]
        loaded = datasets.load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache"))
        said = {one["name"]: one["num_examples"] for one in info["splits"]}
        assert {split: len(rows) for split, rows in loaded.items()} == said
        assert said == {split: count for split, count in written[name].items() if split in ("train", "test") and count}
        assert all(f"| `{name}` |" in card_of(tmp_path / "run") for name in written)
    default = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert default["train"].column_names[0] == "messages"


def test_the_card_tells_the_run(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path)
    fake_run(tmp_path / "run", prompts, "fake?reject=0.2", audit__items=4, constitution="minimal")
    text, run = card_of(tmp_path / "run"), Run.existing(tmp_path / "run")
    beside = (tmp_path / "run" / "datasets" / "constitution.yaml").read_bytes()
    assert beside == (tmp_path / "run" / "constitution.yaml").read_bytes()
    assert hashlib.sha256(beside).hexdigest() in text and beside.decode().splitlines()[-1] in text
    audit = json.loads(run.path("metrics/audit.json").read_text())
    assert f"It failed {len(audit['failed'])} of its gates: {', '.join(audit['failed'])}." in text
    rejected = run.steps["respond"]["reasons"]
    assert rejected and all(f"{count} {why.replace('_', chr(92) + '_')}" in text for why, count in rejected.items())
    assert str(run.steps["label"]["settings"]["model"]) in text
    assert "absolute rubrics" in text and "come from pairs" in text


def test_the_card_follows_the_run_and_leaves_an_edit_by_hand_until_then(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path)
    fake_run(tmp_path / "run", prompts)
    card = tmp_path / "run" / "datasets" / "README.md"
    first = card.read_text(encoding="utf-8")
    assert "The judge was not audited." in first
    card.write_text(first + "\nA licence of my own.\n", encoding="utf-8")
    fake_run(tmp_path / "run", prompts)
    assert card.read_text(encoding="utf-8").endswith("A licence of my own.\n")
    fake_run(tmp_path / "run", prompts, audit__items=4)
    assert "Audit of the labels" in card_of(tmp_path / "run") and "not audited" not in card_of(tmp_path / "run")
    card.unlink()
    fake_run(tmp_path / "run", prompts)
    assert card.read_text(encoding="utf-8") == first


def test_a_card_does_not_take_the_audit_of_other_labels_for_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prompts, run = write_prompts(tmp_path), Path("run")
    fake_run(run, prompts, audit__items=4, constitution="minimal")
    assert "Audit of the labels" in card_of(run)
    fake_run(run, prompts, judge="fake?bias=1", until="preferences", audit__items=4, constitution="minimal")
    done = CliRunner().invoke(main, ["export", str(run), "--format", "preference"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "The judge was not audited." in (run / "exports" / "README.md").read_text(encoding="utf-8")


def test_the_command_of_the_card_gives_the_same_recipe(tmp_path: Path) -> None:
    overrides = {
        "prompts": ["a b.jsonl?kind=helpful", "{x}.txt"], "model": "fake?a=1", "train": [], "limit": 3,
        "label.pairs": "all", "preferences.clamp": [0.4, 0.6], "reward.lr": 1e-5, "critic": "openai/'m'@http://h/v1",
        "audit.noise": None, "label.examples": False,
    }  # fmt: skip
    import shlex

    run = Run(tmp_path / "run")
    run.manifest["command"] = {"recipe": "rl-cai", "overrides": overrides}
    words = shlex.split(rebuild_command(run).replace("\\\n", " "))
    assert words[:4] == ["cai", "run", "--recipe", "rl-cai"]
    found: dict[str, object] = {"prompts": []}
    for option, value in zip(words[4::2], words[5::2], strict=True):
        if option == "--set":
            found |= dict([parse_set(value)])
        elif option == "--prompts":
            found["prompts"] = [*found["prompts"], value]  # type: ignore[misc]
        else:
            found[option.removeprefix("--")] = int(value) if option == "--limit" else value
    assert load_recipe("rl-cai", found) == load_recipe("rl-cai", overrides) != Recipe()


def test_addresses_lose_their_passwords_and_paths_their_home(tmp_path: Path) -> None:
    fake_run(tmp_path / "run", write_prompts(tmp_path), until="respond")
    run = Run.existing(tmp_path / "run")
    run.manifest["command"]["folder"] = "/data/me"
    assert public_text("--judge 'openai/a b@http://[::1]:8000/v1'\njudge: openai/m@http://10.0.0.7/v1\n", run) == (
        "--judge 'openai/a b'\njudge: openai/m\n"
    )
    assert public_text("see https://me:secret@host/x?key=1", run) == "see https://host/x"
    text = f"openai/m@https://me:secret@host/v1?api_key=secret hf//data/me/model {Path.home()}/other fake?reject=0.2"
    assert public_text(text, run) == "openai/m hf/model ~/other fake?reject=0.2"


def test_the_commands_have_all_that_was_given_and_no_folder_of_this_machine(tmp_path: Path, monkeypatch) -> None:
    prompts = write_prompts(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ["--model", "fake", "--prompts", str(prompts), "--set", "train=[]", "--set", "sample.policy=base"]
    words += ["--until", "preferences", "--out", "made/run", "--accept-audit", "--quiet"]
    assert CliRunner().invoke(main, ["run", *words], catch_exceptions=False).exit_code == 0
    for out in (tmp_path / "data" / "mine", tmp_path.parent / f"{tmp_path.name}-elsewhere"):
        asked = ["export", "made/run", "--format", "prompts", "--out", str(out)]
        assert CliRunner().invoke(main, asked, catch_exceptions=False).exit_code == 0
        card = (out / "README.md").read_text(encoding="utf-8")
        shown = "data/mine" if out.is_relative_to(tmp_path) else out.name
        assert "--out made/run" in card and "--accept-audit" in card
        assert f"cai export made/run --format prompts --out {shown}\n" in card
        assert str(tmp_path.parent) not in card


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--prompts '/data/my dir/a.jsonl?kind=helpful' --prompts /srv/b.jsonl",
         "--prompts 'a.jsonl?kind=helpful' --prompts b.jsonl"),
        ("--model hf//data/m/x --set 'sft.init=/data/m/x'", "--model hf/x --set 'sft.init=x'"),
        ("prompts: [/data/x/a.jsonl, b/c.jsonl]\n- /srv/q.jsonl", "prompts: [a.jsonl, b/c.jsonl]\n- q.jsonl"),
        *[(one, one) for one in ("hf/org/model ./x/y ../x/y", "https://host/x/y and/or 3/4/5")],
    ],
)  # fmt: skip
def test_absolute_paths_are_told_by_their_last_names(text: str, shown: str, tmp_path: Path) -> None:
    assert public_text(text, Run(tmp_path / "run")) == shown


CHECKOUT = Path(__file__).resolve().parents[2]
HOST = "judge.example"


@pytest.mark.parametrize(
    ("judge", "shown"),
    [
        (f"hf/{CHECKOUT}/cai/embedded/weights", "Judge hf/weights."),
        (f"openai/gpt@https://me:secret@{HOST}/v1", "Judge openai/gpt."),
        ("embedded", "Judge embedded."),
    ],
)
def test_neither_card_nor_export_tells_where_a_judge_was_reached(judge: str, shown: str, tmp_path: Path) -> None:
    folder, truth = tmp_path / "run", tmp_path / "of people.jsonl"
    pairs = [{"prompt": f"What is {n}?", "chosen": "a number", "rejected": f"no {n}"} for n in range(4)]
    truth.write_text("".join(json.dumps(one) + "\n" for one in pairs), encoding="utf-8")
    fake_run(folder, write_prompts(tmp_path, 8, 4), audit__items=4, audit__truth=[str(truth)])
    run = Run.existing(folder)
    reason = f"the server refused this request: no {CHECKOUT}/weights at http://{HOST}/v1/models"
    run.steps["respond"]["reasons"] = {reason: 3}
    audit = run.path("metrics/audit.json")
    figures = json.loads(audit.read_text(encoding="utf-8"))
    audit.write_text(json.dumps(figures | {"judge": model_spec(judge)}), encoding="utf-8")
    signed = signature(audit)
    run.steps["audit"] |= {"sha256": signed["sha256"], "files": {"metrics/audit.json": signed}}
    run.save()
    recipe = run.path("recipe.yaml").read_text(encoding="utf-8")
    assert "\njudge: null\n" in recipe
    run.path("recipe.yaml").write_text(recipe.replace("\njudge: null\n", f"\njudge: {judge}\n"), encoding="utf-8")
    words = ["export", str(folder), "--format", "preference", "--format", "native", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert shown in card and "agreement with the truth (of people.jsonl)" in card and "no weights at" in card
    written = [path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("export.json")]
    for text in [card, *written]:
        assert not any(secret in text for secret in (str(CHECKOUT), str(tmp_path), HOST, "secret"))


def test_the_commands_of_the_card_name_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_run(tmp_path / "outputs" / "rl-cai", write_prompts(tmp_path, 4, 2), until="prompts")
    (tmp_path / "outputs" / "rl-cai").rename(tmp_path / "moved")
    for cwd, asked, out in ((tmp_path, "moved", "moved"), (tmp_path / "moved", ".", "moved")):
        monkeypatch.chdir(cwd)
        done = CliRunner().invoke(main, ["export", asked, "--format", "prompts"], catch_exceptions=False)
        assert done.exit_code == 0
        command = (tmp_path / "moved" / "exports" / "README.md").read_text(encoding="utf-8").partition("cai run")[2]
        assert f"--out {out}\n" in command and f"cai export {out} --format prompts\n" in command
    (tmp_path / "moved").rename(tmp_path / "outputs" / "rl-cai")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["export", "outputs/rl-cai", "--format", "prompts"], catch_exceptions=False)
    command = (tmp_path / "outputs/rl-cai/exports/README.md").read_text(encoding="utf-8").partition("cai run")[2]
    assert done.exit_code == 0 and "cai export outputs/rl-cai --format prompts\n" in command
    assert "--out" not in command.partition("cai export")[0]
