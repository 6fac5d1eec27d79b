"""`consent` in clarion.yaml: built-in profiles that can only be made stricter, and profiles of one's own."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from campaigns.subject_labels import feigns_an_answer, label_countries, labelled
from core.consent_evidence import lacks, proof_of
from core.consent_settings import BUILT_IN, ConsentSettings, profile_of
from core.settings import Topic
from suppression.commands.consenting import BASES
from suppression.policy import Policy


def profiles(**rules):
    return ConsentSettings.model_validate({"profiles": rules}).resolved()


@pytest.mark.parametrize(
    ("country", "name"),
    [("US", "us"), ("PR", "us"), ("CA", "ca"), ("GB", "uk"), ("JE", "uk"), ("DE", "eu"), ("NO", "eu"), ("CH", "eu"),
     ("AU", "au"), ("CN", "cn"), ("HK", "strict"), ("TW", "strict"), ("BR", "strict"), (None, "strict"), ("", "strict"),
     ("Bavaria", "strict"), ("de", "strict")],
)  # fmt: skip
def test_a_country_is_under_one_profile(country, name):
    """
    Every country has the profile of its law, and whoever lives nowhere we know the strictest.
    """
    assert name == profile_of(country, BUILT_IN).name


def test_no_country_has_two_profiles():
    """
    The European Union is whole, and no country is listed twice.
    """
    countries = [code for profile in BUILT_IN for code in profile.countries]

    assert len(countries) == len(set(countries))
    assert 27 + 4 == len(next(profile for profile in BUILT_IN if profile.name == "eu").countries)


def test_strict_takes_no_basis_that_another_profile_does_not():
    """
    The strictest profile is at least as strict as each of the others (S-5.19).
    """
    strict = BUILT_IN[-1]

    assert all(set(strict.bases) <= set(profile.bases) for profile in BUILT_IN)
    assert {"opt_in"} == {strict.tracking}


def test_a_built_in_profile_can_be_tightened():
    """
    Fewer bases, double opt-in, tracking only after a yes; firms' bases go with an own list.
    """
    resolved = {
        each.name: each for each in profiles(us={"bases": ["consent"], "confirmed": True, "tracking": "opt_in"})
    }
    uk = {each.name: each for each in profiles(uk={"bases": ["consent"]})}["uk"]

    assert (("consent",), True, "opt_in") == (
        resolved["us"].bases, resolved["us"].confirmed, resolved["us"].tracking,
    )  # fmt: skip
    assert ((), ("consent",)) == (uk.corporate_bases, uk.bases)
    assert "strict" == profiles()[-1].name


def test_a_profile_of_ones_own_is_for_countries_without_one():
    """
    Its countries are under it, and only its bases count there.
    """
    found = profile_of("BR", profiles(brazil={"countries": ["BR"], "bases": ["consent", "legitimate_interest"]}))

    assert ("brazil", ("consent", "legitimate_interest"), "opt_in") == (found.name, found.bases, found.tracking)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"eu": {"bases": ["consent", "implied"]}}, "'eu' can only be made stricter (got implied"),
        ({"strict": {"bases": ["soft_opt_in"]}}, "'strict' can only be made stricter"),
        ({"cn": {"tracking": "opt_out"}}, "'cn' can only be made stricter (got tracking 'opt_out'"),
        ({"eu": {"countries": ["TR"]}}, "the countries of 'eu' are built in"),
        ({"mine": {"bases": ["consent"]}}, "'mine' has no countries"),
        ({"mine": {"countries": ["DE"]}}, "DE of 'mine' has a profile already"),
        ({"one": {"countries": ["BR"]}, "two": {"countries": ["BR"]}}, "BR of 'two' has a profile already"),
        ({"us": {"bases": []}}, "'us' accepts no basis"),
    ],
)
def test_a_profile_that_would_loosen_the_law_is_a_mistake(rules, words):
    """
    Each says what is wrong with what is written there.
    """
    with pytest.raises(ValidationError) as caught:
        profiles(**rules)

    assert words in str(caught.value)


def test_all_mistakes_are_told_at_once():
    """
    Two wrong profiles are two mistakes of one message.
    """
    with pytest.raises(ValidationError) as caught:
        profiles(eu={"countries": ["TR"], "tracking": "opt_out"}, mine={})

    assert all(words in str(caught.value) for words in ("are built in", "tracking", "'mine' has no countries"))


def test_policies_that_say_the_same_are_one():
    """
    Equal settings give equal policies with one hash, so that statements are built once.
    """
    one, other = (Policy(profiles=profiles(us={"confirmed": True})) for _ in range(2))

    assert (one, hash(one)) == (other, hash(other))
    assert one != Policy()


def test_commands_name_the_bases_of_the_settings():
    """
    The choices of `--basis` are what settings may name.
    """
    assert set(BASES) == {basis for profile in BUILT_IN for basis in profile.bases}


def test_examples_of_the_docs_are_settings():
    """
    What docs/permission.md shows is understood as it stands.
    """
    page = (Path(__file__).parents[2] / "docs" / "permission.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    found = [ConsentSettings.model_validate(each["consent"]) for each in examples if "consent" in each]

    assert [3, 0] == [len(each.profiles) for each in found]
    assert Topic.model_validate(next(each for each in examples if "topics" in each)["topics"]["news"]).confirmed


# --- evidence ------------------------------------------------------------------------------------------------------


def test_evidence_is_read_in_the_words_people_use():
    """
    Yes and no, who it is, what there was between us; everything else stays as it stands, and blanks say nothing.
    """
    said = {"sale": "A-17", "similar_products": "Ja", "opt_out_offered": "no", "subscriber": "Firma",
            "relation": "enquiry", "form": "f1", "note": " "}  # fmt: skip

    assert {
        "sale": "A-17", "similar_products": True, "opt_out_offered": False, "subscriber": "corporate",
        "relation": "inquiry", "form": "f1",
    } == proof_of(said)  # fmt: skip
    assert ("opt_out_offered",) == lacks(proof_of(said))


@pytest.mark.parametrize("word", [("similar_products", "perhaps"), ("subscriber", "robot"), ("relation", "friend")])
def test_evidence_that_says_nothing_clear_is_refused(word):
    """
    A word that is not understood is told, and what would be.
    """
    with pytest.raises(ValueError, match="expected"):
        proof_of(dict([word]))


# --- subjects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "country", "language", "expected"),
    [
        ("Paper", "CN", "zh-CN", "广告 Paper"),
        ("Paper", "CN", None, "广告 Paper"),
        ("Paper", "CN", "en", "AD Paper"),
        ("纸", "CN", "zh", "广告 纸"),
        ("广告:纸", "CN", "zh", "广告:纸"),
        ("【广告】纸", "CN", "zh", "【广告】纸"),
        ("AD: paper", "CN", "en", "AD: paper"),
        ("ADIDAS shoes", "CN", "en", "AD ADIDAS shoes"),
        ("Paper", "DE", "zh", "Paper"),
        ("Paper", "HK", "zh", "Paper"),
        ("Paper", None, None, "Paper"),
    ],
)
def test_mail_to_china_says_that_it_is_advertising(subject, country, language, expected):
    """
    The label stands in front for customers in China alone, once, in words they read (S-5.10).
    """
    countries = label_countries(Policy())

    assert expected == labelled(subject, country, language, countries)
    assert expected == labelled(expected, country, language, countries)


@pytest.mark.parametrize(
    ("subject", "feigned"),
    [("Re: your order", True), ("RE[2]: hello", True), ("Fwd: look", True), ("AW: Angebot", True), ("回复：您好", True),
     ("WG: x", True), (" re : x", True), ("Return to us", False), ("Really: cheap", False), ("Offer: re: paper", False),
     ("Refund", False)],
)  # fmt: skip
def test_a_subject_that_feigns_an_answer_is_noticed(subject, feigned):
    """
    As that of an answer or a forwarded mail, in any usual language, and nothing that merely begins alike (S-5.4).
    """
    assert feigned is feigns_an_answer(subject)
