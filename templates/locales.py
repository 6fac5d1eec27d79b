"""The few words and habits of a language that mailings need: months, number signs, the footer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True, eq=False)  # told apart by identity: it is part of the key of caches
class Locale:
    """How a language writes dates and numbers, and what the footer says."""

    months: tuple[str, ...]
    weekdays: tuple[str, ...]  # Monday first
    date: str  # the pattern of `date` without arguments
    thousands: str
    decimal: str
    symbol_first: bool
    unsubscribe: str
    preferences: str
    view: str


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LOCALES: Final[Mapping[str, Locale]] = {
    "en": Locale(
        _words("January February March April May June July August September October November December"),
        _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
        "%-d %B %Y",
        ",",
        ".",
        True,
        "Unsubscribe",
        "Preferences",
        "View in browser",
    ),
    "de": Locale(
        _words("Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
        _words("Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag"),
        "%-d. %B %Y",
        ".",
        ",",
        False,
        "Abbestellen",
        "Einstellungen",
        "Im Browser ansehen",
    ),
    "fr": Locale(
        _words("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
        _words("lundi mardi mercredi jeudi vendredi samedi dimanche"),
        "%-d %B %Y",
        "\u202f",
        ",",
        False,
        "Se désabonner",
        "Préférences",
        "Voir dans le navigateur",
    ),
    "es": Locale(
        _words("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"),
        _words("lunes martes miércoles jueves viernes sábado domingo"),
        "%-d de %B de %Y",
        ".",
        ",",
        False,
        "Darse de baja",
        "Preferencias",
        "Ver en el navegador",
    ),
    "zh": Locale(
        tuple(f"{number}月" for number in range(1, 13)),
        _words("星期一 星期二 星期三 星期四 星期五 星期六 星期日"),
        "%Y年%-m月%-d日",
        ",",
        ".",
        True,
        "退订",
        "订阅设置",
        "在浏览器中查看",
    ),
}


@lru_cache(maxsize=256)
def locale_of(language: str | None) -> Locale:
    """The habits of `language` (`de`, `de-AT`, `zh_CN`); English for one that is not known."""
    primary = str(language or "en").replace("_", "-").partition("-")[0].lower()
    return LOCALES.get(primary, LOCALES["en"])
