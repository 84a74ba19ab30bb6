"""What posts say: short sentences about a topic, in a language.

Owns: a fixed pool of sentences for each language and topic. Leaves to others: the words (``topic_words``), which post
has which sentence (``render_post``).
"""

import random
from functools import cache

from pipeline.simulate.lines.topic_words import TEMPLATES, WORDS

POOL = 512


@cache
def sentences(language: str, topic: str) -> tuple[str, ...]:
    """Return POOL sentences about a topic, the same ones whenever they are made."""
    rng = random.Random(f"sentences {language} {topic}")
    words = (WORDS[language].get(topic) or WORDS["en"][topic]).split(",")
    result = []
    for _ in range(POOL):
        first, second = rng.sample(words, 2)
        text = rng.choice(TEMPLATES[language]).format(a=first, b=second)
        result.append(text[0].upper() + text[1:])
    return tuple(result)
