"""Generated people and places: names, logins, telephones, addresses and coordinates."""

from __future__ import annotations

from aegir_dspy.training.generated.checks import fill
from aegir_dspy.training.generated.pools import Cell, Maker, Scene, ascii_word, pool

__all__ = ["PEOPLE", "login"]


def _faked(kind: str) -> Maker:
    """Columns of one Faker provider in the table's locale; some in capitals."""

    def maker(scene: Scene) -> Cell:
        values, rng = pool(scene.locale, kind), scene.rng
        if rng.random() < 0.08:
            return lambda row: rng.choice(values).upper()
        return lambda row: rng.choice(values)

    return maker


# --- people ---------------------------------------------------------------------------------------


def _given(scene: Scene) -> Cell:
    return lambda row: scene.person(row)[0]


def _family(scene: Scene) -> Cell:
    upper = scene.rng.random() < 0.1
    return lambda row: scene.person(row)[1].upper() if upper else scene.person(row)[1]


def _full_name(scene: Scene) -> Cell:
    form = scene.rng.choice(("{0} {1}", "{0} {1}", "{0} {1}", "{1}, {0}", "{1} {0}", "{0:.1}. {1}"))
    return lambda row: form.format(*scene.person(row))


def login(scene: Scene, row: int) -> tuple[str, str]:
    """Given and family name as letters a–z; from the English pools where the script is another."""
    given, family = (ascii_word(name) for name in scene.person(row))
    if given and family:
        return given, family
    rng = scene.rng
    return ascii_word(rng.choice(pool("en_US", "first_name"))), ascii_word(
        rng.choice(pool("en_US", "last_name"))
    )


_LOGINS: tuple[str, ...] = ("{g}.{f}", "{g}{f}", "{g:.1}{f}", "{g}_{f}", "{f}{n}", "{g}{n}", "{g:.1}.{f}")


def _username(scene: Scene) -> Cell:
    rng = scene.rng
    nicks = ("dark", "blue", "happy", "cyber", "mr", "lucky", "wild", "tiny", "night", "coffee")
    forms = _LOGINS if rng.random() < 0.4 else (rng.choice(_LOGINS),)

    def cell(row: int) -> str:
        given, family = login(scene, row)
        if len(forms) > 1 and rng.random() < 0.3:
            return f"{rng.choice(nicks)}_{given}{rng.choice(('', '_', 'x'))}{rng.randint(1, 99)}"
        return rng.choice(forms).format(g=given, f=family, n=rng.randint(1, 99))

    return cell


def _email(scene: Scene) -> Cell:
    rng = scene.rng
    country = scene.locale[-2:].lower().replace("us", "com").replace("gb", "co.uk")
    company = rng.choice(pool(scene.locale, "last_name"))
    own = f"{ascii_word(company) or 'acme'}.{rng.choice((country, 'com', 'org', 'example'))}"
    public = (
        "gmail.com",
        "yahoo.com",
        "hotmail.com",
        "outlook.com",
        f"mail.{country}",
        "gmx.de",
        "icloud.com",
    )
    hosts = rng.choice((public, (own,), (*public, own), ("example.com", "example.org", "example.net")))
    form = rng.choice(_LOGINS)
    role = rng.random() < 0.15

    def cell(row: int) -> str:
        given, family = login(scene, row)
        local = form.format(g=given, f=family, n=rng.randint(1, 99))
        if role:
            return f"{rng.choice(('info', 'office', 'sales', 'contact', 'hello'))}@{family}.{country}"
        return f"{local}@{rng.choice(hosts)}"

    return cell


_PHONE_FORMS: dict[str, tuple[str, ...]] = {
    "US": (
        "(2##) 5##-####",
        "4##-2##-####",
        "+1 3## 4## ####",
        "1-8##-3##-####",
        "7##.5##.####",
        "62########",
    ),
    "GB": ("020 7### ####", "+44 1### ######", "07### ######", "(01###) ######"),
    "DE": ("+49 3## #######", "0## / ######", "0049 89 ######", "(0##) ####-##", "01#########"),
    "FR": ("01 ## ## ## ##", "+33 4 ## ## ## ##", "06########", "02.##.##.##.##"),
    "ES": ("9## ### ###", "+34 6## ## ## ##", "6########"),
    "IT": ("0# ########", "+39 3## ### ####", "3#########"),
    "NL": ("020-#######", "+31 6 ########", "06########"),
    "IN": ("+91-9#########", "98########", "022 #### ####"),
    "AU": ("(02) 9### ####", "+61 4## ### ###", "04## ### ###"),
    "JP": ("03-####-####", "090-####-####", "+81 3 #### ####"),
}


