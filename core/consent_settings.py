"""`consent` in `clarion.yaml`: whose yes counts, country by country (S-5.6 to S-5.10, S-5.12, S-5.17, S-5.19).

What the law of a country asks for is built in. A workspace may ask for more and never for less, and adds profiles
for countries that have none. Who lives nowhere we know is under `strict`, as is everybody without a profile.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from core.field_types import Name
from core.yaml_files import Section

Basis = Literal["consent", "soft_opt_in", "contract", "legitimate_interest", "implied"]
Default = Literal["opt_out", "opt_in"]
CountryCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]

#: The profile of countries that have none, and of customers whose country is not known.
STRICT: Final = "strict"
#: Without `tracking`: who did not object is tracked.
_OPT_OUT: Final = "opt_out"


@dataclass(frozen=True, slots=True)
class Profile:
    """The rules for the customers of some countries."""

    name: str
    countries: tuple[str, ...]  # ISO 3166-1; none of `strict`
    bases: tuple[str, ...]  # those that count
    corporate_bases: tuple[str, ...] = ()  # those that count for firms only (proof: subscriber = corporate)
    proven_bases: tuple[str, ...] = ("soft_opt_in",)  # those that count only with their evidence on record
    confirmed: bool = False  # a yes counts only once it was confirmed by a link in a mail
    tracking: str = "opt_in"  # whether opens and clicks are recorded of somebody who never said anything
    labelled: bool = False  # the subject of bulk mail begins with 广告 or AD
    ends_implied: bool = False  # bases other than a person's word end by themselves, some months on


_EU: Final = (
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
    "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
)  # fmt: skip
#: The European Economic Area and Switzerland, whose rules on mail are alike.
_LIKE_EU: Final = ("CH", "IS", "LI", "NO")

BUILT_IN: Final = (
    Profile("us", ("AS", "GU", "MP", "PR", "UM", "US", "VI"),
            ("consent", "soft_opt_in", "contract", "legitimate_interest", "implied"), proven_bases=(),
            tracking="opt_out"),
    Profile("ca", ("CA",), ("consent", "contract", "implied"), tracking="opt_out", ends_implied=True),
    Profile("uk", ("GB", "GG", "IM", "JE"), ("consent", "soft_opt_in"), corporate_bases=("legitimate_interest",)),
    Profile("eu", (*_EU, *_LIKE_EU), ("consent", "soft_opt_in")),
    Profile("au", ("AU", "CC", "CX", "NF"), ("consent", "contract", "implied"), tracking="opt_out"),
    Profile("cn", ("CN",), ("consent",), labelled=True),
    Profile(STRICT, (), ("consent",)),
)  # fmt: skip
_BY_NAME: Final = {profile.name: profile for profile in BUILT_IN}


class ProfileSettings(Section):
    """One profile: a built-in one made stricter, or one of the workspace's own."""

    countries: tuple[CountryCode, ...] = ()  # of a profile of your own
    bases: tuple[Basis, ...] | None = None  # None: the built-in ones; for a profile of your own `consent` alone
    confirmed: bool = False
    tracking: Default | None = None


class ConsentSettings(Section):
    """What a yes has to be, and what may be recorded without one."""

    tracking: Literal["opt_out", "opt_in", "by_profile"] = _OPT_OUT  # of opens and clicks
    profiling: Default = "opt_out"  # whether a segment may choose by behaviour among those who never said anything
    profiles: dict[Name, ProfileSettings] = Field({})

    @model_validator(mode="after")
    def _only_stricter(self) -> Self:
        mistakes = [mistake for name, rules in self.profiles.items() for mistake in _mistakes(name, rules)]
        taken = [code for profile in BUILT_IN for code in profile.countries]
        for name, rules in self.profiles.items():
            if name not in _BY_NAME:
                mistakes += [f"{code} of {name!r} has a profile already" for code in rules.countries if code in taken]
                taken += rules.countries
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self

    def resolved(self) -> tuple[Profile, ...]:
        """Every profile as it is in force; `strict` is the last."""
        own = [
            Profile(name, rules.countries, rules.bases or ("consent",), confirmed=rules.confirmed,
                    tracking=rules.tracking or "opt_in")
            for name, rules in self.profiles.items() if name not in _BY_NAME
        ]  # fmt: skip
        return (*own, *(self._tightened(profile) for profile in BUILT_IN))

    def _tightened(self, profile: Profile) -> Profile:
        rules = self.profiles.get(profile.name)
        if rules is None:
            return profile
        bases = profile.bases if rules.bases is None else rules.bases
        corporate = profile.corporate_bases if rules.bases is None else ()
        return replace(
            profile, bases=bases, corporate_bases=corporate, confirmed=rules.confirmed,
            tracking=rules.tracking or profile.tracking,
        )  # fmt: skip


def _mistakes(name: str, rules: ProfileSettings) -> list[str]:
    """What a profile says that it may not."""
    built_in = _BY_NAME.get(name)
    if built_in is None:
        return [] if rules.countries else [f"{name!r} has no countries (built-in profiles: {', '.join(_BY_NAME)})"]
    found = [f"the countries of {name!r} are built in"] if rules.countries else []
    looser = [basis for basis in rules.bases or () if basis not in built_in.bases]
    if looser:
        expected = " or ".join(built_in.bases)
        found.append(f"{name!r} can only be made stricter (got {', '.join(looser)}, expected {expected})")
    if rules.bases == ():
        found.append(f"{name!r} accepts no basis, expected at least 'consent'")
    if rules.tracking == "opt_out" and built_in.tracking == "opt_in":
        found.append(f"{name!r} can only be made stricter (got tracking 'opt_out', expected 'opt_in')")
    return found


def profile_of(country: str | None, profiles: tuple[Profile, ...]) -> Profile:
    """The one of `profiles` (as `ConsentSettings.resolved` gives them) that the country is under."""
    return next((profile for profile in profiles if country in profile.countries), profiles[-1])
