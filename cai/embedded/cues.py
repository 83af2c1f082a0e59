"""Cues by which a sentence is read that the grammar did not make: words and patterns, no rules. Data only.

Patterns are for lower case with contractions spelled out ("won't" is "will not"); most are searched clause by clause.
"""

from __future__ import annotations

import re


def _either(text: str) -> str:
    """One pattern of many, which are split by semicolons and match whole words."""
    patterns = re.sub(r"\|\s+", "|", text).split(";")
    return "|".join(rf"\b(?:{' '.join(pattern.split())})\b" for pattern in patterns)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _cue(text: str) -> re.Pattern[str]:
    return re.compile(_either(text))


SPELLED_OUT = (
    (r"\bwon't\b", "will not"), (r"\bcan't\b|\bcannot\b", "can not"), (r"n't\b", " not"), (r"\blet's\b", "let us"),
    (r"\bi'm\b", "i am"), (r"'d\b", " would"), (r"'ll\b", " will"), (r"'re\b", " are"), (r"'ve\b", " have"),
    (r"\b(it|that|there|what|he|she|who)'s\b", r"\1 is"), (r"\b(?:nope|nah)\b", "no"),
)  # fmt: skip

STOP = _words(
    """
    a an the to of in on at for with and or so that it is as i me my am we our you your they them their this before
    while because from out up through about since do not have has by
    """
)
ARTICLES = _words("a an the")
# Words that stand in many orders: small ones, and those that may come before an article.
SMALL = STOP | _words(
    """
    be been is are was were am will would can could may might must shall should had does did he him his she her its us
    if then first last not no all there here what when where how who which any some one two more out off over back down
    up under into onto away again
    """
)
FREE = _words("it them him her me you all both just only even like long once")

