"""A job: one recipe with all that it names found, read and checked before any model runs."""

from __future__ import annotations

import os
from collections.abc import Collection, Container, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from cai.constitution import Constitution, Form, load_constitution
from cai.embedded import model_spec, people_file, prompt_file
from cai.errors import CAIError, ConfigError, did_you_mean, each
from cai.human_preferences import HumanPreferences, read_human_preferences
from cai.models import Engine, load_model
from cai.pipeline.spending import Meter, Spending
from cai.prompts import PromptSet, read_prompts
from cai.prompts.spec import parse_spec
from cai.recipe import EngineSettings, Recipe
from cai.records import Json
from cai.storage.run import Run, signature

FORMS_IN_USE: tuple[Form, ...] = ("critique", "revision", "comparison")
ROLES = ("model", "critic", "judge")
SFT_MODEL = "models/sft"
REWARD_MODEL = "models/reward"


class Reporter(Protocol):
    """Where progress goes; the command line draws it, everything else may ignore it."""

    def note(self, text: str) -> None: ...

    def start(self, step: str, why: str) -> None: ...

    def progress(self, done: int, total: int, note: str = "") -> None: ...

    def finish(self, step: str, entry: Json) -> None: ...


class Silent:
    """A reporter that says nothing."""

    def note(self, text: str) -> None: ...

    def start(self, step: str, why: str) -> None: ...

    def progress(self, done: int, total: int, note: str = "") -> None: ...

    def finish(self, step: str, entry: Json) -> None: ...


def store_path(run: Run) -> Path:
    """`CAI_STORE`, else the store that all runs of one outputs folder share."""
    folder = os.environ.get("CAI_STORE")
    return (Path(folder) if folder else run.folder.parent / ".store") / "calls.sqlite"


