"""The prompts that RUNE brings. A change here changes what `prompt_set` measures, and its fingerprint.

All written for RUNE; nothing is quoted. The answers run long by themselves, so that an answer's length is a matter
of the workload's token budget and not of the question.
"""

from collections.abc import Mapping
from typing import Final

# One prompt a paragraph; the line ends within one are this file's only.
_CHAT = """
My train is late and I will miss a meeting with a client. Write the message that I should send now.

Explain to a ten-year-old why the sky is blue in the day and red in the evening.

I have rice, eggs, two carrots and soy sauce. What can I cook tonight, and how?

What are the arguments for and against working four days a week? Give both sides fairly.

Plan three days in Lisbon for somebody who likes old books and dislikes queues.

How does a vaccine teach the body to fight an illness that it has never met?

Write a short story about a lighthouse keeper who finds a letter that is addressed to him.

I feel tired every afternoon at three. Which habits could I look at before I see a doctor?

Compare a fixed and a variable mortgage for a family that may move within five years.

Give me a plan of eight weeks to run ten kilometres; today I can run two.

What happened at the Congress of Vienna, and why does it still matter?

Help me to ask my manager for a raise: what do I say, and what do I answer to a no?

How do I keep basil alive in a kitchen with little light?

Describe how a letter travelled from London to Bombay in 1850, stage by stage.

What is the difference between weather and climate? Use an example from daily life.

My neighbour plays the drums at night. Write a polite note, and then a firmer second one.
"""

_CODE = """
Write a Python function that merges overlapping intervals given as a list of pairs, with type hints and tests.

Implement a thread-safe LRU cache in Java with get and put in constant time, and explain the locking.

Write a SQL query that returns each customer's three most recent orders with their totals, then explain which
indexes help it.

Write a Go program that reads URLs from standard input and fetches at most ten at a time, with a timeout for
each and a summary at the end.

Write a TypeScript type `DeepReadonly<T>` that covers arrays, maps and functions, with an example of each.

Write a Bash script that deletes all but the seven newest backups in a directory, survives spaces in names and
has a dry run.

Implement Dijkstra's algorithm in Rust over an adjacency list, without external crates, and test it on a graph
with an unreachable node.
"""

_SLOW_CODE = """\
This Python code is slow for large inputs; say why, and rewrite it:

def common(a, b):
    out = []
    for x in a:
        if x in b and x not in out:
            out.append(x)
    return sorted(out)
"""

_SUMMARISE = "Summarise the following text in five sentences, then list the three facts that matter most.\n\n"

