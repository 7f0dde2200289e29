import itertools

from corpora.sentences import KINDS, draw_sentences, join_sentences, parse_marked


def test_the_same_seed_gives_the_same_sentences_and_another_seed_others():
    assert draw_sentences(50, seed=3) == draw_sentences(50, seed=3)
    assert draw_sentences(50, seed=3) != draw_sentences(50, seed=4)


def test_a_longer_draw_begins_with_the_shorter_one():
    assert draw_sentences(40, seed=[1, 2])[:10] == draw_sentences(10, seed=[1, 2])


def test_sentences_of_a_draw_are_all_different_and_the_grammar_is_far_larger_than_a_corpus():
    first, second = draw_sentences(3000, seed=0), draw_sentences(3000, seed=1)
    texts = {s.text for s in first}
    assert len(texts) == 3000
    # Two draws of n from N share about n * n / N: at most 90 in common puts N above 100,000.
    assert len(texts & {s.text for s in second}) <= 90


def test_every_kind_occurs_and_the_vocabulary_has_hundreds_of_words():
    sentences = draw_sentences(3000, seed=0)
    assert {s.kind for s in sentences} == set(KINDS)
    assert len({w.text.lower() for s in sentences for w in s.words}) > 400


def test_words_lie_where_they_say_in_the_text_and_cover_it():
    for sentence in draw_sentences(300, seed=5):
        for word in sentence.words:
            assert sentence.text[word.char_start : word.char_end] == word.text
        for before, after in itertools.pairwise(sentence.words):
            between = sentence.text[before.char_end : after.char_start]
            assert between.strip(" ,") == ""
        assert sentence.text[0].isupper() and sentence.text[-1] in ".?" and "*" not in sentence.text


def test_tags_follow_the_kind_of_sentence():
    for sentence in draw_sentences(500, seed=6):
        assert any(w.stressed for w in sentence.words)
        if sentence.kind == "negation":
            assert any(w.negation for w in sentence.words)
        assert any(w.affirmation for w in sentence.words) == (sentence.kind == "affirmation")
        assert bool(sentence.emphasis) == (sentence.kind == "emphasis")
        assert sentence.text.endswith("?") == (sentence.kind == "question")


def test_joined_sentences_keep_their_words_in_place():
    first, second = parse_marked("We *know.", "statement"), parse_marked("Nobody **saw it.", "negation")
    joined = join_sentences([first, second])
    assert joined.text == "We know. Nobody saw it." and joined.kind == "statement+negation"
    assert [joined.text[w.char_start : w.char_end] for w in joined.words] == ["We", "know", "Nobody", "saw", "it"]
    assert joined.emphasis == [(16, 19)]
    assert [w.text for w in joined.words if w.negation] == ["Nobody"]