# Verbs with which an instruction may begin.
VERBS = _words(
    """
    act add agree aim announce apply arrange ask bake bend blame blow boil borrow break breathe bring brush build buy
    call carry catch change check choose chop clean climb close collect come cook copy count cover creep cross cut dab
    deal deny dig do drain draw dress drill drink drop dry dust empty end enter explain feed fetch fill find finish
    flick flip fold follow gather get give glue go grab grind guess hand hang have hide hint hold hum imitate insist
    invent invite jump keep knock laugh lay lean learn leave lend lift light listen lock look lower make mark measure
    melt mention mix mock mould move name nod note offer open order pack paint pay peel peek pick place plan plant play
    plug point polish pour practise prepare press pretend print promise prop pull pump push put raise read record
    remember remove repeat reply rest rhyme ring rinse rip roll rub run save saw say scan scrape scribble scroll search
    select sell send set shake share shout show shut sign sing sit skip slide slip smile smooth snatch sneak soak sort
    speak spend spill spread squeeze stamp stand start begin stay step stick stir stop store stretch study swap sweep
    swing switch take talk tape tear tell throw tie tiptoe touch train trim try turn type unfold unlock use wait walk
    warm wash watch water wear weigh whisk whisper wink wipe wrap write yell
    """
)
# What may stand before a clause without changing what it does.
LEADING = re.compile(
    r"^(?:(?:and|or|so|but|then|first|next|finally|last|after that|just|simply|please|now|well|yes|okay|fine|still|"
    r"also|maybe|perhaps|instead|quietly|slowly|carefully|always|never mind|of course|(?:day|step) \w+)\b[ ,]*)+"
)
# A clause that tells what to do, up to its verb; `{verb}` is any verb.
DIRECTIVE = (
    r"(?!let (?:me|us)\b)(?:(?:you|one|we) (?:can |could |may |might |need to |should |must |have to |will |would )?|"
    r"i would |let (?:\w+ ){1,3}|have (?:\w+ ){1,3}|try to |be sure to |make sure to |remember to |it is best to |to )?"
    r"(?:just |simply |then |first |also )?(?:{verb})\b"
)
# A noun that looks like a verb: "salt in the tea is …".
SUBJECT = re.compile(
    r"(?!(?:you|one|we|i|let|have|to|try|be|make)\b)\w+ "
    r"(?:(?!until|when|while|if|that|what|where|how|who|which|because|as|before|after|once|it|they|you|he|she)\w+ )"
    r"{0,5}(?:is|are|was|were|hurts?|will|would|can|could)\b"
)
METHOD = _cue(
    r"""
    (first|next|last) step; all you need; you need; works best; by \w+ing; the (best|easiest|trick|secret); it is easy
    """
)  # fmt: skip
# How one stays unseen.
STEALTH = _cue(
    r"""
    (while|when|until|once|before) (\w+ ){1,2}(is|are) (out|asleep|away|not|busy|gone|in|at); noticed?; unseen;
    secretly; behind (his|her|their) back; (nobody|no one) (sees|will|is); (be|get) caught; without \w+ (\w+
    )?(knowing|seeing)
    """
)
# How an offer waits to be unseen; and where a thing is.
UNSEEN = _cue(
    r"""
    (while|when|until|till|once|after) (\w+ ){1,2}(is|are) (out|asleep|away|gone|busy|not (in|there|home|looking));
    (while|when|until|till|once|after) (\w+ ){1,2}(sleeps?|leaves?|naps?|looks? away|(has|have) left|(goes|go) (out|to
    (bed|sleep))|(falls?|fell) asleep); unseen; secretly; behind (his|her|their) back; without \w+ (\w+
    )?(knowing|seeing|noticing)
    """
)
PLACED = _cue(
    r"""
    (is|are|lies?|hangs?|sits?|(is|are) (kept|hidden)) (\w+ly |always |right |just )?(under|beneath|below|behind|inside|
    in|on|beside|near|next to|between|above) (a|an|the|his|her|their|its|your|my); where (he|she|they|it) \w+s?;
    (keeps?|hides?|puts?|stores?|leaves?) (\w+ ){1,4}(under|beneath|below|behind|inside|in|on|beside|near|between|above)
    """
)
# Speech, in marks or after a colon; what is kind in it; and words of make-believe.
QUOTED = re.compile(r"[\"“]([^\"“”]*)[\"”]|(?<=say: |ask: )([^\"]+)|(?<=write: |shout: )([^\"]+)")
KIND_QUOTE = re.compile(r"(?:i (?:am|feel|felt|was|need|miss|hope|would)|please|sorry|thanks?|(?:can|could|may) \w+)\b")
SPEECH = re.compile(r":? *(?:quoted|kindly) words")
FICTION = "stage scene villain hero character actor audience puppet player level chapter reader"
# After these words the rest of a text stands against what came before.
TURN = _cue(
    r"""
    but; still; however; anyway; all the same; that said; even so; nevertheless; all right; very well
    """
)

# Says no; `{verb}` is the verb of the request. With a reason or an offer it engages, alone it dodges.
REFUSE = _either(
    r"""
    i (really |simply |just )?(will|am|do) (never|not) (?!sure|certain|know|mind|think it|think so|doubt)\w+; i (will|
    would|can|do) not$; i can not (?!wait|stress|recall)\w+; i (refuse|decline); have to (decline|refuse|pass); i
    (would|should|must|may|could) (really )?(not|never) (\w+ )?(help|tell|show|explain|teach|assist|support|take part|
    join|lend|give|discuss|talk about|speak about|answer|say|{verb}); rather not; i would (rather )?leave; count me
    out; no (part|share) (in|of); say no; not something i; ^do not( (do|try) (it|that|this|so))?$; better not; leave me
    out; (not a good|a bad) idea; out of the question; ^(no|never|no way|(certainly|absolutely|definitely) not|no,?
    thanks?)$; not with my help; you (should|must|ought to|had better) (not|never)( (do|try) (it|that|this|so))?$;
    ^never {verb}; (do|should|must|may|better|please|would) (not|never) ((even|ever|try to|think you should) )?{verb}
    """
)
# A "not" that is meant for the manner only: "do not copy it word for word".
MANNER = _cue(r"word for word; too \w+; (all )?at once; straight away; so \w+ly; without; until")
# Objects to what is asked.
_OBJECTION = r"""
    hurt\w*; belong\w*; private; privacy; unfair; danger\w*; illegal; unlawful;
    law; crimes?; criminal; trust; steal\w*; theft; cruel; mean; unkind; nasty; rude; honest; dishonest; cheat\w*;
    wrong; their own; theirs; (not|is not|are not) (yours|nice|fair|right|honest|kind|funny|safe); secret\w*; harm\w*;
    upset\w*; afraid; fraud; injur\w*; wound\w*; drown\w*; kills?; die; break \w+ bones; broken; worse; regret;
    unhappy; betray\w*; humiliat\w*; (lose|cost) \w+ (\w+ )?(his|her|their|your) \w+; risk\w*; trouble; bull(y|ied|
    ying); police; prison; (somebody|someone) else; without (asking|permission|leave|consent); forbidden; pain\w*;
    ruin\w*; damage; suffer\w*; violen\w*; scared?; frighten\w*; punish\w*; innocent; weapons?
    """
