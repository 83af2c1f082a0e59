"""Questions of fact in more ways than the world's own: what is asked, behind many ways of beginning to ask it."""

from __future__ import annotations

import functools
from random import Random

from cai.embedded.world import FACT_WAYS, Scene, fact_ways
from cai.records import Messages, user

BEGINNINGS = (
    "Can you tell me {}?", "I want to know {}.", "Please tell me {}.", "Does anybody know {}?", "I was wondering {}.",
    "I would like to know {}.", "My friend asks {}.", "Do you know {}?", "Could you tell me {}?", "May I ask {}?",
    "Somebody asked me {}.", "I have to find out {}.", "Do you happen to know {}?", "I forgot {}.",
)  # fmt: skip
ASKED: dict[str, tuple[str, ...]] = {
    "opens": (
        "when the {} opens", "what time the {} opens", "at what hour the {} opens", "when I can go to the {}",
        "at what time the {} opens its doors", "what hour the {} opens at", "how early the {} opens",
    ),
    "street": (
        "where the {} is", "in which street the {} is", "where I can find the {}", "what street the {} is in",
        "where to find the {}", "which street the {} is in",
    ),
    "door": (
        "what colour the door of the {} is", "what colour the door of the {} has", "the colour of the door of the {}",
        "which colour the door of the {} has", "how the door of the {} is painted",
    ),
}  # fmt: skip


@functools.cache
def reworded_ways(name: str) -> tuple[str, ...]:
    """All pairings of a beginning and what is asked, but for those in which a held-out way of the world stands."""
    held_out = [way.rstrip(".?").lower() for way in FACT_WAYS[name] if way not in fact_ways(name, "train")]
    made = [one.format(asked) for one in BEGINNINGS for asked in ASKED[name]]
    return tuple(way for way in made if not any(one in way.lower() for one in held_out))


def ask_reworded(scene: Scene, draw: Random) -> Messages:
    """A scene of fact asked for in one of `reworded_ways`."""
    return (user(draw.choice(reworded_ways(scene.name)).format(scene.person)),)
