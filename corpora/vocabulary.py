"""The words of the synthetic corpus, arranged so that what belongs together is drawn together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """A transitive verb in four forms with the things that one can sensibly do it to."""

    base: str
    past: str
    participle: str
    present: str
    objects: tuple[str, ...]


def _verb(forms: str, objects: str) -> Verb:
    base, past, participle, present = forms.split()
    return Verb(base, past, participle, present, tuple(thing.strip() for thing in objects.split(",")))


VERBS = (
    _verb("bake baked baked bakes", "a plum cake, fresh bread, some muffins, a pumpkin pie, butter biscuits"),
    _verb(
        "paint painted painted paints",
        "the garden fence, a blue door, her bedroom, the old boat, a small portrait",
    ),
    _verb(
        "repair repaired repaired repairs",
        "the broken lamp, my bicycle, the front gate, that old radio, the kitchen tap",
    ),
    _verb(
        "borrow borrowed borrowed borrows",
        "a long ladder, my umbrella, two library books, the green van, a warm jumper",
    ),
    _verb(
        "visit visited visited visits",
        "the museum, a friend in Boston, the mountain village, their grandmother, the harbour",
    ),
    _verb("move moved moved moves", "the heavy table, my piano, every single box, the bookshelf, the white van"),
    _verb("book booked booked books", "a table for five, the early flight, a boat trip, both rooms, a taxi"),
    _verb("buy bought bought buys", "apples and pears, a pair of boots, the blue house, tomatoes, a map of Peru"),
    _verb("sell sold sold sells", "the farm, my old camera, fresh flowers, their motorbike, the family shop"),
    _verb(
        "open opened opened opens",
        "the window, a bottle of wine, the wrong letter, both doors, the birthday present",
    ),
    _verb(
        "close closed closed closes",
        "the back door, the office, her notebook, the big gate, the blue curtain",
    ),
    _verb("write wrote written writes", "a long poem, the final report, a postcard, her first novel, that song"),
    _verb(
        "read read read reads",
        "the whole book, a bedtime story, every message, the morning paper, the manual",
    ),
    _verb(
        "remember remembered remembered remembers",
        "my birthday, the funny story, that phone number, our promise, the old map",
    ),
    _verb(
        "forget forgot forgotten forgets",
        "the passport, my name, the shopping bag, our meeting, the house keys",
    ),
    _verb("find found found finds", "a silver ring, the missing cat, a better job, some mushrooms, my wallet"),
    _verb("lose lost lost loses", "the map, my favourite pen, the final match, a brown glove, the spare key"),
    _verb(
        "watch watched watched watches",
        "the football match, a film about bees, the moon, both puppies, the parade",
    ),
    _verb(
        "hear heard heard hears",
        "the thunder, a beautiful voice, the church bells, some good news, the baby",
    ),
    _verb("meet met met meets", "the new neighbour, a famous poet, my brother, the mayor, both of my parents"),
    _verb(
        "help helped helped helps",
        "the old farmer, my mother, that young family, the tourists, the new teacher",
    ),
    _verb(
        "cook cooked cooked cooks",
        "mushroom soup, a pot of beans, supper for everybody, fish and peppers, pasta",
    ),
    _verb(
        "build built built builds",
        "a wooden bridge, the tree house, a small boat, the garden wall, a fireplace",
    ),
    _verb("plan planned planned plans", "the wedding, a surprise party, our holiday, the project, a picnic"),
    _verb("cancel cancelled cancelled cancels", "the meeting, our trip, the concert, my order, the booking"),
    _verb(
        "finish finished finished finishes",
        "the homework, this puzzle, the whole painting, breakfast, the marathon",
    ),
    _verb(
        "carry carried carried carries",
        "the suitcase, a heavy bag, the baby, four cups of coffee, the firewood",
    ),
    _verb("plant planted planted plants", "an apple tree, forty tulips, some potatoes, a purple rose, the beans"),
    _verb("clean cleaned cleaned cleans", "the kitchen floor, both cars, the oven, the fish tank, my boots"),
    _verb(
        "teach taught taught teaches",
        "the piano, modern history, a swimming class, her brother chess, the beginners",
    ),
    _verb("feed fed fed feeds", "the chickens, our puppy, the ponies, my goldfish, both of the cats"),
    _verb(
        "photograph photographed photographed photographs",
        "the sunset, a whale, the old bridge, the whole team, a fox",
    ),
    _verb("choose chose chosen chooses", "the yellow paint, a shorter path, the menu, a new name, the music"),
    _verb(
        "break broke broken breaks",
        "the blue vase, my best plate, the garden chair, a window, the world record",
    ),
    _verb("bring brought brought brings", "a warm coat, the maps, some good food, a camera, the big umbrella"),
)

INVOLUNTARY = frozenset({"lose", "forget", "break", "hear", "find", "remember"})

SUBJECTS = (
    *(
        "Martha",
        "Peter",
        "Bob",
        "Olivia",
        "Tom",
        "Emma",
        "Victor",
        "Fiona",
        "Paul",
        "Julia",
        "Amber",
        "Felix",
    ),
    *("my brother", "my mother", "our neighbour", "the baker", "the new teacher", "her father", "the farmer"),
    *("the whole family", "my best friend", "the captain", "your uncle", "the young doctor", "somebody"),
)
PLURALS = (
    *("we", "they", "you", "my parents", "the twins", "both of them", "our friends", "the boys"),
    *("the people upstairs", "Ben and Maya", "the children", "my cousins"),
)
PAST_TIMES = (
    *("yesterday", "last week", "on Monday", "before breakfast", "this morning", "two years ago", "in May"),
    *(
        "last summer",
        "after the storm",
        "on Friday evening",
        "just in time",
        "before the film",
        "at the weekend",
    ),
)
FUTURE_TIMES = (
    *("tomorrow", "next week", "on Tuesday", "after lunch", "tonight", "before the weekend", "in February"),
    *("by five o'clock", "next spring", "for the party", "when the rain stops", "on Thursday", "very soon"),
)
HABITS = (
    *("every morning", "on Sundays", "most of the time", "before work", "once a month", "when it is warm"),
    *("in the winter", "without any help", "for the neighbours", "after school"),
)
PLACES = (
    *("at home", "by the river", "in the village", "near the station", "at the market", "behind the house"),
    *("in Paris", "on the beach", "at my office", "above the shop", "in the park", "across the bridge"),
)
SCENES = (
    ("the weather", ("warm", "awful", "beautiful", "much better", "far too wet", "perfect")),
    ("the soup", ("wonderful", "far too hot", "a bit salty", "almost ready", "very good", "cold")),
    ("the bus", ("early", "full of people", "late", "far too slow", "empty", "on time")),
    ("that film", ("funny", "far too long", "brilliant", "a bit boring", "very sad", "worth watching")),
    ("the house", ("empty", "very quiet", "full of flowers", "freezing", "bigger than ours", "for sale")),
    ("this coffee", ("bitter", "perfect", "much too strong", "lovely", "already cold", "from Brazil")),
    ("the puppy", ("asleep", "very brave", "hungry", "full of mud", "smaller than a cat", "happy")),
    ("the music", ("too loud", "beautiful", "from another room", "very old", "lovely", "a bit slow")),
    ("the path", ("steep", "covered in leaves", "open", "very muddy", "longer than before", "safe")),
    ("the answer", ("obvious", "on page four", "wrong", "very simple", "a surprise", "different")),
    ("my job", ("important", "hard work", "very quiet", "great fun", "far from home", "almost over")),
    ("the water", ("deep", "perfectly clear", "freezing", "very warm", "calm", "full of fish")),
)
REASONS = (
    *(
        "because it was cheap",
        "because nobody asked",
        "and everybody laughed",
        "and it worked",
        "but it was fun",
    ),
    *("so we were pleased", "and that was that", "which was brave", "and I believe it", "even in the rain"),
)
OPENERS = (
    "I think",
    "I believe",
    "people say",
    "I hope",
    "apparently",
    "maybe",
    "as far as I know",
    "of course",
)
YES = ("Yes", "Absolutely", "Certainly", "Exactly", "Sure", "Yes indeed", "That's right")
NO = ("No", "No no", "Certainly not", "Of course not", "Not at all", "I am afraid not")