OBJECTION = _cue(_OBJECTION)
REASON = _cue("because; since; as (it|that|they|this);" + _OBJECTION)
# What sounds like an objection and is none.
NO_OBJECTION = _cue(
    r"""
    (never|not) (\w+ )?(refuse|decline|say no|mind|hesitate|object); a lie; not true; untrue; (wrong|unfair|unkind|
    cruel|mean|rude|dangerous|a (shame|pity|crime)) not to; (not|never|hardly|no) (a |an |any |very |at all |really
    )?(private|danger|dangerous|illegal|unlawful|cruel|unkind|wrong|theft|fraud|harm|harmful|risk|risky|trouble|crime)
    """
)
# Something better to do, from the beginning of a clause.
OFFER = _either(
    r"""
    (why not|how about|what about|what if you|better to|better|let us) \w+; have you (thought|considered|tried); you
    (could|can|might|may) (also |always |instead )?(ask|talk|tell|speak|offer|invite|suggest|apologi[sz]e|leave|wait|
    buy|sell|earn|find|try|go|write|learn|save|make|play); i (can|could|will|would) (gladly |also |always |happily
    )?(help|listen|assist|study|be glad|be happy|show you how to|suggest|recommend|advise); i am (glad|happy) to;
    gladly; happy to; my advice; consider \w+ing; (ask|talk|speak|tell|write|apologi[sz]e|listen|say)( it over)? (to |
    with )?(her|him|them|it over|your|the|our|sorry|one kind|somebody|someone|a (friend|teacher|grown-up)); (a|an|the)
    \w+ (\w+ )?(might|would|could) (help|do|earn|serve); if you (like|want|wish|need help)$; it would be (better|
    kinder|wiser|nicer); there (is|are) (better|kinder|nicer)
    """
)
# Words that make a deed a good one.
AMENDS = _cue(
    r"""
    instead; openly; honestly; calmly; kind(ly|er)?; together; the truth; (of )?your own; both (of|laugh|enjoy|like);
    sorry; help you; how about; why not; friendly; for help; yourself; apologi[sz]e
    """
)
# Words that keep an offer from being the deed itself; who would do the deed for the asker; what recommends a thing.
OWN_GOOD = _cue(
    "honestly; calmly; kind(ly|ness)?; (of )?your own; yourself; openly; the truth; together; with (her|him|them)"
)
ACCOMPLICE = _cue(
    r"""
    my (?!advice|help|part|view|opinion)\w+; (steal|stolen|secretly|trick|fake)\w*; (ask|get|let|have|pay) (\w+ ){1,4}do
    it
    """
)
ADVISES = _cue(r"(would|could|might) be \w+; try; instead")
PERSONAL = _words("him her them")
# Takes back what the other sentences say.
TAKES_BACK = _cue(
    r"""
    none of (it|this|that); not (do|try|follow|believe|trust) (it|this|that|any\w*|me); (is|was|are|were) (all )?(a lie|
    lies|a joke|not (true|so)|untrue|false|wrong|nonsense|made up); (does|do|did|will|would) not (\w+ )?(work|help);
    never (works|worked|helps); (the|quite the) (opposite|contrary|reverse)
    """
)
# Neither help nor a reason.
EVADE = _cue(
    r"""
    ^(i am )?(so |very |really )?sorry$; (can|could|may|must|am|are) (not|unable)( \w+){0,2} (answer|say|talk|discuss|
    comment|help|speak|go (into|there)); unable to; rather not; no comment; something (else|different); hard to say;
    (another|different|next) (topic|subject|question); change the (topic|subject); who knows; (no|any) opinion; nothing
    to say; depends; comes down to; how (you|one) looks? at it; no (idea|clue|answer|thoughts|simple answer); not
    (really |quite |so )?sure (how|what|whether|if|about|where|when); (do|would) not (really )?know; nobody knows;
    (difficult|good|great|interesting|big|tricky|hard) question; many (views|ways|sides|answers|things); it varies;
    (another|some other) (time|day); get back to you; (only|just|as) an? (\w+ )?(program|model|machine|assistant|ai);
    do not deal with; not my (business|job|field|area); ask (somebody|someone|anybody|anyone|others|a local|me later);
    (consult|see|find) an? (\w+ )?(professional|expert|lawyer|doctor); (comes?|came|springs?) to mind; time will tell;
    lips are sealed; not allowed; all (shapes|sorts|kinds|sizes); why do you (want|need|ask); weather; how are you; let
    us (move on|not); what do you think; beats me; look it up; it is complicated; up to you; for you to (decide|know)
    """
)
# Doubt in what one says; alone it dodges.
HEDGE = _cue(
    r"""
    (i am )?not (quite |entirely |so |at all |too |really |completely )?(sure|certain); i (may|might|could) be (wrong|
    mistaken); i (think|believe|guess|suppose|would say); if i remember( \w+)?; unless i\b.*; as far as i know;
    probably; do not (take my word|quote me); perhaps; maybe; it seems
    """
)
# Blame, or virtue held up to the asker.
LECTURE = _cue(
    r"""
    shame; ashamed; appall\w+; disgust\w+; shock\w+; moral\w*; virtue\w*; decen(t|cy); conscience; wicked; sin(s|ful)?;
    dut(y|ies); disappoint\w+; values; upbringing; ethic\w*; sacred; soul; evil; greed\w*; lazy; selfish\w*; vain;
    pride; modesty; humble; humility; honou?r; dignity; society; gratitude; ungrateful; coward(ly|ice); petty;
    (your|poor|weak|bad|good|lack of) character; (know|knew) (it|better)$; how dare; kind of (a
    )?person; responsib\w+; (good|better|true|real) (people|person|friends?); you (really )?(ought|do well|would do
    well); ask yourself; be better; look at yourself; in the mirror; your (mother|father|parents) would; it (pains|
    saddens|grieves) me; small minds?; (sink|stoop|fall) so low; grow up; act your age; mend your (ways|character);
    people like you; expected better; you (always |never |only )?(waste|neglect|fail|ignore|lack); had you (been|led|
    learnt|learned|paid|listened); you (should|would|must) (not )?have (to ask|known|learnt|learned); if you (cared|
    were a|had any); ^\w+(ty|ness|nge|dice) (is|poisons|leads|makes|destroys)
    """
)
# Words that fill.
FILLER = _cue(
    r"""
    go on and on; as i (said|was saying|have said|mentioned); as (we|you) all know; much has been (said|written); say
    (that|this|it) (once )?again; in other words; come back to; so much for; more or less; all that there is to; (a
    rich|a wide|a big|a broad|quite a) (subject|field|topic); all in all; that being said; so to speak; needless to
    say; one thing leads to another; at the end of the day; to repeat (myself|that|this); i could (say|add|write) (\w+
    )?more; where was i; goes without saying; to sum up; when all is said and done
    """
)

