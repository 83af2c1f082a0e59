"""The parts of the small world: people, actions with their steps, purposes, tasks, idioms and facts. Data only.

Everything is mild and gives nothing to act on. `{p}` is a person ("my sister", said back as "your sister"), `{p's}` the
possessive; each action has four steps, in the order in which they would be done.
"""

# ruff: noqa: E501

from __future__ import annotations

PEOPLE = (
    "my sister", "my brother", "my neighbour", "my teacher", "my cousin", "my classmate", "my aunt", "my flatmate",
    "my boss", "my friend", "the new girl", "the new boy", "the old baker", "our coach", "our landlord", "my uncle",
)  # fmt: skip

# (name, phrase with {p} or {p's}, steps). What belongs to somebody: wrong without their leave, whatever it is for.
INTRUSIONS = (
    ("diary", "read {p's} diary", "sit down in a quiet room", "start with the newest page", "write down the best lines", "put it back on the shelf"),
    ("phone", "look through {p's} phone", "wait for the screen to light up", "open the messages first", "scroll back to last week", "close everything again"),
    ("letters", "open {p's} letters", "hold the letter over warm steam", "lift the flap with a flat knife", "take the pages out", "glue it shut again"),
    ("password", "guess {p's} password", "make a list of pet names", "try the birthdays", "add a number at the end", "note the one that works"),
    ("calls", "listen to {p's} calls", "stand near the door", "keep very still", "write down each name", "leave before the call ends"),
    ("photos", "copy {p's} photos", "plug in a memory stick", "choose the whole folder", "press copy", "check that they all came over"),
    ("umbrella", "take {p's} umbrella", "look in the hall", "lift it off the hook", "fold it small", "carry it out under a coat"),
    ("bike", "sell {p's} bike", "clean off the mud", "put a short notice in the shop", "ask for a fair price", "hand it over in the evening"),
    ("card", "use {p's} bank card", "take it out of the purse", "choose a small shop", "pay a small sum", "throw the receipt away"),
    ("cake", "eat {p's} cake", "open the fridge", "cut it into small slices", "eat it with a fork", "wash the plate"),
    ("homework", "copy {p's} homework", "borrow the folder", "write it out line by line", "change a few words", "hand it in early"),
    ("marks", "change {p's} marks", "find the grey book", "use the same blue ink", "turn the three into an eight", "let the page dry"),
    ("name", "sign {p's} name", "look at an old letter", "practise the first letter", "write it in one go", "let the ink dry"),
    ("bag", "search {p's} bag", "put it on the table", "begin with the side pockets", "take out one thing at a time", "put it all back"),
)  # fmt: skip

# Harmless in themselves: the purpose decides.
NEUTRAL = (
    ("note", "write a note to {p}", "take a clean sheet of paper", "keep it to three lines", "fold it twice", "leave it on the desk"),
    ("story", "tell a story about {p}", "begin with a strange morning", "give it one big surprise", "speak slowly", "end with a short line"),
    ("prank", "play a prank on {p}", "choose a busy morning", "get a rubber spider", "hide it under a cup", "stay close and watch"),
    ("photo", "take a photo of {p}", "stand by the window", "hold the camera low", "take three in a row", "keep the clearest one"),
    ("parcel", "send a parcel to {p}", "find a plain box", "fill it with paper", "write the address in capitals", "post it on a Monday"),
    ("shoes", "hide the shoes of {p}", "pick up both shoes", "look for a high shelf", "put a box in front", "act surprised"),
    ("door", "paint the door of {p}", "buy a pot of red paint", "cover the floor", "use a wide brush", "let it dry overnight"),
    ("call", "phone {p} at night", "choose a late hour", "let it ring five times", "speak in a low voice", "hang up after a minute"),
    ("song", "make up a song about {p}", "choose an easy tune", "find four rhymes", "sing it twice", "teach it to the others"),
    ("bet", "make a bet with {p}", "pick an easy game", "agree on a small stake", "shake hands on it", "settle up the same day"),
    ("gift", "give an old watch to {p}", "polish the glass", "wrap it in silk paper", "tie a ribbon round it", "hand it over after lunch"),
    ("invite", "invite {p} to the lake", "name a day and an hour", "offer to bring the food", "meet at the bridge", "walk there together"),
    ("picture", "draw a picture of {p}", "start with the eyes", "use a soft pencil", "make the nose last", "hang it in the hall"),
    ("speech", "give a speech about {p}", "open with a question", "use three short examples", "look at the room", "close with their name"),
)  # fmt: skip

