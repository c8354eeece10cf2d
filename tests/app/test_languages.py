"""The Korean interface: every text of a page and sentence of the server has a translation, and no other."""

import json
import re
from collections.abc import Mapping
from typing import get_args

import pytest

from helpers.app_code import APP, page_texts, refusals, spoken
from helpers.app_sentences import facts, findings
from helpers.browser import chromium, served, tab
from unnoise.app.languages import dictionary, patterns, sentence_translator, translator
from unnoise.reports.doctor.findings import Kind

__all__ = ["chromium", "tab"]

KOREAN: Mapping[str, str] = dictionary("ko")
SAME = {"GIF", "MP4", "PNG", "npz", "log-SNR", "offset cosine"}
"""Names that are the same in both languages."""
POLITE = re.compile(r"(다|요)(\([^()]+\))?[.?]$")
HANGUL = re.compile("[가-힣]")
PLACEHOLDER = re.compile(r"\{\w+\}")
NOT_IN_JAVASCRIPT = re.compile(r"\(\?P|\(\?[a-z]|\\[AZ]|[*+?}]\+")


@pytest.fixture(scope="module")
def said():
    """Sentences that the code makes."""
    found = findings()
    return [*{*(one.text for one in found), *(one.kind for one in found), *facts(), *spoken()}]


def parts(pattern, sentence):
    """The sentence, and what is translated within it."""
    yield sentence
    for regex, translation in pattern:
        if found := re.fullmatch(regex, sentence, re.DOTALL):
            for number in re.findall(r"\{(\d)\}", translation):
                yield from parts(pattern, found[int(number)])
            return


# --- texts of pages ------------------------------------------------------------------------------------------


def test_every_text_of_a_page_has_a_korean_one_and_there_are_no_others():
    texts = page_texts()
    assert len(texts) > 200
    assert {text: file for text, file in texts.items() if text not in KOREAN} == {}
    assert [text for text in KOREAN if text not in texts] == []
    assert [*KOREAN] == sorted(KOREAN)


def test_korean_texts_are_korean_and_fill_in_the_same_values():
    for english, korean in KOREAN.items():
        assert korean == english if english in SAME else HANGUL.search(korean), english
        assert sorted(PLACEHOLDER.findall(korean)) == sorted(PLACEHOLDER.findall(english)), english
        assert korean == korean.strip()


def test_no_particle_hangs_on_a_value():
    particles = re.compile(r"}(을|를|은|는|이|가|와|과|으로|로)(?![가-힣])|이\(가\)|을\(를\)|은\(는\)|\(으\)로")
    for korean in [*KOREAN.values(), *(translation for _, translation in patterns("ko"))]:
        assert not particles.search(re.sub(r"\$\d", "}", korean)), korean


def test_sentences_end_politely():
    texts = [korean for english, korean in KOREAN.items() if english.endswith((".", "?"))]
    sentences = [korean for regex, korean in patterns("ko") if regex.endswith("\\.")]
    assert min(len(texts), len(sentences)) > 80
    assert [korean for korean in [*texts, *sentences] if not POLITE.search(korean)] == []
    assert not any("십시오" in korean for korean in texts + sentences), "asked as on the page about the app"


def test_values_are_filled_in():
    assert translator("ko")("{n} pictures", n=3) == "그림 3장"
    assert translator("en")("{n} pictures", n=3) == "3 pictures"


# --- sentences of the server ---------------------------------------------------------------------------------


def test_patterns_are_regular_expressions_of_both_languages():
    for regex, translation in patterns("ko"):
        assert not NOT_IN_JAVASCRIPT.search(regex), regex
        groups = {int(number) for number in re.findall(r"[${](\d)", translation)}
        assert groups <= set(range(1, re.compile(regex).groups + 1)), regex
        assert HANGUL.search(translation) or groups, translation


def test_every_pattern_is_the_first_for_a_sentence_that_the_code_makes(said):
    known = patterns("ko")
    met = set()
    for part in {part for sentence in said for part in parts(known, sentence)}:
        met |= {next((regex for regex, _ in known if re.fullmatch(regex, part, re.DOTALL)), "")}
    assert [regex for regex, _ in known if regex not in met] == []


def test_every_kind_of_finding_is_translated():
    translate = sentence_translator("ko")
    found = findings()
    assert {finding.kind for finding in found} == set(get_args(Kind))
    for finding in found:
        assert POLITE.search(translate(finding.text)), finding.text
        assert HANGUL.search(translate(finding.kind)), finding.kind


def test_facts_are_translated():
    translate = sentence_translator("ko")
    assert [text for text in facts() if not HANGUL.search(translate(text))] == []
    assert translate("in 10 minutes") == "10분 동안"
    forecast = translate("after 2 to 7 minutes, a rough guess from other runs")
    assert forecast == "2~7분 뒤(다른 모델에서 어림잡은 값)"
    assert translate("3 .txt, 2 without suffix") == ".txt 3개, 확장자 없음 2개"


def test_every_error_of_the_app_is_translated():
    translate = sentence_translator("ko")
    errors = {*refusals()}
    assert len(errors) > 70
    assert [(file, text) for file, text in sorted(errors) if not HANGUL.search(translate(text))] == []


def test_what_is_not_known_and_english_stay_as_they_are():
    sentence = "Something that nobody has translated."
    assert sentence_translator("ko")(sentence) == sentence
    assert sentence_translator("en")("Cancelled.") == "Cancelled."


def test_a_page_translates_as_the_server_does(tab, said):
    said = [*said, "not known", "a\nb", "A file needs a name.", "$1 cannot be moved: $2."]
    with served(APP / "static") as address:
        tab.goto(address)
        translated = tab.evaluate(
            """async ([patterns, sentences]) => {
                const given = document.createElement("script");
                Object.assign(given, { id: "patterns", type: "application/json", textContent: patterns });
                document.head.append(given);
                const { tr } = await import("/js/translate.js");
                return sentences.map((one) => tr(one));
            }""",
            [json.dumps(patterns("ko")), said],
        )
    assert translated == [sentence_translator("ko")(one) for one in said]
