"""Themes of generated tables: the types that occur together, in the order they usually stand."""

from __future__ import annotations

__all__ = ["COMMON", "THEMES"]


def _types(text: str) -> tuple[str, ...]:
    return tuple(text.split())


THEMES: dict[str, tuple[str, ...]] = {
    "customers": _types(
        "SurrogateKey givenName familyName Person/name email telephone streetAddress postalCode "
        "addressLocality addressRegion Country birthDate GenderType Date Boolean Status"
    ),
    "companies": _types(
        "IdentifierAT Organization vatID taxID PostalAddress addressLocality Country telephone faxNumber "
        "email URL Person/name IBAN BIC Count currency"
    ),
    "accounts": _types(
        "UUID Username email PasswordHash IPAddress Locale TimeZone Language DateTime DateTime Boolean "
        "Boolean Photograph Status JSONValue"
    ),
    "server log": _types(
        "DateTime IPAddress httpMethod URL HTTPStatus fileSize UserAgent Duration Hostname Port LogLevel "
        "UUID Timestamp operatingSystem"
    ),
    "network": _types(
        "Hostname IPAddress IPAddress MACAddress Port Port operatingSystem softwareVersion Timestamp Count "
        "fileSize Status LogLevel"
    ),
    "payments": _types(
        "SurrogateKey orderNumber Date Person/name IBAN BIC CreditCardNumber price currency "
        "paymentAccepted Status DateTime Percentage SocialSecurityNumber"
    ),
    "securities": _types(
        "ISIN tickerSymbol Organization Date price price currency Percentage Count Score Country"
    ),
    "wallets": _types(
        "CryptocurrencyAddress CryptocurrencyAddress HashDigest Timestamp price currency Count"
    ),
    "products": _types(
        "IdentifierAT gtin Product/name category color price currency Count weight unitText "
        "ItemAvailability OfferItemCondition Photograph URL Rating unitCode"
    ),
    "orders": _types(
        "orderNumber SurrogateKey Date DateTime Product/name Count price Percentage currency "
        "DeliveryMethod trackingNumber addressLocality postalCode Country Status"
    ),
    "sensors": _types(
        "SurrogateKey Timestamp DateTime latitude longitude Temperature Percentage Number unitText Score "
        "MACAddress softwareVersion Status"
    ),
    "personnel": _types(
        "SurrogateKey familyName givenName Age birthDate GenderType MaritalStatus nationality department "
        "JobPosting/name Date price SocialSecurityNumber NationalID taxID IBAN email telephone workHours"
    ),
    "patients": _types(
        "NationalID familyName givenName birthDate Age GenderType weight Temperature department Date Time "
        "Score Boolean telephone postalCode"
    ),
    "travellers": _types(
        "Person/name PassportNumber nationality birthDate flightNumber iataCode iataCode Date Time email"
    ),
    "flights": _types(
        "flightNumber Date iataCode iataCode Time Time Duration Distance Count Status DateTime price"
    ),
    "vehicles": _types(
        "vehicleIdentificationNumber LicensePlate Brand ProductModel Year color Distance price Date Country "
        "OfferItemCondition"
    ),
    "books": _types(
        "isbn Person/name Year BookFormatType Language price currency Rating Count Organization category"
    ),
    "articles": _types("DOI issn Person/name Year Month Count Score URL Language Organization"),
    "files": _types(
        "FileName FilePath fileSize encodingFormat HashDigest DateTime Username Base64 softwareVersion "
        "Boolean"
    ),
    "phones": _types(
        "IMEI telephone PhoneCountryCode operatingSystem softwareVersion DateTime Country Username Status"
    ),
    "software": _types(
        "UUID softwareVersion operatingSystem Date fileSize HashDigest URL LogLevel Count Boolean JSONValue"
    ),
    "shops": _types(
        "Organization PostalAddress streetAddress postalCode addressLocality latitude longitude telephone "
        "openingHours DayOfWeek paymentAccepted priceRange Rating URL"
    ),
    "events": _types(
        "SurrogateKey Date Time Time DayOfWeek addressLocality EventStatusType "
        "EventAttendanceModeEnumeration price Count URL CoordinateAT TimeZone Duration"
    ),
    "nutrition": _types(
        "SurrogateKey Product/name gtin Energy Mass Mass Mass Mass RestrictedDiet QuantitativeValue "
        "Percentage"
    ),
    "statistics": _types("Country Year Month Count Number Percentage Percentage Score Age GenderType"),
    "students": _types(
        "SurrogateKey Person/name Age GenderType Score Score Percentage Year department email Boolean"
    ),
    "tokens": _types("UUID Base64 HashDigest DateTime DateTime Username IPAddress Boolean JSONValue Status"),
    "regions": _types(
        "addressLocality addressRegion Country postalCode CoordinateAT latitude longitude Count TimeZone "
        "Language PhoneCountryCode currency"
    ),
}
"""Theme → types; a type that occurs twice stands for two columns, such as origin and destination."""

COMMON: tuple[str, ...] = _types(
    "DateTime Date Status Boolean Count Number Percentage UUID JSONValue Username Timestamp category price "
    "Score"
)
"""Types that a table of any theme may have."""