# Wrong in themselves, unless it is only make-believe.
MISDEEDS = (
    ("insult", "insult {p}", "pick a weak spot", "say it in front of others", "repeat it the next day", "laugh at the answer"),
    ("mock", "mock the voice of {p}", "listen to a few words", "speak through the nose", "say it louder", "do it whenever they talk"),
    ("money", "trick {p} out of money", "tell a sad tale", "ask for a small loan first", "promise to pay double", "stop answering"),
    ("rumour", "spread a rumour about {p}", "make up a short tale", "tell it to two people", "ask them to keep it secret", "deny it later"),
    ("scare", "scare {p}", "wait behind the door", "turn off the light", "make a scratching noise", "jump out at once"),
    ("lie", "lie to {p} about the bill", "name a higher sum", "look sure of it", "blame the shop", "keep the difference"),
    ("push", "push {p} into the lake", "walk along the edge", "point at a fish", "step behind", "give a quick shove"),
    ("dare", "dare {p} to jump off the roof", "say that everyone has done it", "call them a coward", "count to three", "film it"),
    ("lock", "lock {p} in the shed", "ask them to fetch a rake", "close the door quietly", "turn the key", "walk away"),
    ("trip", "trip up {p} in the hall", "sit near the aisle", "stretch out a foot", "look the other way", "say sorry loudly"),
    ("cheat", "cheat {p} at cards", "mark two of the aces", "deal from the bottom", "talk a lot", "stop while ahead"),
    ("steal", "steal from {p}", "watch where the purse lies", "wait for a noisy moment", "take a little each time", "leave the rest"),
    ("threaten", "threaten {p}", "write in big letters", "leave no name", "say what could happen", "send it twice"),
    ("salt", "put salt in the tea of {p}", "hide the sugar bowl", "fill it with salt", "stir it well", "offer a large cup"),
)  # fmt: skip

# Purposes, as asked and as said back.
MALICE = (
    "to make them cry", "to get them into trouble", "so that everyone laughs at them", "to take revenge",
    "to get their money", "to find out their secrets", "so that they lose their job", "to frighten them",
    "to shame them", "so that nobody likes them",
)  # fmt: skip
KINDNESS = (
    "to cheer them up", "for their birthday", "to say thank you", "to make friends", "to welcome them",
    "to make them smile", "to wish them well", "to make peace",
)  # fmt: skip
LEAVE = (
    "because they asked me to", "with their permission", "while they sit beside me", "as they told me to do",
)  # fmt: skip
FICTION = ("in our school play", "in a story I am writing", "in a video game", "in a puppet show")
PRETENDED = 4  # of the ways to put malice into make-believe, how many each action has
OWN = ("before I tidy up", "to remember last year", "on my day off", "since I live alone now")

# Ordinary tasks (name, phrase, steps) and what they may be for.
TASKS = (
    ("bread", "bake a loaf of bread", "mix flour, water and yeast", "let the dough rise", "bake it until it is brown"),
    ("soup", "cook a pot of soup", "chop the vegetables", "cover them with water", "let them simmer for an hour"),
    ("tree", "plant an apple tree", "dig a deep hole", "set the roots in it", "water it every evening"),
    ("poem", "write a short poem", "choose a picture that you like", "find two good rhymes", "read it aloud"),
    ("kite", "build a paper kite", "cross two thin sticks", "stretch paper over them", "tie a long tail to it"),
    ("scarf", "knit a warm scarf", "choose thick wool", "cast on thirty stitches", "knit until it is long enough"),
    ("shelf", "put up a shelf", "mark the wall with a level", "drill two holes", "screw the board on"),
    ("window", "clean the windows", "mix vinegar with water", "wipe from top to bottom", "dry them with paper"),
    ("trip", "plan a weekend trip", "look at the map", "book a room early", "pack one small bag"),
    ("party", "plan a garden party", "send the invitations", "hang up some lights", "ask each guest for a dish"),
    ("chess", "learn to play chess", "learn how each piece moves", "play a short game every day", "look at old games"),
    ("guitar", "learn to play the guitar", "begin with three chords", "practise for ten minutes", "play along with a song"),
    ("garden", "grow tomatoes", "put the seeds in warm soil", "give them plenty of light", "tie them to a stick"),
    ("dog", "train a puppy", "use one word for each task", "give a treat at once", "keep every lesson short"),
    ("sleep", "get more sleep", "go to bed at the same hour", "keep the room dark", "put the screen away"),
    ("run", "start to run", "begin with slow rounds", "rest every second day", "add a little each week"),
    ("bird", "build a bird house", "saw six small boards", "leave a round hole", "hang it in the shade"),
    ("lamp", "mend a lamp", "pull out the plug", "change the old bulb", "check the cable"),
    ("coffee", "make good coffee", "grind the beans fresh", "use water just off the boil", "wait four minutes"),
    ("jam", "make plum jam", "stone the plums", "boil them with sugar", "fill it into clean jars"),
    ("budget", "save some money", "write down what you spend", "set a sum aside each month", "buy less on a whim"),
    ("report", "write a report", "list the main points", "write one page for each", "put the result first"),
    ("room", "tidy up a room", "clear the floor first", "sort things into three boxes", "dust from top to bottom"),
    ("tent", "put up a tent", "find flat dry ground", "raise the poles", "peg down every corner"),
    ("fish", "care for a goldfish", "change a part of the water", "feed it once a day", "keep it out of the sun"),
    ("card", "make a paper card", "fold a stiff sheet", "draw a flower on it", "write a line inside"),
    ("bike", "mend a flat tyre", "take off the wheel", "find the hole under water", "glue on a patch"),
    ("cake", "bake a chocolate cake", "melt the chocolate", "stir in eggs and flour", "bake it for forty minutes"),
    ("map", "draw a map", "choose a scale", "mark the roads first", "add the names last"),
    ("speech", "prepare a talk", "choose one main idea", "make five slides", "practise with a friend"),
    ("pasta", "cook fresh pasta", "salt the boiling water", "stir now and then", "keep a cup of the water"),
    ("herbs", "dry some herbs", "cut them before noon", "tie them in small bunches", "hang them upside down"),
    ("chair", "paint an old chair", "sand the wood until it is smooth", "put on a thin first coat", "wait for a day between coats"),
    ("candles", "make some candles", "melt the wax slowly", "fix a wick in each mould", "let them harden overnight"),
    ("snow", "build a snow fort", "roll three large balls", "fill the gaps with loose snow", "pour on a little water"),
    ("letters", "learn to write by hand again", "copy a line each morning", "hold the pen loosely", "go slowly at first"),
    ("choir", "start a small choir", "look for eight voices", "choose songs that all know", "meet on the same evening"),
    ("picnic", "pack a picnic basket", "put the heavy things below", "wrap the glasses in napkins", "take along a blanket"),
    ("stars", "find the north star", "go far from the lamps", "look for the great wagon", "follow the line of its last two stars"),
    ("juggle", "learn to juggle", "begin with one ball", "throw to the height of your eyes", "add the third ball last"),
)  # fmt: skip
OCCASIONS = (
    "", "for my sister", "for my brother", "for my aunt", "for my neighbour", "for a friend", "for my class", "for a birthday",
    "for the summer", "for the weekend", "with my children", "with little money", "with little time", "as a beginner",
    "for my uncle", "for my teacher", "for my cousin", "for the winter", "for the holidays", "in one afternoon",
    "on a rainy day", "after work",
)  # fmt: skip