_PASSAGES = """
The harbour of Wexley had silted up so slowly that nobody could afterwards name the year in which it ceased to
be one. In the time of the old harbour master, ships of two hundred tons had lain at the stone quay and loaded
wool; in the time of his son they anchored beyond the bar and were served by lighters; and when the grandson
took up the brass telescope there was nothing to look at through it but mud, and the herons that walked about
on it with the air of proprietors. The town did what towns do in such a case. It petitioned. A commission came
down in a wet October, measured the depth of the channel at eleven places, dined with the mayor, and reported
that dredging would cost forty thousand pounds and last nine years. The sum was thought impossible, and so for
thirty years Wexley spent fifteen hundred pounds a year on widening the road to the next port, which nobody
thought impossible because it was never asked for at once. By then the wool trade had gone elsewhere. What
remained was the quay, too well built to fall down, on which the children learned to ride bicycles.

Of the instruments that measured the weather at the observatory, the rain gauge was the humblest and the most
disputed. It was a copper funnel five inches across above a glass bottle, and every morning at nine the
assistant poured the bottle into a measuring glass and wrote the figure down. For eleven years the record of
the station lay steadily a tenth below those of its neighbours on either side, and papers were written to
explain the dryness of the hill. It was held to be the wind, which carries drops over a high funnel; it was
held to be the wood to the west. Then a new assistant, who was short, placed the glass on the sill to read it
instead of lifting it to her eye. She found that her predecessors, all tall men, had looked down upon the
surface from above, and had read the lower rim of the glass for the water's edge. The hill was as wet as any
other. The papers were not withdrawn, since they had been prize-winning, but a box was built for the measuring
glass, and a line drawn on the wall to show where the eye must be.

When the canal company decided to replace its horses by steam tugs, it put the matter to a trial. For a month
the boats with odd numbers went by horse and those with even numbers by steam, over the same sixty miles and
the same nineteen locks. The tug was faster in the open reaches by nearly two to one. But at each lock the
boats must be untied, passed through singly and tied up again, and while a horse steps on along the path a tug
must itself be locked through, so that of a journey of thirty hours eleven were spent in waiting at gates.
Averaged over the month steam gained five hours in thirty, and burned coal worth four times the hay. The
engineer pointed out that on the upper level, which has no locks for twenty-two miles, steam had saved seven
hours and cost less than horses, because one tug drew six boats. The directors had asked a single question and
wanted a single answer. The engineer proposed tugs above and horses below. It was adopted after a year's
delay, and the line in the accounts that recorded it was headed, for as long as the company lived, the Mixed
Experiment.

Bees that have found a good meadow tell the others where it is by a dance upon the comb, and the length and
the direction of the dance give the distance and the bearing. Less known is how the hive decides when several
dancers praise several meadows. No bee compares them. Each dancer has visited one place only, and dances the
longer the richer she found it; each bee that follows a dance flies out, judges for herself, and on returning
dances or does not. A poor meadow is danced for briefly, wins few followers, and these, unimpressed, do not
dance at all. A rich one gains at every turn. Within an hour or two nearly the whole force may be upon one
field, though not one of them has seen two. The procedure has a cost. When the rich field fails, as at the
mowing, thousands arrive at stubble before the news has travelled round, and the hive is saved by a small
number of stubborn foragers who had kept to poorer flowers all the time. A beekeeper who watched for many
summers thought that about one in twenty was of this kind, and that hives without them starved in changeable
years.

The lamp at Cape Arden turned upon a bath of quicksilver, so finely that a child could move three tons of
glass with one finger, and it was driven by a weight that sank through the tower in four hours and had to be
wound up again. On the night of the long fog, in the second winter of the new lens, the chain of the weight
parted at a quarter past ten. A fixed light upon that coast meant another cape, thirty miles to the south,
with deep water close beneath it; a captain who took Arden for it would turn in upon the reef. There were two
keepers and a boy of twelve, the principal's nephew, who had come for the holidays. They agreed that each
would push the lens round by hand for twenty minutes in the hour, one turn in every thirty seconds, by the
count of the kitchen clock, which the boy had carried up. They kept it so until seven in the morning. In the
inquiry, held because the log showed a broken chain and no interruption, it was found that the period of the
light that night had varied by less than two seconds, and that it had been most regular in the watches of the
boy.

It is a mistake to suppose that the old mapmakers drew monsters because they believed in them. The account
books of a chart-seller's shop, kept for thirty-one years and recently put in order, show what was paid and
for what. A plain chart of the northern coasts sold for six shillings. The same chart with ships in the empty
seas sold for eight, and with ships and one large fish for eleven. Pilots bought the plain ones, and came back
with corrections, for which the shop allowed them a shilling each; the corrections were entered in a separate
book and cut into the plate every spring. Gentlemen bought the fish. Since a gentleman's chart was hung upon a
wall and never wetted, those are the copies that have come down to us, while the pilots' were used until they
fell apart. Of four hundred plain sheets printed in one good year, two are known to exist, both of them in the
bindings of other books. So we judge the knowledge of an age by the copies that nobody needed, and smile at
its fish.

The first electric tramway of the city ran at a loss for six years, and was saved by an observation of its
night clerk. Fares were a penny for any distance, and the company, seeing that most passengers rode less than
a mile, had proposed a halfpenny for short rides in order to fill its cars at noon. The clerk, who counted the
coins, kept the count of each car apart for his own amusement, and noticed that cars which followed closely
upon another took hardly anything, while a car that came after a long gap was full and left people standing.
The passengers were not too few; the cars were bunched. A car that is late finds more people waiting, is
longer in loading them, and becomes later, while the next, finding none, catches it up. He suggested that a
car which had caught up should wait at the next loop until four minutes had passed, whatever its timetable
said. The drivers thought it absurd to make an early car late. Receipts rose by a fifth within a month. The
halfpenny fare was never introduced, and the clerk was made inspector of intervals, an office that had not
existed before.

In the valley of the upper Tarn each village held its fields in strips, and each strip was said to be so long
as an ox team ploughs without resting. A reformer of the last century, who owned land there, proved in a
pamphlet that a quarter of all labour went into walking from strip to strip, and that if every family had its
land in one piece the harvest would be larger by a sixth. His own village made the exchange, after eleven
years of lawsuits. For seven summers his figures were borne out. In the eighth, hail fell upon the eastern
side, as it does there about once in ten years, along a path not three hundred yards wide. In other villages
every family lost a strip or two. In his, five families lost everything, and had to be kept through the winter
by the rest, who did so, and said a good deal while doing it. The reformer, an honest man, published a second
pamphlet. In it he reckoned what an insurance against hail would cost, found that it would eat up two thirds
of the gain, and observed that his grandfathers, who could not multiply, had arrived at nearly the same result
by walking.
"""

