"""A recipe: every setting of a run, one frozen dataclass a stage; defaults are the paper's where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cai.dialogues import TemplateName
from cai.records import Kind, Sampling


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How a model is loaded and asked; of these only `dtype`, `adapter`, `revision` and `template` change answers."""

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch_tokens: int = 16384
    adapter: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    template: Literal["auto", "chat", "transcript"] = "auto"
    concurrency: int = 16
    timeout: float = 120.0
    retries: int = 6


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """Settings of a stage that asks for text; the paper samples at T = 1 throughout (§3.2)."""

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.max_tokens, self.temperature, self.top_p)


@dataclass(frozen=True, slots=True)
class CritiqueSettings(GenerateSettings):
    """One principle is drawn, with replacement, for each round (paper §3.1); the paper uses four rounds (§3.2)."""

    rounds: int = 4
    kinds: tuple[Kind, ...] = ("red_team",)
    examples: bool = True


@dataclass(frozen=True, slots=True)
class SampleSettings(GenerateSettings):
    """K answers to a prompt, all from one policy at one temperature; the paper labels red-team prompts (§4.2)."""

    num_samples: int = 2
    kinds: tuple[Kind, ...] = ("red_team",)
    policy: Literal["sft", "base"] = "sft"


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Which votes are asked for. What is made of them is `PreferenceSettings`.

    `pairs` are compared of the K answers to a prompt: each answer about equally often, and all connected from K − 1
    pairs on. `reasoning_samples` > 0 has the judge reason that often in each order before a verdict (paper §4.1), in
    at most `reasoning_tokens` new tokens.
    """

    principles_per_pair: int | Literal["all"] = 1
    pairs: int | Literal["all"] = 1
    template: TemplateName = "principle_last"
    examples: bool = True
    fallback_samples: int = 8
    reasoning_samples: int = 0
    reasoning_tokens: int = 256
    reasoning_temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class RubricSettings:
    """P(yes) to the yes/no questions of that many principles about every sampled answer; 0 leaves the stage out."""

    principles_per_answer: int | Literal["all"] = 0
    fallback_samples: int = 8


@dataclass(frozen=True, slots=True)
class PreferenceSettings:
    """Arithmetic on stored votes; changing any of it asks the model nothing.

    `clamp` is (low, high) on p_a, None, or "auto": (0.4, 0.6) for labels that were reasoned first and none for others
    (paper §4.3). `tie_band` is the half-width around 0.5 inside which a pair is a tie; `mass_floor` is the least
    p(A) + p(B) of a vote that counts. `weight` "certainty" gives labels from sampled verdicts less weight the fewer
    they rest on. `weights` says by a principle's id what its votes and grades count in a label, in place of its
    `weight` in the constitution, which says how often it is drawn, too. `human` names files of pairs that people
    ranked ("embedded": those of the embedded world, by its rules); `human_share` is their share of all labels, each
    side of the split by itself, or None for all.
    """

    clamp: tuple[float, float] | Literal["auto"] | None = "auto"
    temperature: float = 1.0
    tie_band: float = 0.0
    mass_floor: float = 0.5
    weight: Literal["even", "certainty"] = "even"
    weights: Mapping[str, float] = field(default_factory=dict)
    human: tuple[str, ...] = ()
    human_share: float | None = None


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The judge's audit before any training: `items` planted pairs of each kind, 0 to leave it out, and its gates.

    A gate is a bound on a figure, null to leave it open; what a run has nothing to measure on holds nothing up, but an
    audit passes only if it has 10 pairs or more, and a bound, of one of `tests`, `noise` and `swapped`, of `place`, and
    of one of `attacks` and `null_answer`. The defaults are conventions, with these reasons. At most:

    - `abstained`, the share of pairs or verdicts that count for nothing, in the kind that has most: with more than 3 in
      10 gone, those that are left are a selection of the judge's;
    - `clear_flip_rate`, of clear verdicts, those that turn with the order: beyond one half, the place decides more
      often than the answer;
    - `place`, the lead of the first place over one half: at 0.3 it wins four to one, and of a lead so large too
      little of the answers shows in either order for their mean to mend it;
    - `ece`, where truth is known: labels that are off by more than 0.2 are off by as much as a label of 0.7 says.

    At least, as shares:

    - `tests` of the constitution: its author's own plain cases, of which a coin passes seven in ten one time in six;
    - `identical` answers judged even: the mean of both orders is even by arithmetic, so less is a fault in the asking;
    - answers that beat their own words in disorder (`noise`), another prompt's (`swapped`) or an empty phrase
      (`null_answer`): easy for who reads, and 0.8 of 24 comes to a coin less than one time in a thousand;
    - right verdicts that stand when the worse answer is the longer (`length`) and under the worst of the other attacks
      (`attacks`): what turns more than one in five is what a policy trained on the labels will find;
    - `accuracy`, where truth is known: below 0.6 a label says little more than a coin; people agree among themselves on
      about two pairs in three or more.

    `truth` names files of pairs that people ranked; `pairs` of them are put to the judge. `against` is another run's
    folder: as many prompts of both are drawn, and it is asked whether it takes its own model's answers for better.
    """

    items: int = 24
    truth: tuple[str, ...] = ()
    pairs: int = 200
    against: str | None = None
    abstained: float | None = 0.3
    clear_flip_rate: float | None = 0.5
    place: float | None = 0.3
    tests: float | None = 0.7
    identical: float | None = 1.0
    noise: float | None = 0.8
    swapped: float | None = 0.8
    null_answer: float | None = 0.8
    length: float | None = 0.8
    attacks: float | None = 0.8
    accuracy: float | None = 0.6
    ece: float | None = 0.2


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """A low-rank adapter in place of full fine-tuning; merged into the weights when the model is saved."""

    r: int = 16
    alpha: int = 32
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class SFTSettings:
    """Supervised fine-tuning on revisions (paper §3.2: one epoch, constant learning rate).

    `init` is "model" (the run's own, if its weights are here) or another ``hf/PATH``. `max_rejected` is the share of
    rows that may be too long or refused by the chat template before training fails, `max_truncated` that of the others
    that may lose the left of their prompt. A row that would lose all of its last user turn is too long. `rounds` says
    which answers are learned; with "first" the unrevised ones to the same prompts are, so that a policy that no
    principle had a part in can stand beside the others as their control.
    """

    init: str = "model"
    rounds: Literal["all", "last", "first"] = "all"
    helpful: bool = True
    lr: float = 1e-5
    epochs: float = 1.0
    batch_size: int = 32
    max_length: int = 1024
    too_long: Literal["truncate_left", "reject"] = "truncate_left"
    max_rejected: float = 0.5
    max_truncated: float = 0.5
    batch_tokens: int = 32768
    scheduler: Literal["constant", "cosine", "linear"] = "constant"
    warmup_ratio: float = 0.0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    checkpoint_every: int = 200
    lora: LoraSettings | None = None


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """Reward model on soft labels: loss −p·logσ(d) − (1−p)·logσ(−d), d = r_a − r_b, plus `centering`·(r_a + r_b)².

    `batch_size` counts pairs; `batch_tokens`, the most that one forward pass takes, changes memory and the last bits of
    a sum: a training that was cut off under another value starts afresh. This and the shares are as for `sft`.

    `max_grad_norm` 0 clips no gradient.

    A pair counts by its `weight` over the mean weight of the whole training set, in whatever step it is.

    `loss` "listwise" fits the rankings that a prompt's soft labels stand for, each as likely as they make it
    (Plackett–Luce), where they connect three to ten answers; more are refused. Two are a pair as ever. `mega_batch`
    steps at a time are drawn together and dealt out by length, which saves pads where rows have any. `dtype` is what is
    computed in; "auto" is bfloat16 on CUDA and on a CPU that has instructions for it, else float32. Weights stay
    float32. `freeze_backbone` trains the head alone, `lora` adapters and the head; both also train what the folder has
    no weights of, as for an encoder's pooler.
    """

    init: Literal["sft", "base"] | str = "sft"
    lr: float = 1e-5
    epochs: float = 1.0
    batch_size: int = 32
    mega_batch: int = 1
    max_length: int = 1024
    too_long: Literal["truncate_left", "reject"] = "truncate_left"
    max_rejected: float = 0.5
    max_truncated: float = 0.5
    batch_tokens: int = 32768
    scheduler: Literal["constant", "cosine", "linear"] = "cosine"
    warmup_ratio: float = 0.05
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    loss: Literal["pairs", "listwise"] = "pairs"
    centering: float = 0.0
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    freeze_backbone: bool = False
    checkpoint_every: int = 200
    lora: LoraSettings | None = None