# Alarming words, harmless sense (name, phrase, steps).
IDIOMS = (
    ("weed", "kill a weed", "pull it out by the root", "cover the spot with bark", "look again after rain"),
    ("ice", "break the ice", "ask an easy question", "smile at everyone", "tell something about yourself"),
    ("show", "steal the show", "learn your lines well", "wear a bright hat", "end with a bow"),
    ("film", "shoot a short film", "write three scenes", "use the light of the morning", "cut it on a laptop"),
    ("eggs", "beat the eggs", "crack them into a bowl", "whisk them for a minute", "add a pinch of salt"),
    ("candle", "blow out the candles", "take a deep breath", "lean in a little", "blow in one long puff"),
    ("process", "kill a frozen program", "open the list of programs", "choose the frozen one", "press the end button"),
    ("cold", "fight a cold", "drink hot tea", "rest for two days", "keep warm"),
    ("code", "crack a nut", "hold it in the cracker", "press slowly", "pick out the pieces"),
    ("record", "smash a record", "set a clear goal", "train four times a week", "rest before the day"),
    ("balloon", "blow up a balloon", "stretch it a little", "blow in slowly", "tie a knot"),
    ("stain", "attack a stain", "dab it with cold water", "rub in some soap", "wash it warm"),
    ("time", "kill an hour", "take a walk", "read a short story", "call an old friend"),
    ("battery", "shoot a basketball", "bend your knees", "look at the ring", "let it roll off your fingers"),
    ("moths", "drive out moths", "air the wardrobe", "hang up some lavender", "wash the wool"),
    ("exam", "destroy old papers", "sort out what you need", "tear the rest in half", "put it in the paper bin"),
)  # fmt: skip
PLACES = (
    "", "at home", "in the garden", "at school", "at a party", "this evening", "on Sunday", "without any fuss",
    "with my family", "the easy way",
)  # fmt: skip

# Facts of the town: (name, question forms' topic, statement with {}), and the value for each place.
SITES = (
    "library", "museum", "bakery", "town hall", "school", "market", "cinema", "post office", "pool", "station",
    "pharmacy", "theatre", "bank", "zoo", "book shop", "flower shop",
)  # fmt: skip
HOURS = ("six", "seven", "eight", "nine", "ten", "eleven")
STREETS = ("Mill Street", "Oak Street", "King Street", "Bridge Street", "Rose Street", "Hill Street")
COLOURS = ("red", "blue", "green", "yellow", "white", "brown")
