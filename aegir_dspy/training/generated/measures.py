"""Generated times, numbers and quantities: one layout and one plausible range a column."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from aegir_dspy.training.generated.checks import digits
from aegir_dspy.training.generated.lists import CHOICES, CURRENCIES, MONTHS, WEEKDAYS
from aegir_dspy.training.generated.pools import Cell, Maker, Scene, choice

__all__ = ["MEASURES"]

_EPOCH = datetime(1970, 1, 1)


# --- times ----------------------------------------------------------------------------------------

_DATES: tuple[str, ...] = (
    *("%Y-%m-%d", "%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%b-%Y", "%b %d, %Y"),
    *("%B %d, %Y", "%d %B %Y", "%Y%m%d", "%d.%m.%y", "%m/%d/%y", "%A, %d %B %Y", "LOCAL", "SLIM"),
)
_TIMES: tuple[str, ...] = (
    *("%H:%M", "%H:%M:%S", "%I:%M %p", "%H:%M:%S", "%H.%M", "%I:%M%p", "%H:%M:%S.%f", "%Hh%M"),
)
_STAMPS: tuple[str, ...] = (
    *("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.000Z", "%Y-%m-%d %H:%M:%S.%f"),
    *("%Y-%m-%dT%H:%M:%S+00:00", "%Y-%m-%d %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p"),
    *("%d.%m.%Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S GMT", "%d/%b/%Y:%H:%M:%S +0200", "%Y-%m-%dT%H:%M+02:00"),
)
_LOG_STEPS = (5, 600, 20_000, 200_000)


def _moment(scene: Scene, first: int, last: int, steps: tuple[int, ...] = ()) -> Callable[[], datetime]:
    """Points in time of a window between these years; with steps (seconds) some rise, as in a log."""
    rng = scene.rng
    span = min(rng.choice((20, 400, 4000, 40000)), (last - first) * 365) * 86400
    start = datetime(first, 1, 1) + timedelta(seconds=rng.randrange((last - first) * 365 * 86400 - span + 1))
    if not steps or rng.random() < 0.7:
        return lambda: start + timedelta(seconds=rng.randrange(span), microseconds=rng.randrange(10**6))
    at, step = [start + timedelta(seconds=rng.randrange(span))], rng.choice(steps)

    def rising() -> datetime:
        at[0] += timedelta(seconds=rng.uniform(0, step))
        return at[0]

    return rising


def _date(first: int, last: int) -> Maker:
    def maker(scene: Scene) -> Cell:
        layout = scene.rng.choice(_DATES)
        moment = _moment(scene, first, last)
        months = MONTHS[scene.rng.choice(("de", "fr", "es"))]

        def cell(row: int) -> str:
            day = moment()
            if layout == "LOCAL":
                return f"{day.day}. {months[day.month - 1]} {day.year}"
            if layout == "SLIM":
                return f"{day.month}/{day.day}/{day.year}"
            return day.strftime(layout)

        return cell

    return maker


def _stamp(scene: Scene) -> Cell:
    layout, moment = scene.rng.choice(_STAMPS), _moment(scene, 2005, 2026, _LOG_STEPS)
    return lambda row: moment().strftime(layout)


def _time(scene: Scene) -> Cell:
    rng = scene.rng
    layout, step = rng.choice(_TIMES), rng.choice((1, 300, 900, 1800))
    return lambda row: (_EPOCH + timedelta(seconds=rng.randrange(0, 86400, step))).strftime(layout)


def _timestamp(scene: Scene) -> Cell:
    moment, rng = _moment(scene, 2005, 2026, _LOG_STEPS), scene.rng
    scale = rng.choice((1, 1, 1000, 1000, 10**6, 10**9, 0))

    def cell(row: int) -> str:
        seconds = int((moment() - _EPOCH).total_seconds())
        if not scale:
            return f"{seconds}.{digits(rng, 2)}"
        return str(seconds * scale + rng.randrange(scale))

    return cell


def _year(scene: Scene) -> Cell:
    rng = scene.rng
    first = rng.choice((1850, 1950, 1990, 2010))
    form = rng.choice(("{}",) * 8 + ("{}.0", "FY{}", "({})", "'{:.2}"))
    if form == "'{:.2}":
        return lambda row: f"'{rng.randint(first, 2025) % 100:02d}"
    return lambda row: form.format(rng.randint(first, 2025))


def _month(scene: Scene) -> Cell:
    rng = scene.rng
    names = MONTHS[rng.choice(("en", "en", "de", "fr", "es"))]
    style = rng.choice(("name", "name", "short", "number", "padded", "%Y-%m", "%b %Y", "%m/%Y", "%Y%m"))

    def cell(row: int) -> str:
        month = rng.randint(1, 12)
        name = names[month - 1]
        named = {"name": name, "short": name[:3], "number": str(month), "padded": f"{month:02d}"}
        return named.get(style) or datetime(rng.randint(2015, 2025), month, 1).strftime(style)

    return cell


def _duration(scene: Scene) -> Cell:
    rng = scene.rng
    high = rng.choice((10, 60, 180, 600))
    forms = (
        "PT{m}M",
        "PT{h}H{r}M",
        "{m} min",
        "{m} Min.",
        "{h}:{r:02d}",
        "{h}h {r}m",
        "{m}",
        "{h}:{r:02d}:{s:02d}",
    )
    form = rng.choice(forms)

    def cell(row: int) -> str:
        minutes = rng.randint(1, high)
        return form.format(m=minutes, h=minutes // 60, r=minutes % 60, s=rng.randrange(60))

    return cell


def _weekday(scene: Scene) -> Cell:
    rng = scene.rng
    names = WEEKDAYS[rng.choice(("en", "en", "de", "fr", "es"))]
    style = rng.choice(("name", "name", "short", "list", "https://schema.org/", "upper"))

    def cell(row: int) -> str:
        day = rng.randrange(7)
        if style == "list":
            return ", ".join(names[i] for i in sorted(rng.sample(range(7), rng.randint(1, 5))))
        if style == "https://schema.org/":
            return style + WEEKDAYS["en"][day]
        return {"short": names[day][:3], "upper": names[day].upper()}.get(style, names[day])

    return cell


def _opening(scene: Scene) -> Cell:
    rng = scene.rng
    forms = (
        "{a}-{b} {o:02d}:00-{c:02d}:00",
        "{a}-{b}: {o}am - {d}pm",
        "{a} - {b} {o}.00 - {c}.30",
        "{a}–{b} {o}-{c} Uhr",
    )
    form = rng.choice(forms)
    days = WEEKDAYS[rng.choice(("en", "en", "de"))]

    def cell(row: int) -> str:
        close = rng.randint(16, 22)
        last = rng.randint(3, 6)
        return form.format(a=days[0][:2], b=days[last][:2], o=rng.randint(6, 11), c=close, d=close - 12)

    return cell


# --- numbers --------------------------------------------------------------------------------------


def _numbers(ranges: tuple[tuple[float, float, int], ...], forms: tuple[str, ...] = ("{}",)) -> Maker:
    """Columns of numbers of one (low, high, decimals) range, in one form such as ``{} kg``."""

    def maker(scene: Scene) -> Cell:
        rng = scene.rng
        low, high, places = rng.choice(ranges)
        form = rng.choice(forms)
        mark = rng.choice((".", ".", ".", ".", ",", "thousands"))

        def cell(row: int) -> str:
            text = f"{rng.uniform(low, high):{',' if mark == 'thousands' else ''}.{places}f}"
            return form.format(text.replace(".", ",") if mark == "," else text)

        return cell

    return maker


def _price(scene: Scene) -> Cell:
    rng = scene.rng
    high = rng.choice((10, 50, 300, 5000))
    sign = rng.choice(CURRENCIES)[1]
    form = rng.choice(("{}",) * 5 + ("${}", "{} €", "{s}{}", "{} {s}", "EUR {}"))
    ending = rng.choice((None, 0.99, 0.95, 0.0))
    mark = rng.choice((".", ".", ".", ","))

    def cell(row: int) -> str:
        amount = rng.uniform(0.5, high) if ending is None else rng.randint(1, high) + ending
        return form.format(f"{amount:.2f}".replace(".", mark), s=sign)

    return cell


def _price_range(scene: Scene) -> Cell:
    rng = scene.rng
    sign = rng.choice(("$", "$", "€", "£"))
    style = rng.choice(("signs", "signs", "{s}{a}-{s}{b}", "{a} - {b} {s}", "{s}{a} to {s}{b}"))

    def cell(row: int) -> str:
        low = rng.randint(1, 90)
        return (
            sign * rng.randint(1, 4)
            if style == "signs"
            else style.format(s=sign, a=low, b=low * rng.randint(2, 9))
        )

    return cell


def _currency(scene: Scene) -> Cell:
    rng = scene.rng
    column = rng.choice((0, 0, 0, 1, 2))
    values = [entry[column] for entry in CURRENCIES]
    home, share = rng.choice(values), rng.choice((0.0, 0.7, 1.0))
    return lambda row: home if rng.random() < share else rng.choice(values)


def _percentage(scene: Scene) -> Cell:
    rng = scene.rng
    form = rng.choice(("{:.0f}%", "{:.1f}%", "{:.2f}%", "{:.1f} %", "{:.1f}", "fraction", "{:+.2f}%"))
    high = rng.choice((5.0, 30.0, 100.0))
    if form == "fraction":
        return lambda row: f"{rng.uniform(0, high) / 100:.4g}"
    return lambda row: form.format(rng.uniform(-high if "+" in form else 0, high))


def _rating(scene: Scene) -> Cell:
    rng = scene.rng
    high, places = rng.choice(((5, 1), (5, 1), (5, 0), (10, 1), (100, 0)))
    form = rng.choice(
        ("{}", "{}", "{}", f"{{}}/{high}", f"{{}} out of {high}", "{} stars" if high == 5 else "{}")
    )
    return lambda row: form.format(f"{1 + rng.betavariate(4, 2) * (high - 1):.{places}f}")


def _port(scene: Scene) -> Cell:
    rng = scene.rng
    if rng.random() < 0.6:
        return choice(CHOICES["Port"])(scene)
    low, high = rng.choice(((1024, 65535), (49152, 65535), (8000, 9100)))
    return lambda row: str(rng.randint(low, high))


def _key(scene: Scene) -> Cell:
    rng = scene.rng
    if rng.random() < 0.3:
        high = 10 ** rng.randint(3, 7)
        return lambda row: str(rng.randint(1, high))
    start, step = rng.choice((1, 1, 1, 100, 10000, rng.randint(1, 10**6))), rng.choice((1, 1, 1, 2, 10))
    return lambda row: str(start + step * row)


def _salary(scene: Scene) -> Cell:
    rng = scene.rng
    scale, unit = rng.choice(
        ((1000, "YEAR"), (1000, "per year"), (100, "MONTH"), (1, "HOUR"), (1, "per hour"))
    )
    sign = rng.choice(("£", "$", "€"))
    form = rng.choice(
        ("{s}{a:,} - {s}{b:,}", "{s}{a:,} {u}", "{a} {c} {u}", "{s}{a:,} - {s}{b:,} {u}", "{a}")
    )
    currency = rng.choice(("USD", "EUR", "GBP"))

    def cell(row: int) -> str:
        low = rng.randint(9, 90) * scale
        return form.format(s=sign, a=low, b=low + rng.randint(1, 15) * scale, u=unit, c=currency)

    return cell


def _work_hours(scene: Scene) -> Cell:
    rng = scene.rng
    form = rng.choice(("{n} hours per week", "{n} h", "{a}:00 - {b}:00", "{a} AM - {p} PM", "{n} Std./Woche"))
    return lambda row: form.format(
        n=rng.choice((20, 30, 35, 37.5, 38, 40)),
        a=rng.randint(6, 10),
        b=rng.randint(14, 19),
        p=rng.randint(2, 7),
    )


def _age(scene: Scene) -> Cell:
    low, high = scene.rng.choice(((18, 65), (0, 99), (20, 45), (60, 95), (1, 18)))
    form = scene.rng.choice(("{}",) * 9 + ("{} years", "{} y", "{}.0"))
    return lambda row: form.format(scene.rng.randint(low, high))


MEASURES: dict[str, Maker] = {
    "birthDate": _date(1935, 2012),
    "Age": _age,
    "Date": _date(1990, 2026),
    "DateTime": _stamp,
    "Time": _time,
    "Timestamp": _timestamp,
    "Year": _year,
    "Month": _month,
    "Duration": _duration,
    "DayOfWeek": _weekday,
    "openingHours": _opening,
    "Number": _numbers(((0, 10, 0), (0, 5, 1), (0, 1000, 0), (-100, 100, 2), (0, 1, 4), (0, 1e6, 1))),
    "Percentage": _percentage,
    "Temperature": _numbers(
        ((-15, 38, 1), (18, 26, 2), (35, 41, 1), (0, 100, 0), (60, 100, 1)),
        ("{}", "{}", "{}", "{}", "{} °C", "{}°F", "{}°C", "{} K"),
    ),
    "Count": _numbers(((0, 10, 0), (1, 5, 0), (0, 500, 0), (100, 20000, 0)), ("{}",) * 6 + ("{} pcs", "{}x")),
    "Score": _numbers(((0, 100, 0), (0, 1, 3), (300, 850, 0), (0, 100, 1), (0, 20, 0), (200, 1600, 0))),
    "SurrogateKey": _key,
    "price": _price,
    "priceRange": _price_range,
    "currency": _currency,
    "weight": _numbers(((0.1, 5, 2), (40, 120, 1), (1, 900, 0)), ("{}", "{} kg", "{} g", "{} lbs", "{}kg")),
    "Distance": _numbers(
        ((1, 200, 0), (0.1, 40, 1), (150, 200, 0)), ("{}", "{} cm", "{} km", "{} mm", "{} mi")
    ),
    "Energy": _numbers(((40, 900, 0),), ("{} kcal", "{} calories", "{}", "{} kJ")),
    "Mass": _numbers(((0, 40, 0), (0, 20, 1), (1, 900, 0)), ("{} g", "{}g", "{} mg", "{} grams")),
    "MonetaryAmount": _salary,
    "workHours": _work_hours,
    "QuantitativeValue": _numbers(
        ((1, 12, 0), (2, 48, 0)), ("{}", "{} servings", "Serves {}", "{} portions")
    ),
    "Rating": _rating,
    "Port": _port,
}
"""Makers of the columns of times and numbers by label."""