def _telephone(scene: Scene) -> Cell:
    rng = scene.rng
    country = scene.locale[-2:]
    if country not in _PHONE_FORMS and rng.random() < 0.6:
        return lambda row: scene.name("phone_number")
    forms = _PHONE_FORMS.get(country) or _PHONE_FORMS[rng.choice(list(_PHONE_FORMS))]
    chosen = forms if rng.random() < 0.15 else (rng.choice(forms),)
    return lambda row: fill(rng, rng.choice(chosen))


def _calling_code(scene: Scene) -> Cell:
    rng = scene.rng
    codes = (
        "1",
        "44",
        "49",
        "33",
        "39",
        "34",
        "31",
        "43",
        "41",
        "48",
        "90",
        "91",
        "81",
        "86",
        "55",
        "61",
        "254",
    )
    form = rng.choice(("+{}", "+{}", "{}", "00{}", "(+{})"))
    return lambda row: form.format(rng.choice(codes))


# --- places ---------------------------------------------------------------------------------------


def _address(scene: Scene) -> Cell:
    form = scene.rng.choice(("{s}, {z} {c}", "{s}, {c}, {r} {z}", "{s}, {c} {z}", "{s}; {c}"))
    return lambda row: form.format(
        s=scene.name("street"), z=scene.name("postcode"), c=scene.name("city"), r=scene.name("region")
    )


def _country(scene: Scene) -> Cell:
    rng = scene.rng
    kind = rng.choice(("country", "country", "country", "country_code"))
    values = pool(scene.locale, kind)
    home = rng.choice(values)
    share = rng.choice((0.0, 0.0, 0.6))
    return lambda row: home if rng.random() < share else rng.choice(values)


def _degrees(limit: float, signs: str) -> Maker:
    """Latitudes or longitudes around a centre: decimal, with a hemisphere, or in minutes and seconds."""

    def maker(scene: Scene) -> Cell:
        rng = scene.rng
        spread = rng.choice((0.05, 1.0, 8.0, limit))
        centre = rng.uniform(-limit, limit) * 0.7
        places = rng.choice((2, 4, 4, 5, 6, 6, 6, 8, 14))
        style = rng.choice(("decimal",) * 8 + ("hemisphere", "minutes", "comma"))

        def cell(row: int) -> str:
            value = max(-limit, min(limit, centre + rng.uniform(-spread, spread)))
            side, size = signs[value < 0], abs(value)
            if style == "hemisphere":
                return f"{size:.{min(places, 4)}f}° {side}"
            if style == "minutes":
                seconds = round(size * 3600)
                return f"{seconds // 3600}°{seconds // 60 % 60:02d}'{seconds % 60:02d}\"{side}"
            text = f"{value:.{places}f}"
            return text.replace(".", ",") if style == "comma" else text

        return cell

    return maker


_latitude, _longitude = _degrees(90.0, "NS"), _degrees(180.0, "EW")


def _coordinate(scene: Scene) -> Cell:
    rng = scene.rng
    if rng.random() < 0.6:
        return rng.choice((_latitude, _longitude))(scene)
    form = rng.choice(("{}, {}", "{},{}", "({}, {})", "{} {}", "POINT ({} {})"))
    lat, lon = rng.uniform(-55, 65), rng.uniform(-150, 150)
    return lambda row: form.format(f"{lat + rng.random():.5f}", f"{lon + rng.random():.5f}")


PEOPLE: dict[str, Maker] = {
    "givenName": _given,
    "familyName": _family,
    "Person/name": _full_name,
    "Username": _username,
    "email": _email,
    "telephone": _telephone,
    "faxNumber": _telephone,
    "Organization": _faked("company"),
    "JobPosting/name": _faked("job"),
    "addressLocality": _faked("city"),
    "addressRegion": _faked("region"),
    "postalCode": _faked("postcode"),
    "streetAddress": _faked("street"),
    "PostalAddress": _address,
    "Country": _country,
    "latitude": _latitude,
    "longitude": _longitude,
    "CoordinateAT": _coordinate,
    "PhoneCountryCode": _calling_code,
}
"""Makers of the columns of people and places by label."""