@dataclass(frozen=True, slots=True)
class EvaluateSettings(GenerateSettings):
    """The policies measured in the embedded world, where truth is known: `prompts` of each kind; 0 leaves it out.

    Another `draw` is of other held-out prompts, and of other pairs for the reward model.
    """

    prompts: int = 0
    draw: int = 0


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """Which datasets are written under `datasets/`, and in which file types.

    `single_turn_only` leaves out and counts the dialogues that a format cannot carry; without it the run refuses them.
    """

    formats: tuple[str, ...] = ("sft", "preference", "preference_implicit", "prompts")
    files: tuple[Literal["jsonl", "parquet"], ...] = ("jsonl", "parquet")
    single_turn_only: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that `cai run` needs; each block is the settings of the stage or trainer of that name."""

    name: str = "run"
    constitution: str = "harmlessness"
    prompts: tuple[str, ...] = ()
    model: str = "embedded"
    critic: str | None = None
    judge: str | None = None
    seed: int = 0
    limit: int | None = None
    until: str | None = None
    test_share: float = 0.2
    max_rejected: float = 0.5
    train: tuple[Literal["sft", "reward"], ...] = ("sft", "reward")
    engine: EngineSettings = field(default_factory=EngineSettings)
    respond: GenerateSettings = field(default_factory=GenerateSettings)
    critique: CritiqueSettings = field(default_factory=CritiqueSettings)
    revise: GenerateSettings = field(default_factory=GenerateSettings)
    sample: SampleSettings = field(default_factory=SampleSettings)
    rubric: RubricSettings = field(default_factory=RubricSettings)
    label: LabelSettings = field(default_factory=LabelSettings)
    preferences: PreferenceSettings = field(default_factory=PreferenceSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    sft: SFTSettings = field(default_factory=SFTSettings)
    reward: RewardSettings = field(default_factory=RewardSettings)
    export: ExportSettings = field(default_factory=ExportSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)


Values = dict[str, Any]
