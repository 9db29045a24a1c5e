"""Generated dates, times, numbers and quantities: one layout and one plausible range a column."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from aegir_dspy.training.generated_pools import Cell, Maker, Scene

__all__ = ["DATE_LAYOUTS", "TIMES_AND_NUMBERS"]

DATE_LAYOUTS: tuple[str, ...] = (
    *("%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%Y/%m/%d"),
    *("%Y%m%d", "%d %B %Y", "%B %d, %Y", "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%m/%d/%y", "%d.%m.%y"),
    *("%a, %d %b %Y", "%A, %B %d, %Y", "D", "F", "S"),
)
"""Layouts of dates for `strftime`; ``D``, ``F`` and ``S`` are German, French and Spanish words."""

_MONTHS = {
    "D": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "F": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "S": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "E": "January February March April May June July August September October November December",
}
_DATE_WORDS = {"D": "{}. {} {}", "F": "{} {} {}", "S": "{} de {} de {}"}
_OFFSETS = ("+00:00", "+01:00", "+02:00", "-05:00", "-08:00", "+05:30", "+0000", "+0200")


def _moments(rng: Random, first: int, last: int) -> Callable[[], datetime]:
    """Moments between two years; in half of the columns close together and rising, as in a log."""
    start = datetime(first, 1, 1, tzinfo=UTC)
    span = (last - first) * 31_556_952
    if rng.random() < 0.5:
        return lambda: start + timedelta(seconds=rng.randrange(span), milliseconds=rng.randrange(1000))
    at = [start + timedelta(seconds=rng.randrange(span))]
    step = rng.choice((5, 600, 20_000, 200_000))

    def rising() -> datetime:
        at[0] += timedelta(seconds=rng.uniform(0, step))
        return at[0]

    return rising


def _written(moment: datetime, layout: str) -> str:
    if layout in _DATE_WORDS:
        month = _MONTHS[layout].split()[moment.month - 1]
        return _DATE_WORDS[layout].format(moment.day, month, moment.year)
    return moment.strftime(layout)


def _dates(first: int, last: int) -> Maker:
    def maker(scene: Scene) -> Cell:
        rng = scene.rng
        layout = rng.choice(DATE_LAYOUTS)
        moment = _moments(rng, first, last)
        return lambda row: _written(moment(), layout)

    return maker


def _birth_dates(scene: Scene) -> Cell:
    rng = scene.rng
    layout, start = rng.choice(DATE_LAYOUTS), datetime(rng.randint(1925, 1965), 1, 1, tzinfo=UTC)
    return lambda row: _written(start + timedelta(days=rng.randrange(15_000)), layout)


def _datetimes(scene: Scene) -> Cell:
    rng = scene.rng
    layouts = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M")
    more = ("%m/%d/%Y %I:%M %p", "%d/%b/%Y:%H:%M:%S +0000", "%a, %d %b %Y %H:%M:%S GMT", "%Y%m%dT%H%M%SZ")
    layout = rng.choice((*layouts, *layouts, *more, "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "ms", "offset"))
    moment, offset = _moments(rng, rng.randint(1998, 2019), 2025), rng.choice(_OFFSETS)
    fraction = rng.choice(("{:03d}", "{:03d}000", "{:03d}Z"))
    between = rng.choice("T ")

    def cell(row: int) -> str:
        at = moment()
        if layout == "ms":
            return f"{at:%Y-%m-%d}{between}{at:%H:%M:%S}." + fraction.format(at.microsecond // 1000)
        return f"{at:%Y-%m-%dT%H:%M:%S}{offset}" if layout == "offset" else at.strftime(layout)

    return cell


def _timestamps(scene: Scene) -> Cell:
    rng = scene.rng
    form = rng.choice(("s", "s", "ms", "ms", "us", "float"))
    moment = _moments(rng, rng.randint(2000, 2018), 2025)

    def cell(row: int) -> str:
        seconds = moment().timestamp()
        if form == "float":
            return f"{seconds:.2f}"
        return str(int(seconds * {"s": 1, "ms": 1_000, "us": 1_000_000}[form]))

    return cell


def _times(scene: Scene) -> Cell:
    rng = scene.rng
    layouts = ("%H:%M", "%H:%M", "%H:%M:%S", "%H:%M:%S", "%I:%M %p", "%I:%M%p", "%H.%M", "%H:%M Uhr", "%Hh%M")
    layout, grid = rng.choice(layouts), rng.choice((1, 60, 300, 900, 1800, 3600))
    day = datetime(2020, 1, 1, tzinfo=UTC)
    return lambda row: (day + timedelta(seconds=rng.randrange(0, 86_400, grid))).strftime(layout)


def _years(scene: Scene) -> Cell:
    rng = scene.rng
    first = rng.choice((1850, 1950, 1980, 2000, 2010, 2018))
    form = rng.choice(("{}", "{}", "{}", "{}", "FY{}", "{}.0")) if first > 1950 else "{}"
    return lambda row: form.format(rng.randint(first, 2025))


def _months(scene: Scene) -> Cell:
    rng = scene.rng
    words = rng.choice("EEEDFS")
    form = rng.choice(("word", "word", "short", "short", "number", "padded", "year", "compact", "slash"))

    def cell(row: int) -> str:
        month, year = rng.randint(1, 12), rng.randint(2008, 2025)
        word = _MONTHS[words].split()[month - 1]
        texts = {"word": word, "short": word[:3], "number": str(month), "padded": f"{month:02d}"}
        texts |= {
            "year": f"{year}-{month:02d}",
            "compact": f"{year}{month:02d}",
            "slash": f"{month:02d}/{year}",
        }
        return texts[form]

    return cell


def _durations(scene: Scene) -> Cell:
    rng = scene.rng
    form = rng.choice(
        ("PT{h}H{m}M", "PT{n}M", "PT{m}M{s}S", "{n} min", "{n} minutes", "{h}h {m}m", "{n}", "{m}:{s:02d}")
    )
    return lambda row: form.format(
        h=rng.randint(1, 12),
        m=rng.randint(1, 59),
        s=rng.randint(0, 59),
        n=rng.choice((5, 10, 15, 20, 30, 45, 90, 95, 120)),
    )


# --- numbers --------------------------------------------------------------------------------------


def _integers(*ranges: tuple[int, int], forms: tuple[str, ...] = ("{}",)) -> Maker:
    """Whole numbers of one of these ranges, in one of these forms."""

    def maker(scene: Scene) -> Cell:
        rng = scene.rng
        (low, high), form = rng.choice(ranges), rng.choice(forms)
        return lambda row: form.format(rng.randint(low, high))

    return maker


def _decimals(*choices: tuple[float, float, tuple[str, ...]]) -> Maker:
    """Measured numbers: each choice is (mean, deviation, forms); values are never below 0."""

    def maker(scene: Scene) -> Cell:
        rng = scene.rng
        mean, deviation, forms = rng.choice(choices)
        form, comma = rng.choice(forms), scene.comma and rng.random() < 0.4

        def cell(row: int) -> str:
            text = form.format(abs(rng.gauss(mean, deviation)))
            return text.replace(".", ",") if comma else text

        return cell

    return maker


def _counts(scene: Scene) -> Cell:
    rng = scene.rng
    scale, form = rng.choice((3, 10, 40, 300, 9000)), rng.choice(("{}", "{}", "{}", "{:,}", "{}.0"))
    return lambda row: form.format(int(rng.expovariate(1 / scale)) + rng.randrange(2))


def _percentages(scene: Scene) -> Cell:
    rng = scene.rng
    form = rng.choice(("{:.0f}%", "{:.1f}%", "{:.2f} %", "{:.1f}", "{:.0f}", "fraction", "signed"))
    high = rng.choice((10, 30, 100))

    def cell(row: int) -> str:
        value = rng.uniform(0, high)
        if form == "fraction":
            return f"{value / 100:.4g}"
        text = f"{value - high / 3:+.1f}%" if form == "signed" else form.format(value)
        return text.replace(".", ",") if scene.comma else text

    return cell


def _temperatures(scene: Scene) -> Cell:
    rng = scene.rng
    mean, deviation = rng.choice(((21, 2), (12, 9), (36.8, 0.6), (55, 12), (68, 15), (-18, 2), (293, 8)))
    form = rng.choice(
        ("{:.1f}", "{:.1f}", "{:.2f}", "{:.0f}", "{:.1f} °C", "{:.0f}°C", "{:.1f} °F", "{:.0f}°F")
    )
    return lambda row: form.format(rng.gauss(mean, deviation))


def _scores(scene: Scene) -> Cell:
    rng = scene.rng
    high = rng.choice((1, 10, 100, 100, 850, 1600))
    form = rng.choice(
        ("{:.3f}", "{:.2f}", "{:.4f}") if high == 1 else ("{:.0f}", "{:.0f}", "{:.1f}", "{:.0f}/" + str(high))
    )
    return lambda row: form.format(rng.betavariate(4, 2) * high)


def _prices(scene: Scene) -> Cell:
    rng = scene.rng
    scale = rng.choice((5, 20, 80, 600, 12_000))
    ending = rng.choice((None, None, 0.99, 0.95, 0.0, 0.5))
    form = rng.choice(("{}", "{}", "{}", "${}", "€{}", "{} €", "£{}", "{} EUR", "USD {}", "{} zł"))
    grouped = "," if rng.random() < 0.4 else ""

    def cell(row: int) -> str:
        value = rng.expovariate(1 / scale) + 0.5
        text = f"{value if ending is None else int(value) + ending:{grouped}.2f}"
        return form.format(text.translate(_SWAP) if scene.comma else text)

    return cell


_SWAP = str.maketrans(".,", ",.")


def _degrees(limit: float, letters: str) -> Maker:
    """Coordinates near one place or around the world; `letters` are for positive and negative."""

    def maker(scene: Scene) -> Cell:
        rng = scene.rng
        spread = rng.choice((0.02, 0.5, 5, limit))
        middle = 0.0 if spread == limit else rng.uniform(-0.7, 0.7) * limit
        places = rng.choice((2, 4, 5, 6, 6, 7, 8, 13))
        style = rng.choice(("plain",) * 6 + ("letter", "dms"))

        def cell(row: int) -> str:
            value = middle + rng.uniform(-spread, spread) * 0.95
            letter = letters[value < 0]
            if style == "letter":
                return f"{abs(value):.{places}f}° {letter}"
            whole, rest = divmod(abs(value), 1)
            if style == "dms":
                return f"{whole:.0f}°{int(rest * 60):02d}'{rest * 3600 % 60:04.1f}\"{letter}"
            return f"{value:.{places}f}"

        return cell

    return maker


def _coordinates(scene: Scene) -> Cell:
    latitude, longitude = _degrees(85, "NS")(scene), _degrees(180, "EW")(scene)
    form = scene.rng.choice(("lat", "lon", "{}, {}", "{},{}", "{};{}", "POINT({1} {0})"))
    if form in ("lat", "lon"):
        return latitude if form == "lat" else longitude
    return lambda row: form.format(latitude(row), longitude(row))


def _keys(scene: Scene) -> Cell:
    rng = scene.rng
    start, step = rng.choice(((1, 1), (1, 1), (0, 1), (10, 10), (rng.randint(100, 99_999), 1)))
    if rng.random() < 0.3:
        high = 10 ** rng.randint(2, 7)
        return lambda row: str(rng.randrange(1, high))
    return lambda row: str(start + step * row)


TIMES_AND_NUMBERS: dict[str, Maker] = {
    "Date": _dates(1995, 2026),
    "birthDate": _birth_dates,
    "DateTime": _datetimes,
    "Timestamp": _timestamps,
    "Time": _times,
    "Year": _years,
    "Month": _months,
    "Duration": _durations,
    "Age": _integers((18, 90), (0, 99), (21, 65), (6, 18), forms=("{}", "{}", "{}", "{}", "{} years", "{}y")),
    "Port": _integers((1, 1023), (1024, 65535), (49152, 65535), (8000, 9100)),
    "Count": _counts,
    "Number": _integers((0, 10), (1, 5), (0, 100), (-50, 50), (0, 100_000)),
    "Percentage": _percentages,
    "Temperature": _temperatures,
    "Score": _scores,
    "price": _prices,
    "latitude": _degrees(90, "NS"),
    "longitude": _degrees(180, "EW"),
    "CoordinateAT": _coordinates,
    "SurrogateKey": _keys,
    "Mass": _decimals(
        (12, 9, ("{:.0f} g", "{:.1f} g", "{:.1f}g", "{:.0f} grams")), (180, 90, ("{:.0f} mg", "{:.0f}mg"))
    ),
    "Energy": _decimals(
        (340, 150, ("{:.0f} kcal", "{:.0f} calories", "{:.0f} cal")), (1400, 600, ("{:.0f} kJ",))
    ),
    "Distance": _decimals(
        (30, 18, ("{:.1f} cm", "{:.0f} cm", "{:.2f}", "{:.0f} mm")), (9, 6, ("{:.1f} km", "{:.1f} mi"))
    ),
    "weight": _decimals(
        (2, 1.5, ("{:.1f} kg", "{:.3f} kg", "{:.2f} lb", "{:.2f}lbs")), (75, 14, ("{:.0f} kg", "{:.0f}"))
    ),
    "QuantitativeValue": _integers(
        (1, 12), (2, 48), forms=("{}", "{} servings", "Serves {}", "{} portions", "{} Stück")
    ),
    "Rating": _decimals(
        (4, 0.6, ("{:.1f}", "{:.0f}", "{:.1f}/5", "{:.2f}", "{:.1f} out of 5")), (7, 1.2, ("{:.1f}",))
    ),
}
"""Makers of time and number columns by label."""
