"""The encoding of bytes.

charset-normalizer alone is too weak for tables, whose words are few: it takes Greek names for Cyrillic and
Portuguese ones for Romanian. Here it only tells multi-byte encodings apart; among single-byte ones that gives
the letters that a language writes decides.
"""

from __future__ import annotations

import codecs
import re
from itertools import pairwise

__all__ = ["detect_encoding"]

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WEST, _CENTRAL = ("cp1252", "iso8859_15", "mac_roman", "cp850"), ("cp1250", "iso8859_2", "cp852")
_CYRILLIC = ("cp1251", "koi8_r", "iso8859_5", "cp866")
# Letters beyond ASCII that a language writes in Latin script, with the encodings used for it, usual first.
_LATIN = (
    ("äöüß", _WEST),
    ("éèêëàâçùûôîïœ", _WEST),
    ("áéíóúñü", _WEST),
    ("áâãàçéêíóôõú", _WEST),
    ("àèéìòù", _WEST),
    ("æøåé", _WEST),
    ("åäöé", _WEST),
    ("ąćęłńóśźż", _CENTRAL),
    ("áčďéěíňóřšťúůýž", _CENTRAL),
    ("áäčďéíĺľňóôŕšťúýž", _CENTRAL),
    ("áéíóöőúüű", _CENTRAL),
    ("čćđšž", _CENTRAL),
    ("ăâîşţ", _CENTRAL),
    ("çğıöşüi̇", ("cp1254",)),
    ("ąčęėįšųūž", ("cp1257",)),
)
_SYMBOLS = "°²³µ€£§–—‘’“”…±½«»×·®©™\xa0"
# The letters that make up most of a text, the alphabet, and the encodings, of other scripts.
_SCRIPTS = (
    ("оеаинтсрвл", "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґ", _CYRILLIC),
    ("αοιετσνςρηάέίόύή", "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ", ("cp1253", "iso8859_7")),
    ("יוהלארתבשמ", "אבגדהוזחטיךכלםמןנסעףפץצקרשת", ("cp1255",)),
    ("اليموتنبرةع", "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي", ("cp1256", "iso8859_6")),
)
_MULTIBYTE = ("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr")
_WORD = re.compile(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*")
_SAMPLE = 1 << 15


def detect_encoding(head: bytes, *more: bytes) -> str:
    """The encoding of parts of a file: byte order mark, UTF-16 by its zeros, UTF-8, then statistics.

    Args:
        head: the beginning of the file.
        more: parts from further inside; like the head, each may end inside a character.
    """
    sample = b"".join([head, *more])
    for bom, name in _BOMS:
        if sample.startswith(bom):
            return name
    even, odd = sample[0:4096:2].count(0), sample[1:4096:2].count(0)
    if max(even, odd) > 0.3 * len(sample[:4096:2]) and min(even, odd) < 0.1 * max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return "utf-8" if all(map(_is_utf8, (head, *more))) else _guess(sample)


def _is_utf8(part: bytes) -> bool:
    """Valid but for a cut end, or nearly so: stray bytes among many valid sequences are damage."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(part)
    except UnicodeDecodeError:
        text = part.decode("utf-8", "replace")
        broken = text.count("\ufffd") - part.count("\ufffd".encode())
        return len(re.findall(r"[^\x00-\x7f\ufffd]", text)) > 20 * broken
    return True


def _guess(sample: bytes) -> str:
    words = b" ".join(_WORD.findall(sample)[:5000])[:_SAMPLE]
    high = len(words.translate(None, bytes(range(128))))
    if high * 2 <= len(words.replace(b" ", b"")):
        return max(_latin_scores(words), default=(0.0, "cp1252"), key=lambda item: item[0])[1]
    score, best = max(_script_scores(words), key=lambda item: item[0])
    # Nothing but letters of one alphabet, mostly its frequent ones: not by chance.
    return best if score > 1.4 else _multibyte(sample) or best


def _multibyte(sample: bytes) -> str | None:
    from charset_normalizer import from_bytes

    lines = b"\n".join(line for line in re.split(rb"[\r\n]+", sample) if not line.isascii())
    # The Cyrillic one is there as a way out: without any the best of a bad lot would be taken.
    best = from_bytes(lines[:_SAMPLE], cp_isolation=[*_MULTIBYTE, "cp1251", "cp1256"]).best()
    return best.encoding if best and best.encoding in _MULTIBYTE else None


def _latin_scores(words: bytes) -> list[tuple[float, str]]:
    """Per encoding the share of its letters that one language explains; a mixture of languages is less."""
    western = "".join(sorted({letter for letters, names in _LATIN if names is _WEST for letter in letters}))
    candidates = [*_LATIN, (western + _SYMBOLS, _WEST)]
    return [
        (_share(words, name, letters) * (0.9 if letters.startswith(western) else 1.0), name)
        for letters, names in candidates
        for name in names
    ]


def _script_scores(words: bytes) -> list[tuple[float, str]]:
    return [
        (_share(words, name, letters) + _share(words, name, frequent) - _odd_capitals(words, name), name)
        for frequent, letters, names in _SCRIPTS
        for name in names
    ]


def _share(words: bytes, encoding: str, letters: str) -> float:
    """The share of the characters beyond ASCII that are among the letters given."""
    beyond = [char for char in words.decode(encoding, "replace").lower() if not char.isascii()]
    return sum(char in letters for char in beyond) / max(1, len(beyond))


def _odd_capitals(words: bytes, encoding: str) -> float:
    """The share of capitals that follow a small letter: in KOI8 and Windows the two change places."""
    text = words.decode(encoding, "replace")
    return sum(a.islower() and b.isupper() for a, b in pairwise(text)) / len(text)
