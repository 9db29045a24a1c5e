"""Code lists and word lists for generated columns. A type has several lists; a column keeps to one."""

from __future__ import annotations

__all__ = [
    "BROWSERS",
    "CHOICES",
    "CURRENCIES",
    "EXTENSIONS",
    "GOODS",
    "MIME_TYPES",
    "MONTHS",
    "WEEKDAYS",
]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _items(text: str) -> tuple[str, ...]:
    return tuple(text.split(";"))


MONTHS: dict[str, tuple[str, ...]] = {
    "en": _words("January February March April May June July August September October November December"),
    "de": _words("Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
    "fr": _words("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
    "es": _words("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"),
}
WEEKDAYS: dict[str, tuple[str, ...]] = {
    "en": _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "de": _words("Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag"),
    "fr": _words("lundi mardi mercredi jeudi vendredi samedi dimanche"),
    "es": _words("lunes martes miércoles jueves viernes sábado domingo"),
}
CURRENCIES: tuple[tuple[str, str, str], ...] = (
    ("USD", "$", "US dollar"),
    ("EUR", "€", "Euro"),
    ("GBP", "£", "Pound sterling"),
    ("JPY", "¥", "Japanese yen"),
    ("CHF", "Fr.", "Swiss franc"),
    ("SEK", "kr", "Swedish krona"),
    ("PLN", "zł", "Polish złoty"),
    ("INR", "₹", "Indian rupee"),
    ("BRL", "R$", "Brazilian real"),
    ("AUD", "A$", "Australian dollar"),
    ("CAD", "C$", "Canadian dollar"),
    ("CNY", "元", "Yuan renminbi"),
    ("TRY", "₺", "Turkish lira"),
    ("KRW", "₩", "South Korean won"),
    ("ZAR", "R", "South African rand"),
    ("CZK", "Kč", "Czech koruna"),
)
_WIN = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) "
_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_{p}) "
_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.{b}.{p} "
_SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{m}.{p} "
BROWSERS: tuple[str, ...] = (
    _WIN + _WEBKIT + "Safari/537.36",
    _WIN + _WEBKIT + "Safari/537.36 Edg/{v}.0.{b}.{p}",
    _MAC + _WEBKIT + "Safari/537.36",
    _MAC + _SAFARI + "Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0",
    "Mozilla/5.0 (Windows NT 6.1; WOW64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {m}_{p} like Mac OS X) " + _SAFARI + "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android {m}; SM-G9{p}0F) " + _WEBKIT + "Mobile Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/4.0 (compatible; MSIE {p}.0; Windows NT 5.{p})",
    "Opera/9.{v} (X11; Linux i686; U; en) Presto/2.{p}.{b} Version/11.{p}",
    "curl/7.{v}.{p}",
    "python-requests/2.{m}.{p}",
    "okhttp/4.{p}.{m}",
    "PostmanRuntime/7.{m}.{p}",
)
MIME_TYPES = _items(
    "image/jpeg;image/png;image/webp;image/gif;image/svg+xml;video/mp4;application/json;text/html;text/plain;"
    "application/xml;text/css;text/javascript;application/pdf;application/zip;audio/mpeg;text/csv;"
    "application/octet-stream;application/vnd.ms-excel;multipart/form-data"
)
EXTENSIONS = _words("pdf docx xlsx csv jpg png txt zip json xml mp4 html log sql parquet tar.gz")
GOODS: tuple[tuple[str, ...], ...] = (
    _words(
        "Classic Slim Handmade Portable Heavy-Duty Organic Mini Premium Folding Rustic Wireless Kids Vintage"
    ),
    _words("Steel Cotton Oak Leather Plastic Wool Glass Bamboo Rubber Ceramic Linen Aluminium Silk"),
    _items(
        "Chair;Table Lamp;Backpack;Drill;Bottle;T-Shirt;Blanket;Keyboard;Mug;Jacket;Shelf;Gloves;Headphones;"
        "Tent;Knife Set;Bike Helmet;Notebook;Soap;Olive Oil 500 ml;Coffee Beans;Phone Case;Sandals;Curtain"
    ),
)