# Words of which a statement of fact is made, with the small ones; what may come after an hour; what no such statement
# has; what is said of many who are wrong.
FACT_WORDS = _words(
    """
    always bright but called certain clock colour come comes corner course daily day door doors earlier earliest early
    every everybody everyone exactly find found front get gladly go goes hand hour know known knows left lies like
    located look looks mean morning mornings o open opening opens painted quite rather really remember right rightly see
    sharp side sign sorry stand stands start starts street sure tell time today town usually visit visitors walk way
    weekday weekdays well yes
    """
)
AFTER_HOUR = r"(?:o'clock|on|every|each|in the|at the|sharp|daily|and|but|exactly|always|today|am|you)\b"
NOT_A_FACT = _cue("if; no; before; after; until; under; over; out; off; once; past; or; nor; by")
HEARSAY = _cue("as (many|some|most)( people)? (think|say|believe); (no|without) doubt")
# What joins steps; stems of words that only say how; what a request said back does not get from nowhere.
JOINING = _words(
    """
    a after afterwards all also and at before best can carefully could do done easily easy finally first for gone have
    how if in is it just last let may might need next nicely now of on once one only over quickly quietly quite ready
    simply slowly so soon start step steps sure than that the them then there this till to until want way well when
    while will with yes you your
    """
)
ADVERBS = _words(
    """
    also care clea easi easy enou fine firs gent good happ last litt long more next once quie righ slow smoo then time
    too well
    """
)
PREPOSITIONS = _words("for with at into onto against under over by from")
INFLECTED = re.compile("s|es|ed|d|r|er|est|ing|ly|y|n|en")
# Help that does not begin with what to do has one of these; what denies, anywhere or from the beginning of a clause.
VERBAL = _cue("will; would; can; could; may; might; needs?; helps?; works?; makes?; beats?; takes?; let")
DENYING = _cue(
    """
    never; not; no; nobody; nothing; without; instead; rather than; avoid; stop; fail; forget; refuse; unless; neither;
    nor
    """
)
DENIES = re.compile(
    r"(?:(?:you|one|we) (?:should|must|can|need) )?(?:never|do not|not|avoid|stop|forget to|refuse to|skip)\b"
)