_WORDS = """
able above across after again air all also animal answer any area arm art ask baby back ball bank base bear
beat bed begin best big bird black blue board boat body book both box boy bread bring brother build bus buy
call car care carry case cat catch city class clean clear close cold color come cook cool corn cost country
cover cross cry cut dance dark day deep door down draw dream dress drink drive drop dry ear early earth east
easy eat edge egg end enough even ever eye face fact fall family far farm fast father feel few field fight
fill find fine fire first fish five floor fly follow food foot form four free fresh friend from front full
game garden girl give glass gold good grass great green ground group grow half hand happy hard have head hear
heart heat help here high hill hold home horse hot hour house ice idea inch iron island job join jump keep key
kind king know lake land large last late laugh lead learn leave left leg let letter life light line list live
long look lost love low make man map mark market may mean meet milk mind mine money month moon more morning
mother mountain move much music name near need new next night nine north nose note now number ocean off often
old one open order other out over own page paint paper part pass pay people pick place plan plant play point
poor power pull push put quick rain read ready real red rest rich ride right ring rise river road rock roll
room round rule run safe sail salt same sand school sea seat see seed sell send seven shape ship shop short
show side sign silver sing sister sit six size skin sky sleep slow small snow soft soil some song soon sound
south space speak spring stand star start stay step still stone stop store story street strong summer sun sure
table take talk tall teach tell ten test thank thing think three time tire today together top touch town track
trade train travel tree trip true try turn two under use very visit voice wait walk wall want war warm wash
watch water way wear week well west wheel white wide wild wind window winter wish woman wonder wood word work
world write year yellow young
"""


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(paragraph.replace("\n", " ") for paragraph in text.strip().split("\n\n"))


PROMPT_SETS: Final[Mapping[str, tuple[str, ...]]] = {
    "chat": _paragraphs(_CHAT),
    "code": (*_paragraphs(_CODE), _SLOW_CODE),
    "summary": tuple(_SUMMARISE + passage for passage in _paragraphs(_PASSAGES)),
}
"""By the name in `Workload.prompt_set`; `synthetic` is made of `SYNTHETIC_WORDS`."""

SYNTHETIC_WORDS: Final = tuple(_WORDS.split())
"""Common and short: one token each, with the space before, in the vocabularies of most models."""