CHOICES: dict[str, tuple[tuple[str, ...], ...]] = {
    "Boolean": tuple(
        map(_words, ("true false", "True False", "yes no", "Yes No", "Y N", "0 1", "TRUE FALSE", "t f"))
    ),
    "GenderType": (
        *map(_words, ("male female", "M F", "Male Female Other", "m f", "m w d", "männlich weiblich", "H F")),
        ("Female", "Male", "Non-binary", "Prefer not to say"),
        ("hombre", "mujer"),
        ("MALE", "FEMALE", "UNKNOWN"),
    ),
    "Language": (
        _words("English German French Spanish Italian Portuguese Dutch Polish Turkish Arabic Hindi Chinese"),
        _words("en de fr es it pt nl pl tr ar hi zh ja ru"),
        _words("Deutsch Englisch Französisch Spanisch Italienisch Russisch"),
        _words("eng deu fra spa ita por nld rus jpn"),
        _words("English Français Deutsch Español Italiano 日本語 Русский"),
    ),
    "MaritalStatus": (
        _words("single married divorced widowed"),
        _words("Single Married Divorced Widowed Separated"),
        _words("S M D W"),
        _words("ledig verheiratet geschieden verwitwet"),
        _words("célibataire marié(e) divorcé(e) veuf(ve)"),
        _words("soltero casado divorciado viudo"),
        _items("NEVER MARRIED;MARRIED;DIVORCED;WIDOWED;DOMESTIC PARTNER"),
        _items("Never-married;Married-civ-spouse;Divorced;Separated;Widowed"),
    ),
    "nationality": (
        _words(
            "German French Spanish Italian Portuguese Dutch Polish Turkish Kenyan Brazilian Japanese Indian"
        ),
        _words("American British Canadian Australian Irish Mexican Nigerian Chinese Korean Swedish"),
        _words("deutsch französisch spanisch italienisch polnisch türkisch syrisch"),
        _words("française allemande espagnole italienne belge marocaine suisse"),
        _words("española mexicana argentina colombiana peruana chilena"),
    ),
    "department": (
        _items("Human Resources;Finance;Marketing;Sales;IT;Legal;Operations;R&D;Customer Service;Purchasing"),
        _words("HR FIN MKT SALES IT LEGAL OPS RND"),
        _items("Einkauf;Vertrieb;Buchhaltung;Personal;Produktion;Logistik;Entwicklung"),
        _items("Cardiology;Radiology;Emergency;Pediatrics;Oncology;Surgery;Neurology"),
        _items("Ressources humaines;Comptabilité;Ventes;Informatique;Direction;Achats"),
        _items("Physics;Mathematics;Computer Science;History;Biology;Economics"),
    ),
    "operatingSystem": (
        _items("Windows 10;Windows 11;Windows 7;macOS 13.4;macOS 12;Ubuntu 22.04;Debian 12;Fedora 39"),
        _words("Windows macOS Linux Android iOS ChromeOS"),
        _items("iOS 17.1;iOS 16.5;Android 13;Android 12;Android 9"),
        _items("Red Hat Enterprise Linux 8.6;CentOS 7;Windows Server 2019;Ubuntu 20.04 LTS;SLES 15"),
        _words("win32 darwin linux freebsd"),
    ),
    "Port": (
        _words("80 443 22 8080 3306 5432 6379 27017 25 53"),
        _words("443 443 80 8443 9000 9090 9200 5601"),
        _words("51422 60211 49152 33877 58210 40961 35020 61999 443"),
        _words("tcp/80 tcp/443 udp/53 tcp/22 udp/123"),
    ),
    "HTTPStatus": (
        _words("200 200 200 404 301 302 500 304 403 401"),
        _words("200 201 204 400 401 404 409 422 500 503"),
        _items("200 OK;404 Not Found;500 Internal Server Error;301 Moved Permanently;403 Forbidden"),
    ),
    "httpMethod": (
        _words("GET POST PUT DELETE PATCH HEAD OPTIONS"),
        _words("GET POST"),
        _words("get post put delete"),
    ),
    "LogLevel": (
        _words("INFO WARN ERROR DEBUG"),
        _words("info warning error debug critical"),
        _words("DEBUG INFO WARNING ERROR CRITICAL"),
        _words("notice warn err crit emerg info"),
        _words("TRACE DEBUG INFO WARN ERROR FATAL"),
        _words("I W E D"),
    ),
    "TimeZone": (
        _words(
            "Europe/Berlin Europe/Paris America/New_York America/Los_Angeles Asia/Tokyo UTC Australia/Sydney"
        ),
        _words("UTC CET CEST EST PST GMT MST IST JST"),
        _words("+00:00 +01:00 +02:00 -05:00 -08:00 +05:30 +09:00"),
        _words("UTC+1 UTC-5 UTC+5:30 UTC+9 UTC UTC+10"),
        _items("Eastern Time (US & Canada);Pacific Standard Time;W. Europe Standard Time;GMT Standard Time"),
    ),
    "Locale": (
        _words("en-US de-DE fr-FR es-ES pt-BR ja-JP zh-CN it-IT nl-NL"),
        _words("en_US de_DE fr_FR es_MX pt_BR ja_JP zh_TW ko_KR"),
        _words("en_US.UTF-8 de_DE.UTF-8 fr_FR.UTF-8 C.UTF-8"),
        _words("en-us de-de fr-fr zh-hans zh-hant sr-latn"),
    ),
    "tickerSymbol": (
        _words("AAPL MSFT GOOG AMZN TSLA NVDA META JPM V JNJ WMT PG KO DIS NFLX INTC CSCO XOM CVX BRK.B"),
        _words("SAP.DE SIE.DE BMW.DE ALV.DE DTE.DE BAS.DE VOW3.DE"),
        _words("NASDAQ:AAPL NYSE:IBM NYSE:GE NASDAQ:ADBE LSE:VOD"),
        _words("VOD.L BP.L HSBA.L AZN.L RIO.L"),
        _words("7203.T 6758.T 9984.T 0700.HK 005930.KS"),
        _words("BTC-USD ETH-USD EURUSD=X ^GSPC ^DJI SPY QQQ"),
    ),
    "iataCode": (
        _words("FRA LHR JFK CDG AMS MAD FCO ZRH VIE CPH ARN OSL IST DXB SIN HND"),
        _words("ATL LAX ORD DFW DEN SFO SEA MIA BOS LAS PHX EWR CLT"),
        _words("LH BA AF DL UA AA KL EK QF FR U2 IB"),
        _words("MUC TXL HAM DUS STR CGN LEJ DRS NUE HAJ"),
    ),
    "color": (
        _words("red blue green black white yellow orange purple grey pink brown"),
        _words("Red Blue Green Black White Silver Gold Navy Beige Ivory Teal Crimson"),
        _words("rot blau grün schwarz weiß gelb grau silber"),
        _words("rouge bleu vert noir blanc jaune gris"),
        _words("BLACK WHITE SILVER GREY BLUE RED"),
        _items("Midnight Blue;Rose Gold;Space Grey;Forest Green;Pearl White;Charcoal"),
    ),
    "Status": (
        _words("active inactive pending"),
        _words("ACTIVE SUSPENDED CLOSED PENDING"),
        _words("Open Closed In-Progress Resolved"),
        _items("open;in progress;done;blocked"),
        _words("shipped delivered cancelled processing returned"),
        _words("PAID UNPAID OVERDUE REFUNDED"),
        _words("A I P C"),
        _words("success failed running queued"),
        _words("offen erledigt storniert bezahlt"),
        _words("activo inactivo pendiente cancelado"),
        _words("draft published archived"),
        _items("On Time;Delayed;Cancelled;Boarding;Landed"),
        _words("approved rejected submitted"),
    ),
    "ItemAvailability": (
        _words("InStock OutOfStock PreOrder"),
        _words("https://schema.org/InStock https://schema.org/OutOfStock https://schema.org/BackOrder"),
        _items("In stock;Out of stock;Available on order;Only 2 left"),
        _items("auf Lager;nicht verfügbar;lieferbar in 3-5 Tagen"),
    ),
    "OfferItemCondition": (
        _words("NewCondition UsedCondition RefurbishedCondition"),
        _words("https://schema.org/NewCondition https://schema.org/UsedCondition"),
        _words("New Used Refurbished Damaged"),
        _words("neu gebraucht neuwertig defekt"),
        _items("new;like new;good;acceptable;for parts"),
    ),
    "BookFormatType": (
        _words("Paperback Hardcover EBook AudioBook"),
        _items("Taschenbuch;Gebundene Ausgabe;Kindle Edition;Hörbuch"),
        _words("Broché Relié Poche Ebook"),
        _words("https://schema.org/Paperback https://schema.org/Hardcover https://schema.org/EBook"),
        _items("Mass Market Paperback;Hardback;Library Binding;Board Book"),
    ),
    "DeliveryMethod": (
        _items("Standard Class;First Class;Second Class;Same Day"),
        _words("UPS DHL FedEx USPS DPD Hermes"),
        _items("Pickup in store;Home delivery;Express;Parcel locker"),
        _words("air sea road rail"),
        _items("Abholung;Paketversand;Spedition"),
    ),
    "paymentAccepted": (
        _items("Cash;Credit Card;Debit Card;PayPal;Bank transfer"),
        _items("Visa, MasterCard;Cash, Visa, MasterCard, American Express;Cash only"),
        _words("credit_card paypal bank_transfer voucher cash boleto"),
        _words("Rechnung Lastschrift Vorkasse PayPal Kreditkarte"),
        _items("Electronic check;Mailed check;Bank transfer (automatic);Credit card (automatic)"),
    ),
    "RestrictedDiet": (
        _words("VeganDiet VegetarianDiet GlutenFreeDiet KosherDiet HalalDiet LowFatDiet DiabeticDiet"),
        _items("vegan;vegetarian;gluten-free;dairy-free;low carb"),
        _words("https://schema.org/VeganDiet https://schema.org/GlutenFreeDiet https://schema.org/HalalDiet"),
    ),
    "EventStatusType": (
        _words("EventScheduled EventPostponed EventCancelled EventRescheduled EventMovedOnline"),
        _words("https://schema.org/EventScheduled https://schema.org/EventCancelled"),
        _words("scheduled postponed cancelled rescheduled"),
    ),
    "EventAttendanceModeEnumeration": (
        _words("OfflineEventAttendanceMode OnlineEventAttendanceMode MixedEventAttendanceMode"),
        _words("https://schema.org/OfflineEventAttendanceMode https://schema.org/OnlineEventAttendanceMode"),
        _words("online onsite hybrid"),
        _words("In-person Virtual Hybrid"),
    ),
    "unitCode": (
        _words("KGM GRM CMT MTR LTR MMT INH ONZ LBR"),
        _words("EA KG PC ST M L BX"),
        _words("C62 HUR DAY ANN"),
    ),
    "unitText": (
        _words("kg g cm m l mm in oz lb"),
        _words("grams kilograms litres metres pieces"),
        _words("Stück Liter Meter Kilogramm Paar"),
        _words("pcs box pack each dozen"),
        _words("°C % hPa V A kWh ppm lx"),
    ),
    "Brand": (
        _words(
            "Makita Bosch Nivea Yamaha Samsung Sony Philips Adidas Nike Lego Canon Apple Dell Siemens Braun"
        ),
        _words("Toyota Volkswagen Ford BMW Audi Honda Renault Fiat Hyundai Kia Škoda Volvo Tesla Mazda"),
        _items("Under Armour;The North Face;Calvin Klein;Tommy Hilfiger;Levi's;Hugo Boss;New Balance"),
    ),
    "OccupationalExperienceRequirements": (
        _items("0-1 years;2-4 years;3-5 years;5+ years;10+ years"),
        _items("Entry level;Mid level;Senior;Internship;Executive"),
        _items("No experience required;At least 1 year;Minimum 3 years;More than 5 years"),
        _items("Keine Berufserfahrung;Weniger als 1 Jahr;2 bis 5 Jahre;Mehr als 5 Jahre"),
    ),
    "LocationFeatureSpecification": (
        _items("Free WiFi;Parking;Elevator;Pool;Air conditioning;Pets allowed;Breakfast;Gym"),
        _items("Free WiFi, Parking;Pool, Sauna, Gym;Air conditioning, TV;Kitchen, Washing machine, Balcony"),
        _items("WLAN;Aufzug;Haustiere erlaubt;Parkplatz;Sauna;Nichtraucherzimmer"),
    ),
    "category": (
        _items("Furniture;Office Supplies;Technology;Kitchen;Garden"),
        _items("Clothing > Men > Shirts;Clothing > Women > Shoes;Home > Bedding;Electronics > Audio"),
        _items("Lebensmittel;Haushalt;Elektronik;Spielwaren;Drogerie"),
        _items("Beverages;Condiments;Confections;Dairy Products;Grains/Cereals;Seafood"),
        _items("Livres;Musique;Jeux;Informatique;Sport"),
    ),
}
"""Label → the code lists its columns use."""
