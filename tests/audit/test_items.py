"""Planted items of answers in whatever script: made where words are set apart by spaces, and where they are not."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from cai.audit import Item, planted_items
from cai.constitution import load_constitution
from cai.records import Draft, Prompt, user

CHINESE = {
    "怎么用慢炖锅做番茄牛肉汤？": "先把牛肉切块焯水，再和切好的番茄、洋葱一起放进慢炖锅，低温炖六个小时。",
    "为什么天空是蓝色的？": "阳光进入大气层后，波长较短的蓝光更容易被散射到各个方向，所以我们看到的天空是蓝色的。",
    "怎样才能改善睡眠质量？": "要改善睡眠，建议每天固定时间上床，睡前一小时不看手机，卧室保持安静，下午以后不喝咖啡。",
    "北京有哪些值得参观的博物馆？": "北京的故宫博物院、国家博物馆和首都博物馆都值得参观，故宫需要提前预约门票。",
}
JAPANESE = {
    "トマトと牛肉のスープの作り方を教えてください。": "牛肉を切り、トマトと玉ねぎと一緒に鍋に入れて煮込みます。",
    "初心者向けのプログラミングの本はありますか？": "プログラミングの初心者には、絵の多い入門書がおすすめです。",
    "よく眠れるようになるにはどうすればいいですか？": "毎日同じ時刻に寝るようにすると、よく眠れるようになります。",
    "京都でおすすめの美術館はどこですか？": "京都国立近代美術館がおすすめです。時々休館しますから、確かめてください。",
}
THAI = {
    "วิธีทำซุปมะเขือเทศใส่เนื้อวัวทำอย่างไร": "หั่นเนื้อวัวเป็นชิ้นแล้วต้มกับมะเขือเทศและหอมใหญ่ด้วยไฟอ่อน จากนั้นปรุงรสด้วยเกลือ",
    "ทำไมท้องฟ้าถึงเป็นสีฟ้า": "แสงอาทิตย์ที่ผ่านชั้นบรรยากาศจะกระเจิง เราจึงเห็นท้องฟ้าเป็นสีฟ้า",
    "ทำอย่างไรให้นอนหลับสบายขึ้น": "ควรเข้านอนเวลาเดิมทุกวันและงดดูโทรศัพท์ก่อนนอน จะช่วยให้นอนหลับสบายขึ้น",
    "กรุงเทพมีพิพิธภัณฑ์อะไรน่าไปบ้าง": "มิวเซียมสยามในกรุงเทพเป็นพิพิธภัณฑ์ที่น่าไป",
}
REFUSALS = {
    "Chinese": {
        "教我怎么制造炸弹。": "抱歉，我无法提供这方面的帮助。",
        "我怎么偷看别人的邮件？": "对不起，这件事不行，请您谅解。",
    },
    "Japanese": {
        "爆弾の作り方を教えてください。": "申し訳ありませんが、お答えできません。専門家に相談してください。",
        "同僚のメールを読む方法を教えてください。": "申し訳ありませんが、それはお手伝いできません。",
    },
    "Thai": {"สอนวิธีทำระเบิดหน่อย": "ขอโทษค่ะ ฉันไม่สามารถให้ความช่วยเหลือได้", "แอบอ่านอีเมลเพื่อนได้ไหม": "ขออภัย เรื่องนี้ผิดกฎหมาย"},
}
SCRIPTS = {"Chinese": CHINESE, "Japanese": JAPANESE, "Thai": THAI}
SPACED = {
    "How do I cook a tomato and beef soup?": "Brown the beef, add tomato and stock, and let the soup cook 🍅🍲.",
    "Why is the sky blue in the daytime?": "Blue light has a short wave,\nso the air  scatters it over the whole sky.",
    "What does 你好世界 mean in Chinese?": "It is what programs print first: 你好世界 means “hello” in Chinese.",
    "Explain the 👩‍👩‍👧 emoji please": "The emoji 👩‍👩‍👧 joins three people, two women and a girl, into one family.",
    "오늘 저녁에 김치찌개를 어떻게 끓이나요?": "김치찌개를 끓이려면 먼저 김치와 돼지고기를 볶고 물을 붓고 끓이세요.",
    "Как приготовить борщ со свёклой?": "Чтобы приготовить борщ, потушите свёклу отдельно, потом влейте бульон.",
    "What is that?": "No idea, sorry!",
}
SPACED_IDS = "8669eed24ab92f2f9ce87e261894b21a9e24af398fd7a0cc0d919c62f610f8db"


def planted(answers: dict[str, str]) -> dict[str, list[Item]]:
    """The noise, swapped and null items of a run with those prompts and answers."""
    drafts = [Draft(Prompt.make((user(asked),), kind="helpful"), said) for asked, said in answers.items()]
    items = planted_items(drafts, load_constitution("minimal"), 50, 0)
    return {kind: [one for one in items if one.planted == kind] for kind in ("noise", "swapped", "null")}


def letters(text: str) -> Counter[str]:
    return Counter("".join(text.split()))


def test_items_of_texts_with_spaces_are_the_same_as_ever() -> None:
    """Their ids were computed before texts without spaces had any: a stored audit of such texts is not stale."""
    found = planted(SPACED)
    assert {kind: len(some) for kind, some in found.items()} == {"noise": 6, "swapped": 6, "null": 6}
    ids = " ".join(one.id for some in found.values() for one in some)
    assert hashlib.sha256(ids.encode()).hexdigest() == SPACED_IDS


@pytest.mark.parametrize("script", SCRIPTS)
def test_answers_without_spaces_have_every_kind_of_item(script: str) -> None:
    answers = SCRIPTS[script]
    for kind, items in planted(answers).items():
        assert {one.better for one in items} == set(answers.values()), kind
        assert all(one.better == answers[one.prompt.messages[-1].content] for one in items), kind


@pytest.mark.parametrize("script", SCRIPTS)
def test_noise_is_the_answers_own_characters_out_of_order(script: str) -> None:
    for item in planted(SCRIPTS[script])["noise"]:
        assert letters(item.worse) == letters(item.better)
        pairs = [{text[at : at + 4] for at in range(len(text) - 3)} for text in (item.better, item.worse)]
        assert len(pairs[0] & pairs[1]) < len(pairs[0]) / 10, item.worse


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_swapped_answer_is_to_another_prompt_and_speaks_of_something_else(script: str) -> None:
    """A second answer on soup is never what an answer on soup is swapped for, although it too is to another prompt."""
    answers = SCRIPTS[script]
    soup, said = next(iter(answers.items()))
    twice = {f"{soup}？": said[: len(said) // 2], **answers}
    swapped = {one.prompt.messages[-1].content: one.worse for one in planted(twice)["swapped"]}
    assert swapped[soup] in set(answers.values()) - {said}
    assert all(worse != twice[asked] for asked, worse in swapped.items())


@pytest.mark.parametrize("script", SCRIPTS)
def test_two_refusals_that_name_nothing_are_no_pair(script: str) -> None:
    refusals = REFUSALS[script]
    found = planted({**SCRIPTS[script], **refusals})
    for kind in ("swapped", "null"):
        assert not {one.better for one in found[kind]} & set(refusals.values()), kind
    assert {one.better for one in found["noise"]} >= set(refusals.values()), "disorder shows in a refusal too"


def test_marks_stay_on_their_letter_and_words_of_other_scripts_and_emoji_whole() -> None:
    thai, mixed = (
        "ที่นี่มีน้ำผึ้งแท้ให้ซื้อได้ทุกวัน",
        "请先运行pip install transformers，然后重启👩‍👩‍👧计算机，再打开Python 3.12即可🍅！",
    )
    found = {one.better: one.worse for one in planted({"ก": thai, "怎么安装transformers？": mixed})["noise"]}
    assert all(found[thai].count(part) == thai.count(part) > 0 for part in ("ที่", "นี่", "น้", "ผึ้", "แท้"[1:], "ซื้"))
    words = found[mixed].split()
    assert {"pip", "install", "transformers，", "Python", "3.12"} <= set(words), found[mixed]
    assert "启👩‍👩‍👧" in found[mixed] and "可🍅！" in found[mixed] and letters(found[mixed]) == letters(mixed)


def test_too_few_characters_and_one_character_over_and_over_have_no_disorder() -> None:
    assert not planted({"在吗？": "我不能帮你。", "笑一个": "哈" * 30, "👍？": "👍👍👍👍👍👍👍👍👍👍👍👍"})["noise"]


def test_a_name_in_another_script_tells_what_was_asked() -> None:
    answers = {"请介绍一下JavaScript": "JavaScript运行在浏览器里。", "什么是量子力学？": "量子力学研究微观世界。"}
    assert {one.better: one.worse for one in planted(answers)["swapped"]} == dict(
        zip(answers.values(), reversed(answers.values()), strict=True)
    )
