"""Where the demo's customers live and what people and firms are called there."""

import unicodedata
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Place:
    """One country: how likely a customer lives there, and its names. `forms` are patterns of firm names."""

    country: str
    share: float
    language: str
    zone: str
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    forms: tuple[str, ...]
    phone: str


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PLACES: Final = (
    Place("DE", 0.40, "de", "Europe/Berlin",
          _words("Anna Jörg Sabine Thomas Katrin Stefan Ursula Jürgen Lena Matthias Birgit Wolfgang Heike Uwe"),
          _words("Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Köhler "
                 "Krüger Böhm Vogt Lindner Größmann Petersen Brandt Jäger"),
          ("{0} {1} GmbH", "{0} & {2} {1}", "{1} {0} KG", "{0} {1} eG"), "+49 40"),
    Place("AT", 0.06, "de", "Europe/Vienna",
          _words("Franz Theresa Lukas Elisabeth Florian Johanna"), _words("Gruber Huber Pichler Steiner Moser Bauer"),
          ("{0} {1} GmbH", "{1} {0} OG"), "+43 1"),
    Place("CH", 0.05, "de", "Europe/Zurich",
          _words("Reto Ursina Beat Nadja Urs Claudia"), _words("Brunner Keller Meier Zürcher Frei Gerber"),
          ("{0} {1} AG", "{1} {0} AG"), "+41 44"),
    Place("GB", 0.14, "en-GB", "Europe/London",
          _words("Oliver Amelia Harry Isla George Sophie Thomas Emily Arthur Grace"),
          _words("Smith Jones Taylor Brown Wilson Davies Evans Walker Wright O'Neill Hughes Clarke"),
          ("{0} {1} Ltd", "{0} & {2} {1}", "{0} {1} LLP"), "+44 20"),
    Place("FR", 0.09, "fr", "Europe/Paris",
          _words("Élodie François Hélène Guillaume Chloé Benoît Inès Théo"),
          _words("Martin Lefèvre Moreau Girard Garçon Chevalier Dubois Rousseau"),
          ("{1} {0} SARL", "{0} {1} SAS", "{0} et {2} {1}"), "+33 1"),
    Place("NL", 0.07, "nl", "Europe/Amsterdam",
          _words("Sanne Daan Femke Bram Lotte Sjoerd"), _words("Jansen Visser Bakker Mulder Hendriks Dijkstra"),
          ("{0} {1} B.V.", "{1} {0} B.V."), "+31 20"),
    Place("ES", 0.06, "es", "Europe/Madrid",
          _words("Íñigo Lucía Álvaro Begoña Martín Sofía"), _words("García Muñoz Fernández Ibáñez Peña López"),
          ("{1} {0} S.L.", "{0} y {2} {1} S.A."), "+34 91"),
    Place("PL", 0.05, "pl", "Europe/Warsaw",
          _words("Łukasz Małgorzata Paweł Agnieszka Krzysztof Zofia"), _words("Nowak Wójcik Zając Król Wróbel Dąbek"),
          ("{1} {0} sp. z o.o.",), "+48 22"),
    Place("SE", 0.04, "sv", "Europe/Stockholm",
          _words("Åsa Björn Maja Göran Linnea Östen"), _words("Lindström Åkesson Sjöberg Nyström Öberg Holm"),
          ("{0} {1} AB",), "+46 8"),
    Place("CN", 0.04, "zh-CN", "Asia/Shanghai",
          _words("伟 芳 敏 静 磊 洋 婷 强"), _words("王 李 张 刘 陈 杨 赵 黄"),
          ("{0}氏{1}有限公司",), "+86 21"),
)  # fmt: skip

#: Trade → what it is called in English, German and Chinese firm names.
TRADES: Final = {
    "accounting": ("Accounting", "Steuerberatung", "会计"),
    "architecture": ("Architects", "Architekten", "建筑设计"),
    "bank": ("Finance", "Finanzen", "金融"),
    "clinic": ("Clinics", "Praxis", "医疗"),
    "construction": ("Construction", "Bau", "建筑"),
    "insurance": ("Insurance", "Versicherungen", "保险"),
    "law": ("Law", "Rechtsanwälte", "法律"),
    "logistics": ("Logistics", "Spedition", "物流"),
    "manufacturing": ("Works", "Werke", "制造"),
    "retail": ("Trading", "Handel", "贸易"),
    "school": ("Academy", "Akademie", "教育"),
    "software": ("Software", "Software", "软件"),
}

_ROMAN = str.maketrans({"ß": "ss", "Ł": "L", "ł": "l", "Ø": "O", "ø": "o"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_PINYIN: Final = {
    "伟": "wei", "芳": "fang", "敏": "min", "静": "jing", "磊": "lei", "洋": "yang", "婷": "ting", "强": "qiang",
    "王": "wang", "李": "li", "张": "zhang", "刘": "liu", "陈": "chen", "杨": "yang", "赵": "zhao", "黄": "huang",
}  # fmt: skip


def trade_name(trade: str, place: Place) -> str:
    """The trade as a firm of the place writes it."""
    english, german, chinese = TRADES[trade]
    return {"de": german, "zh": chinese}.get(place.language[:2], english)


def plain(name: str, *, german: bool = False) -> str:
    """The name in the letters of domain names: `Größmann` becomes `groessmann`, `王` becomes `wang`."""
    spelled = "".join(_PINYIN.get(char, char) for char in name).translate(_ROMAN)
    spelled = spelled.translate(_UMLAUTS) if german else spelled
    bare = unicodedata.normalize("NFD", spelled).encode("ascii", "ignore").decode().lower()
    return "".join(char for char in bare if char.isalnum())
