"""What posts say: sentences of invented words that look like their language.

Owns: a fixed pool of sentences per language. Leaves to others: which post has which (``render_post``).
"""

import random
from functools import cache

POOL = 512
_SYLLABLES = {
    "en": "the ing er an ma st re lo con ver cat day for wa ter ra in so ly ment ble tion ha",
    "pt": "que ção não de mar ra lho sa bra do lin to és pe ri na gem ver uma ta",
    "es": "que ción de mar ra llo sa el do lin to ñe pe ri na jo ver una ta los",
    "de": "die ung sch ein ver ge hen ber keit ra wal ter und ßer mü den stadt ich zu",
    "fr": "que tion les des mar ra lle ou eau jour é ve ment pas un la ri ère toi",
    "ja": "今日 の は 猫 を 見た いい ね です から ちょっと 電車 まで 雨 新しい 絵 描く も 本 楽しい",
}


@cache
def sentences(language: str) -> tuple[str, ...]:
    """Return POOL sentences of a language, 20 to 220 characters each."""
    rng = random.Random(f"sentences {language}")
    syllables = _SYLLABLES[language].split()
    glue = "" if language == "ja" else " "
    result = []
    for _ in range(POOL):
        words = ("".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(rng.randint(5, 26)))
        text = glue.join(words)
        result.append(text[0].upper() + text[1:220] + ("。" if language == "ja" else rng.choice(".…!?")))
    return tuple(result)