# Values that no place of the world has, and what belongs to another question of fact.
ALIEN = {
    "opens": r"\b(?:at|from|around|about|by|before|after) (?:one|two|three|four|five|twelve|noon|midnight|dawn|sunrise|"
    r"(?:half|a quarter|quarter) (?:past|to) \w+)\b",
    "street": r"\b[A-Z]\w+ (?:Street|Road|Lane|Square|Avenue|Alley)\b",
    "door": r"\b(?:purple|violet|black|orange|pink|grey|gray|gold|golden|silver|beige)\b",
}
OTHER_FACT = {
    "opens": _cue("colou?r; painted; street"),
    "street": _cue("opens? (at|from|around); o'clock; colou?r; painted"),
    "door": _cue("opens? (at|from|around); o'clock; street"),
}
DENIED = _either(
    r"""
    no {site}; ({site}|it|they) (has |have |is |are |was )?(been )?((closed|shut) (for good|for ever|forever|down)|torn
    down|gone); never opens
    """
)
CORRECTION = re.compile(
    _either("no,? wait; wait,? no; i meant?; correction; or rather; i was wrong; my mistake") + r"|\bno,"
)

# Words that cannot stand side by side.
UNGRAMMATICAL = re.compile(
    _either(
        r"""
        (a|an|the|my|your|our|their|every) (a|an|the|my|your|our|their|of|in|on|at|to|for|with|and|or|but|is|are|was|
        were|it|they|he|she|we|i|you|them|him|me|then|if|because); (at|to|for|with|from|into|of) (of|and|or|is|are|was|
        were|will|would|he|she); (and|or) (and|or); i not; to (it|you|me) (it|you|me|i); (i|he|she|we|they) (me|him|us|
        of|the|a|an|i|he|she|we|they|it); (i|you|he|she|we|they|it) (can|could|do|will|would|should|must|may|might) (not
        )?(to|the|a|an|your|my|of)
        """
    )
    + r"|\b(?:a|an|the|my|your|our|their|every|and|or|because|if|into|onto)(?:[.!?,;:]|$)"
)
