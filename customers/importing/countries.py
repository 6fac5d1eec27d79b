"""Country names as exports write them, and their ISO 3166-1 codes."""

from functools import lru_cache
from typing import Final

#: code → names in English, German and Chinese, and the odd spellings of real exports.
_NAMES: Final = {
    "AE": "United Arab Emirates|UAE|Vereinigte Arabische Emirate|阿联酋",
    "AR": "Argentina|Argentinien|阿根廷",
    "AT": "Austria|Österreich|奥地利",
    "AU": "Australia|Australien|澳大利亚",
    "BE": "Belgium|Belgien|比利时",
    "BG": "Bulgaria|Bulgarien|保加利亚",
    "BH": "Bahrain|巴林",
    "BR": "Brazil|Brasilien|巴西",
    "CA": "Canada|Kanada|加拿大",
    "CH": "Switzerland|Schweiz|瑞士",
    "CL": "Chile|智利",
    "CN": "China|People's Republic of China|PR China|PRC|中国|中华人民共和国",
    "CY": "Cyprus|Zypern|塞浦路斯",
    "CZ": "Czech Republic|Czechia|Tschechien|Tschechische Republik|捷克",
    "DE": "Germany|Deutschland|德国",
    "DK": "Denmark|Dänemark|丹麦",
    "EE": "Estonia|Estland|爱沙尼亚",
    "EG": "Egypt|Ägypten|埃及",
    "ES": "Spain|Spanien|西班牙",
    "FI": "Finland|Finnland|芬兰",
    "FR": "France|Frankreich|法国",
    "GB": "United Kingdom|UK|Great Britain|England|Vereinigtes Königreich|Großbritannien|英国",
    "GR": "Greece|Griechenland|希腊",
    "HK": "Hong Kong|Hongkong|香港|中国香港",
    "HR": "Croatia|Kroatien|克罗地亚",
    "HU": "Hungary|Ungarn|匈牙利",
    "ID": "Indonesia|Indonesien|印度尼西亚",
    "IE": "Ireland|EIRE|Republic of Ireland|Irland|爱尔兰",
    "IL": "Israel|以色列",
    "IN": "India|Indien|印度",
    "IS": "Iceland|Island|冰岛",
    "IT": "Italy|Italien|意大利",
    "JP": "Japan|日本",
    "KR": "South Korea|Korea|Republic of Korea|Südkorea|韩国",
    "LB": "Lebanon|Libanon|黎巴嫩",
    "LI": "Liechtenstein|列支敦士登",
    "LT": "Lithuania|Litauen|立陶宛",
    "LU": "Luxembourg|Luxemburg|卢森堡",
    "LV": "Latvia|Lettland|拉脱维亚",
    "MO": "Macao|Macau|澳门|中国澳门",
    "MT": "Malta|马耳他",
    "MX": "Mexico|Mexiko|墨西哥",
    "MY": "Malaysia|马来西亚",
    "NL": "Netherlands|The Netherlands|Holland|Niederlande|荷兰",
    "NO": "Norway|Norwegen|挪威",
    "NZ": "New Zealand|Neuseeland|新西兰",
    "PH": "Philippines|Philippinen|菲律宾",
    "PL": "Poland|Polen|波兰",
    "PT": "Portugal|葡萄牙",
    "RO": "Romania|Rumänien|罗马尼亚",
    "RS": "Serbia|Serbien|塞尔维亚",
    "RU": "Russia|Russian Federation|Russland|俄罗斯",
    "SA": "Saudi Arabia|Saudi-Arabien|沙特阿拉伯",
    "SE": "Sweden|Schweden|瑞典",
    "SG": "Singapore|Singapur|新加坡",
    "SI": "Slovenia|Slowenien|斯洛文尼亚",
    "SK": "Slovakia|Slowakei|斯洛伐克",
    "TH": "Thailand|泰国",
    "TR": "Turkey|Türkiye|Türkei|土耳其",
    "TW": "Taiwan|台湾|中国台湾",
    "UA": "Ukraine|乌克兰",
    "US": "United States|United States of America|USA|Vereinigte Staaten|美国",
    "VN": "Vietnam|Viet Nam|越南",
    "ZA": "South Africa|RSA|Südafrika|南非",
}
_CODES: Final = {name.casefold(): code for code, names in _NAMES.items() for name in names.split("|")}


@lru_cache(maxsize=4096)
def country_code(text: str) -> str:
    """The ISO 3166-1 alpha-2 code where it is known, else the text as it was given."""
    if len(text) == 2 and text.isascii() and text.isalpha():
        return "GB" if text.upper() == "UK" else text.upper()
    return _CODES.get(text.casefold(), text)