@dataclass(slots=True)
class Job:
    """What the steps work on. Engines are made once a model and load their weights at the first request.

    `accept_audit` has the labels of a judge trained on that failed its audit. `readings` says how the judge's verdicts
    are read (`verdicts`) and what its audit forges (`audit_pairs`); it goes into the manifest. `steps` are those that
    are reached, None for all; `notes` says what is wrong with later ones, and which settings change nothing.
    """

    recipe: Recipe
    run: Run
    constitution: Constitution
    prompts: PromptSet
    reporter: Reporter = field(default_factory=Silent)
    accept_audit: bool = False
    spending: Spending = field(default_factory=Spending)
    readings: dict[str, Json] = field(default_factory=dict)
    steps: Collection[str] | None = None
    notes: list[str] = field(default_factory=list)
    _engines: dict[str, Engine] = field(default_factory=dict)
    _read: dict[str, HumanPreferences] = field(default_factory=dict)

    @classmethod
    def checked(
        cls, recipe: Recipe, run: Run, forms: Iterable[Form] = FORMS_IN_USE, roles: Iterable[str] = ROLES,
        steps: Collection[str] | None = None,
    ) -> Job:  # fmt: skip
        """Read and check all that `steps` (None: all) need; what is wrong with later ones goes into the job's notes.

        Raises a `CAIError` and writes nothing when something is wrong.
        """
        from cai.exports import check_format

        for name in recipe.export.formats:
            check_format(name)
        notes = [*_idle(recipe), *_later(_contradictions(recipe), steps)]
        constitution = load_constitution(recipe.constitution)
        constitution.require_forms(forms)
        notes += _later(_strange_weights(recipe, constitution), steps)
        if not recipe.prompts:
            raise ConfigError("no prompts: give --prompts FILE, once for each file, or prompts in the recipe")
        files = [prompt_file(name) for name in recipe.prompts]
        prompts = read_prompts(files, limit=recipe.limit, test_share=recipe.test_share)
        notes += _more_than_there_are(recipe, constitution, prompts)
        job = cls(recipe, run, constitution, prompts, steps=steps)
        for role in roles:
            job.engine(role)
        notes += _later(_missing_weights(job), steps)
        notes += _later(_absent_files(job), steps)
        job.notes = list(dict.fromkeys(notes))
        return job

    def reaches(self, step: str) -> bool:
        """Whether `step` is among those that are to be up to date at the end."""
        return self.steps is None or step in self.steps

    def check_roles(self, roles: Iterable[str]) -> None:
        """Raise `ConfigError` for a turn that a model's chat template cannot render. Loads the tokenizers."""
        spoken = {message.role for prompt in self.prompts.prompts for message in prompt.messages} | {"assistant"}
        for role in roles:
            if check := getattr(self.engine(role), "check_roles", None):
                check(spoken)

    def engine(self, role: str) -> Engine:
        """The engine of "model", "critic", "judge", or "sft" (the policy that this run trained)."""
        if role == "sft":
            settings = replace(self.recipe.engine, adapter=None, revision=None)
            return self._loaded(f"hf/{self.run.path(SFT_MODEL)}", settings)
        spec = getattr(self.recipe, role) or self.recipe.model
        return self._loaded(model_spec(spec), self.recipe.engine)

    def _loaded(self, spec: str, settings: EngineSettings) -> Engine:
        if spec not in self._engines:
            self._engines[spec] = load_model(spec, settings)
        return self._engines[spec]

    def meter(self, role: str) -> Meter:
        """What counts, and bounds, the calls to the engine of `role`."""
        return self.spending.meter(self.payer(role), self.engine(role).spec)

    def payer(self, role: str) -> str:
        """The role whose price the calls of `role` have: one without a model of its own has the model's."""
        return role if role == "sft" or getattr(self.recipe, role) else "model"

    def payers(self, roles: Iterable[str]) -> dict[str, str]:
        """The model's name of each role that pays for `roles`."""
        return {self.payer(role): self.engine(role).spec for role in roles}

    def check_spending(self, roles: Iterable[str]) -> None:
        """Raise `ConfigError` for a price of nothing, or a budget of money while `roles` lack prices."""
        own = {role: getattr(self.recipe, role) for role in ROLES}
        self.spending.prices.check({role: model_spec(spec) for role, spec in own.items() if spec})
        self.spending.check(self.payers(roles))

    def only(self, role: str) -> Engine:
        """The engine of `role`, with the weights of every other let go."""
        engine = self.engine(role)
        self._engines = {spec: one for spec, one in self._engines.items() if one is engine}
        return engine

    def release(self) -> None:
        """Let go of the weights of every engine; one that is asked for again is loaded again."""
        self._engines.clear()

    def human(self) -> dict[str, HumanPreferences]:
        """The pairs of each file of `preferences.human`, read once.

        Raises `InputError` with the line of a bad row, `SeveralErrors` for several.
        """
        return self._people(self.recipe.preferences.human)

    def truth(self) -> dict[str, HumanPreferences]:
        """The pairs of each file of `audit.truth`; read and refused as those of `human`."""
        return self._people(self.recipe.audit.truth)

    def check_people(self, steps: Container[str]) -> None:
        """Read the files of people that `steps` take pairs from; raises as `human` does, for all of them at once."""
        human = self.recipe.preferences.human if "preferences" in steps else ()
        truth = self.recipe.audit.truth if "audit" in steps else ()
        self._people((*human, *truth))

    def _people(self, files: Iterable[str]) -> dict[str, HumanPreferences]:
        named = dict.fromkeys(files)
        new = [file for file in named if file not in self._read]
        share = self.recipe.test_share
        read = each(lambda file: read_human_preferences(people_file(file), test_share=share), new)
        self._read.update(zip(new, read, strict=True))
        return {file: self._read[file] for file in named}

    def weights(self, init: str) -> Path:
        """The folder that a trainer starts from; raises `ConfigError` when the weights are not on this machine."""
        own = init in ("model", "base")
        spec = model_spec(self.recipe.model if own else init)
        name, _, rest = spec.partition("/")
        folder = Path(rest).expanduser()
        if own and self.recipe.engine.adapter:
            raise ConfigError(
                "engine.adapter is set, and training would start from the model without it; merge the adapter into the "
                "model first, or set train=[] and sample.policy=base to make data only"
            )
        if name != "hf" or not folder.is_dir():
            raise ConfigError(
                f"{spec}: its weights are not here to be trained; set sft.init=hf/PATH and reward.init=hf/PATH, or "
                "train=[] with sample.policy=base to make data only"
            )
        return folder

    def sources(self) -> Json:
        """Signatures of every file and folder that the plan was made from; while they hold, the plan holds."""
        paths = [self.constitution.path, *(Path(report.path) for report in self.prompts.files)]
        people = self.recipe.preferences.human if self.reaches("preferences") else ()
        people += self.recipe.audit.truth if self.reaches("audit") else ()
        paths += [parse_spec(people_file(file)).path for file in people]
        specs = [getattr(self.recipe, role) or self.recipe.model for role in ROLES]
        specs += [init for _, init in _inits(self.recipe) if init not in ("model", "base")]
        for spec in specs:
            name, _, rest = model_spec(spec).partition("/")
            if name == "hf":
                paths.append(Path(rest).expanduser())
        if self.recipe.engine.adapter:
            paths.append(Path(self.recipe.engine.adapter).expanduser())
        return {str(path.resolve()): signature(path) for path in paths if path is not None and path.exists()}


