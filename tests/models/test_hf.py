"""Generating with a real local model, and what loading one refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from cai.errors import ConfigError, EngineError
from cai.models import load_model
from cai.recipe import EngineSettings
from cai.records import Completion, Failure, GenerateRequest, Message, Sampling, assistant, user

PLAIN = EngineSettings(device="cpu")


@pytest.fixture(scope="module")
def engine(tiny_folder):
    return load_model(f"hf/{tiny_folder}", PLAIN)


def asks(count=40):
    return [
        GenerateRequest(
            (user("How do I bake bread? " * (1 + at % 5)),),
            Sampling(4 + at % 13, (1.0, 0.0, 0.7)[at % 3], (1.0, 0.9)[at % 2]),
            at,
            ("", "Answer: (")[at % 4 == 3],
        )
        for at in range(count)
    ]


def test_a_text_does_not_depend_on_its_neighbours(engine, tiny_folder):
    together = dict(engine.generate(iter(asks())))
    sixteen = dict(load_model(f"hf/{tiny_folder}", replace(PLAIN, batch_tokens=16 * 60)).generate(iter(asks())))
    alone = {at: dict(engine.generate(iter([one])))[0] for at, one in enumerate(asks())}
    assert together == alone == sixteen
    assert len({answer.text for answer in alone.values()}) > 20


def test_seeds_and_temperature(engine):
    def texts(temperature, seeds):
        request = GenerateRequest((user("Hello"),), Sampling(12, temperature))
        return [answer.text for _, answer in sorted(engine.generate(replace(request, seed=one) for one in seeds))]

    assert len(set(texts(1.0, range(8)))) == 8
    assert len(set(texts(1.0, [5] * 4))) == 1
    assert len(set(texts(0.0, range(4)))) == 1


def test_greedy_is_the_models_own_generate(engine):
    import torch

    request = GenerateRequest((user("What is the capital of France?"),), Sampling(16, 0.0))
    ids = engine.chat.encode(request.messages)
    own = engine._loaded.model.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False)[0, len(ids) :]
    [(_, answer)] = engine.generate(iter([request]))
    assert answer.text == engine.chat.tokenizer.decode(own, skip_special_tokens=True)
    assert (answer.prompt_tokens, answer.completion_tokens) == (len(ids), len(own))


def test_draws_follow_the_probabilities():
    import torch

    from cai.models.hf_generate import _Row, draw

    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, -9.0]])
    rows = [_Row(at, GenerateRequest((), Sampling(1, 2.0, 1.0), at), []) for at in range(4000)]
    drawn = draw(logits.expand(4000, -1), rows)
    wanted = (logits[0] / 2).softmax(-1)
    assert torch.allclose(torch.bincount(drawn, minlength=5) / 4000, wanted.float(), atol=0.03)

    nucleus = [_Row(at, GenerateRequest((), Sampling(1, 1.0, 0.7), at), []) for at in range(500)]
    kept = torch.bincount(draw(logits.expand(500, -1), nucleus), minlength=5)
    assert kept[0] > kept[1] > 0 and kept[2:].sum() == 0  # 0.64 + 0.24 ≥ 0.7 > 0.64


def test_requests_are_pulled_by_the_window_and_answers_come_early(engine, monkeypatch):
    from cai.models import hf_generate

    monkeypatch.setattr(hf_generate, "WINDOW", 4)
    pulled = []

    def requests():
        for at in range(12):
            pulled.append(at)
            yield GenerateRequest((user("hi"),), Sampling(1 + at, 0.0))

    answers = engine.generate(requests())
    index, _ = next(answers)
    assert index == 0 and len(pulled) == 4
    assert [index for index, _ in answers] == list(range(1, 12))


def test_stops_at_the_end_of_the_turn_and_at_the_next_human(tiny_folder, monkeypatch):
    import torch

    from cai.models import hf_generate

    engine = load_model(f"hf/{tiny_folder}", replace(PLAIN, template="transcript"))
    tokenizer = engine.chat.tokenizer

    def scripted(text):
        script = tokenizer(text, add_special_tokens=False)["input_ids"]
        monkeypatch.setattr(
            hf_generate, "draw", lambda logits, rows: torch.tensor([script[len(row.new)] for row in rows])
        )
        [(_, answer)] = engine.generate(iter([GenerateRequest((user("a"),), Sampling(40))]))
        return answer.text, answer.finish_reason

    assert scripted(" Yes, and no.\n\nHuman: more and more") == ("Yes, and no.", "stop")
    assert scripted(" Yes 🙂.<|eos|>and more") == ("Yes 🙂.", "stop")
    assert scripted(" Yes" * 60)[1] == "length"


def test_too_long_a_prompt_fails_alone(engine):
    long = GenerateRequest((user("word " * 600),), Sampling(8))
    edge = GenerateRequest((user("hi"),), Sampling(512))
    tokens = len(engine.chat.encode(edge.messages))
    answers = dict(engine.generate(iter([long, edge, GenerateRequest((user("hi"),), Sampling(2))])))
    assert isinstance(answers[0], Failure) and isinstance(answers[2], Completion)
    assert answers[1] == Failure(f"prompt of {tokens} tokens + max_tokens 512 exceeds the model's context of 512")


def test_a_role_that_cannot_be_rendered(engine):
    with pytest.raises(ConfigError, match="cannot render the role 'tool'"):
        engine.check_roles(["tool"])
    odd = GenerateRequest((Message("tool", "x"), user("y")), Sampling(2))
    [(_, answer)] = engine.generate(iter([odd]))
    assert isinstance(answer, Failure) and "cannot render this dialogue: unknown role tool" in answer.reason


def test_constructing_is_light(tiny_folder):
    code = (
        "import sys; from cai.models import load_model; "
        f"engine = load_model('hf/{tiny_folder}'); print(engine.fingerprint, engine.scores_choices); "
        "print([name for name in ('torch', 'transformers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    first, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    assert first == f"{load_model(f'hf/{tiny_folder}').fingerprint} True"


@pytest.fixture
def copy(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "copy")


def test_fingerprint_is_of_the_contents(tiny_folder, copy):
    def of(folder, **settings):
        return load_model(f"hf/{folder}", EngineSettings(**settings)).fingerprint

    first = of(tiny_folder)
    assert of(copy) == first
    assert of(copy, batch_tokens=8, device="cpu", concurrency=2) == first
    assert len({first, of(copy, dtype="bfloat16"), of(copy, template="transcript"), of(copy, adapter=str(copy))}) == 4
    assert of(copy, dtype="float32") == first
    (copy / "README.md").write_text("hello")
    assert of(copy) == first
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert of(copy) != first
    shutil.copy(tiny_folder / "model.safetensors", weights)
    assert of(copy) == first
    config = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps(config | {"x": 1}))
    assert of(copy) != first


def test_one_way_to_write_a_dialogue_has_one_fingerprint(copy):
    def of(template):
        return load_model(f"hf/{copy}", EngineSettings(template=template))

    jinja, config = copy / "chat_template.jinja", copy / "tokenizer_config.json"
    text = jinja.read_text()
    assert of("auto").fingerprint == of("chat").fingerprint != of("transcript").fingerprint
    assert of("auto").chat.mode == "chat"
    jinja.unlink()
    bare = config.read_text()
    assert len({of(template).fingerprint for template in ("auto", "chat", "transcript")}) == 3
    assert of("auto").chat.mode == "transcript"
    config.write_text(json.dumps(json.loads(bare) | {"chat_template": text}))
    assert of("auto").fingerprint == of("chat").fingerprint and of("auto").chat.mode == "chat"
    config.write_text(json.dumps(json.loads(bare) | {"chat_template": None}))
    assert of("auto").fingerprint != of("chat").fingerprint and of("auto").chat.mode == "transcript"


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft, not ours
def test_adapter(tiny_folder, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    tuned = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_folder),
        LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    tuned.save_pretrained(tmp_path / "lora")
    request = GenerateRequest((user("What is the capital of France?"),), Sampling(12, 0.0))
    engine = load_model(f"hf/{tiny_folder}", replace(PLAIN, adapter=str(tmp_path / "lora")))
    ids = engine.chat.encode(request.messages)
    own = tuned.generate(input_ids=torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0, len(ids) :]
    [(_, answer)] = engine.generate(iter([request]))
    assert answer.text == engine.chat.tokenizer.decode(own, skip_special_tokens=True)
    [(_, plain)] = load_model(f"hf/{tiny_folder}", PLAIN).generate(iter([request]))
    assert plain.text != answer.text
    with pytest.raises(EngineError, match=r"it is an adapter: name its base model, and it as engine\.adapter"):
        load_model(f"hf/{tmp_path / 'lora'}")


def test_what_is_refused(tmp_path, copy, monkeypatch):
    def refused(kind, says, spec, **settings):
        with pytest.raises(kind, match=says) as caught:
            load_model(spec, EngineSettings(**settings))
        assert "\n" not in str(caught.value)

    refused(EngineError, r"^no model folder at \./nowhere/it$", "hf/./nowhere/it")
    refused(EngineError, "no model folder at the empty path", "hf/")
    refused(EngineError, "no adapter folder at gone", f"hf/{copy}", adapter="gone")
    refused(ConfigError, r"needs engine\.revision", f"hf/{copy}", trust_remote_code=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(EngineError, "no model folder at no-such-model-here, and the hub gives", "hf/no-such-model-here")
    (tmp_path / "empty").mkdir()
    refused(EngineError, "is not a model folder: it has no config.json", f"hf/{tmp_path / 'empty'}")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    refused(EngineError, r"holds no safetensors weights \(found pytorch_model.bin; convert it\)", f"hf/{copy}")
    (copy / "config.json").write_text("{")
    refused(EngineError, "config.json: Expecting", f"hf/{copy}")


def test_a_model_that_cannot_be_loaded_is_one_line(copy):
    (copy / "model.safetensors").write_bytes(b"nonsense")
    engine = load_model(f"hf/{copy}", PLAIN)
    with pytest.raises(EngineError, match="cannot load the model: "):
        list(engine.generate(iter(asks(1))))


def test_a_checkpoint_without_a_language_model_is_refused(copy, tiny_folder):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(copy)
    config = {"num_labels": 1, "tie_word_embeddings": False}
    AutoModelForSequenceClassification.from_pretrained(tiny_folder, **config).save_pretrained(copy)
    with pytest.raises(EngineError, match=r"is a reward model or classifier \(\w+ForSequenceClassification\), not a l"):
        load_model(f"hf/{copy}", PLAIN)
    told = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**told, "architectures": None}))
    with pytest.raises(EngineError, match=r"the files lack 1 weights of a language model, such as lm_head\.weight"):
        list(load_model(f"hf/{copy}", PLAIN).generate(iter(asks(1))))


def test_bfloat16(tiny_folder):
    engine = load_model(f"hf/{tiny_folder}", replace(PLAIN, dtype="bfloat16"))
    [(_, answer)] = engine.generate(iter([GenerateRequest((user("hi"), assistant("a"), user("b")), Sampling(4))]))
    assert str(engine._loaded.model.dtype) == "torch.bfloat16" and answer.completion_tokens <= 4