Problem = tuple[str, str]
"""The step that cannot be made, and why."""


def _later(problems: Iterable[Problem], steps: Collection[str] | None) -> list[str]:
    """Raise `ConfigError` for the first problem of `steps` (None: of any step); a note on each of the later ones."""
    notes = []
    for step, why in problems:
        if steps is None or step in steps:
            raise ConfigError(why)
        notes.append(f"the whole run would be refused: {why}")
    return notes


def _inits(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The step and the model of each training that starts from one that is there before the run."""
    if "sft" in recipe.train:
        yield "sft", recipe.sft.init
    if "reward" in recipe.train and recipe.reward.init != "sft":
        yield "reward", recipe.reward.init


def _contradictions(recipe: Recipe) -> Iterator[Problem]:
    if not recipe.export.formats or not recipe.export.files:
        yield "export", "export.formats and export.files: name at least one; to make no datasets, use --until"
    if "sft" not in recipe.train and recipe.sample.policy == "sft":
        yield "sample", "sample.policy is sft, but train does not name sft; set sample.policy=base, or train sft"
    if "reward" in recipe.train and recipe.reward.init == "sft" and "sft" not in recipe.train:
        yield "reward", "reward.init is sft, but train does not name sft; set reward.init=base, or train sft"


def _idle(recipe: Recipe) -> Iterator[str]:
    """Settings that were given and that nothing reads."""
    if recipe.preferences.human_share is not None and not recipe.preferences.human:
        yield "preferences.human_share changes nothing without preferences.human, the files of pairs that people ranked"


def _more_than_there_are(recipe: Recipe, constitution: Constitution, prompts: PromptSet) -> Iterator[str]:
    """Numbers of principles that no answer to a prompt of the run can be judged under."""
    asked: tuple[tuple[str, int | str, Form], ...] = (
        ("label.principles_per_pair", recipe.label.principles_per_pair, "comparison"),
        ("rubric.principles_per_answer", recipe.rubric.principles_per_answer, "rubric"),
    )
    sampled = [prompt for prompt in prompts.prompts if prompt.kind in recipe.sample.kinds]
    for key, number, form in asked:
        if number == "all" or not (pool := constitution.with_form(form)):
            continue
        most = max((len(constitution.for_form(form, prompt)) for prompt in sampled), default=len(pool))
        if 0 < most < int(number):
            them = f"{most} principle{'' if most == 1 else 's'}"
            only = f"only {them} {'has' if most == 1 else 'have'} a {form}"
            if most < len(pool):
                only = f"no prompt is in the scope of more than {them} with a {form}"
            yield f"{key} is {number}, but {only}, so all are used"


def _strange_weights(recipe: Recipe, constitution: Constitution) -> Iterator[Problem]:
    """Names in `preferences.weights` that are no principle that a label may come from."""
    asked = {one.id for form in ("comparison", "rubric") for one in constitution.with_form(form)}
    for name in recipe.preferences.weights:
        if name not in asked:
            why = f"'{constitution.name}' has no principle '{name}' with a comparison or a rubric"
            yield "preferences", f"preferences.weights.{name}: {why}{did_you_mean(name, asked)}"


def _missing_weights(job: Job) -> Iterator[Problem]:
    """Trainings whose model is not on this machine."""
    for step, init in _inits(job.recipe):
        try:
            job.weights(init)
        except ConfigError as error:
            yield step, str(error)


def _absent_files(job: Job) -> Iterator[Problem]:
    """Files and runs that a step which is not reached would read; a step that is says more of what it cannot read.

    An audit of no items is no step at all.
    """
    recipe = job.recipe
    files = [("preferences", file) for file in recipe.preferences.human]
    files += [("audit", file) for file in recipe.audit.truth if recipe.audit.items]
    for step, file in files:
        try:
            if not job.reaches(step):
                parse_spec(people_file(file))
        except CAIError as error:
            yield step, str(error)
    against = recipe.audit.against if recipe.audit.items else None
    if against and not (job.reaches("audit") or Path(against).exists()):
        yield "audit", f"audit.against: {against} is not there"


def settings_json(settings: Any, *leave: str) -> Json:
    """A settings dataclass as plain JSON, less the fields named."""
    return {key: value for key, value in asdict(settings).items() if key not in leave}
