"""What this project adds to the built-in ontologies: own terms, disjointness and rigidity.

Disjointness is said of top classes only where hardly anybody types one thing with both: a book may be
sold as a Product, so CreativeWork and Product are not disjoint; LocalBusiness is Organization and Place.
The build refuses a pair that would leave any class of the ontology without instances.

Rigidity is OntoClean's (Guarino and Welty, 2004): a Person never stops being one, a Patient does. Names
without a prefix are of the ontology in question.
"""

from __future__ import annotations

from itertools import combinations

from aegir_dspy.ontology.terms import Kind, Rigidity, Term

__all__ = ["CLASSES_ANYWAY", "DISJOINT", "OWN", "RIGIDITY", "SCHEMA_DATATYPES"]

SCHEMA_DATATYPES: dict[str, str] = {
    "Text": "string",
    "Number": "decimal",
    "Integer": "integer",
    "Float": "double",
    "Boolean": "boolean",
    "Date": "date",
    "DateTime": "dateTime",
    "Time": "time",
    "URL": "anyURI",
    "CssSelectorType": "string",
    "XPathType": "string",
    "PronounceableText": "string",
}
"""schema.org datatype → XML Schema datatype."""

CLASSES_ANYWAY: dict[str, str] = {"schema:Quantity": "schema:Intangible"}
"""Classes that a source calls datatypes, with their parent: schema.org 30.0 has Quantity (Mass, Distance,
Duration, Energy) as a datatype, while its documentation and everybody's data use them as classes."""

# Technical value types of the vocabularies. An identifier or code is a class below PropertyValue, reached by
# schema:identifier or schema:additionalProperty; a measured or counted number is one below QuantitativeValue;
# a state out of a closed list is one below Enumeration. What is only a notation is a datatype.
_IDENTIFIERS = """IBAN BIC CreditCardNumber CryptocurrencyAddress ISIN SocialSecurityNumber NationalID
    PassportNumber LicensePlate Username PasswordHash UUID IPAddress MACAddress IMEI Hostname Port UserAgent
    HashDigest FileName FilePath Locale PhoneCountryCode DOI SurrogateKey"""
_NUMBERS = "Age Percentage Temperature Count Score"
_LISTED = "MaritalStatus LogLevel HTTPStatus TimeZone Month"
_OWN_SCHEMA: dict[str, tuple[Kind, str]] = {
    **dict.fromkeys(_IDENTIFIERS.split(), ("class", "schema:PropertyValue")),
    **dict.fromkeys(_NUMBERS.split(), ("class", "schema:QuantitativeValue")),
    **dict.fromkeys(_LISTED.split(), ("class", "schema:Enumeration")),
    "Status": ("class", "schema:StatusEnumeration"),
    "Year": ("datatype", "xsd:gYear"),
    "Timestamp": ("datatype", "xsd:decimal"),
    "Base64": ("datatype", "xsd:string"),
    "JSONValue": ("datatype", "xsd:string"),
}

_GENERAL = (
    Term("aegir:has", "object_property", "has", "Relates a row's thing to the thing a cell names."),
    Term(
        "aegir:hasValue",
        "data_property",
        "has value",
        "Relates a row's thing to the value of a cell.",
    ),
)

OWN: dict[str, tuple[Term, ...]] = {
    "schema": (
        *_GENERAL,
        *(Term(f"aegir:{name}", kind, parents=(above,)) for name, (kind, above) in _OWN_SCHEMA.items()),
    ),
    "dbpedia": (*_GENERAL, Term("aegir:monetaryValue", "data_property", range=("xsd:decimal",))),
    "cco": _GENERAL,
}
"""Terms to add; label and description come from the vocabularies where they have none."""


def _pairs(*groups: str) -> tuple[tuple[str, str], ...]:
    """Every two words of a group."""
    return tuple(pair for group in groups for pair in combinations(group.split(), 2))


def _against(ones: str, others: str) -> tuple[tuple[str, str], ...]:
    return tuple((one, other) for one in ones.split() for other in others.split())


DISJOINT: dict[str, tuple[tuple[str, str], ...]] = {
    "schema": (
        *_pairs(
            "Person Organization Event CreativeWork Action Taxon BioChemEntity",
            "Person Place Event CreativeWork Action Taxon BioChemEntity",
            "Person Product Event Action Taxon",
            "Offer JobPosting Rating Enumeration Order Invoice Reservation Language Quantity Ticket",
            "Distance Duration Energy Mass",
        ),
        *_against("Organization Place", "Product Taxon"),
        *_against(
            "Person Organization Event Action Taxon BioChemEntity",
            "StructuredValue Quantity Enumeration Offer JobPosting Rating Language ComputerLanguage Brand "
            "Order Invoice Reservation Ticket Occupation",
        ),
        *_against(
            "Place",
            "Quantity Enumeration Offer JobPosting Rating Language ComputerLanguage Brand Order Invoice "
            "Reservation Ticket Occupation PropertyValue QuantitativeValue MonetaryAmount ContactPoint",
        ),
        *_against(
            "CreativeWork",
            "Quantity Enumeration Offer JobPosting Rating Language Brand Order Invoice Reservation "
            "StructuredValue",
        ),
        *_against("Product", "Quantity Enumeration JobPosting Rating Language Occupation PropertyValue"),
        *_against("GeoCoordinates", "PostalAddress MonetaryAmount PropertyValue QuantitativeValue"),
        *_against(
            "PostalAddress", "MonetaryAmount PropertyValue QuantitativeValue OpeningHoursSpecification"
        ),
        *_pairs("Book Movie MusicRecording MusicAlbum Recipe Review Photograph Map WebSite"),
        *_pairs("Continent Country City Airport Museum Restaurant"),
        *_pairs("Hotel Restaurant Museum BankOrCreditUnion Library"),
    ),
    "dbpedia": (
        *_pairs(
            "Person Organisation Place Work Event Currency Language Disease Award Holiday",
            "Person Place Work Event Plant TimePeriod Colour Name",
            "Animal Plant Fungus Bacteria",
            "Film Book Album Song VideoGame Newspaper",
            "City River Mountain Lake Airport",
            "Mammal Bird Fish Insect Reptile Amphibian",
        ),
        *_against("Device MeanOfTransportation", "Person Organisation Place Event Language"),
        *_against("CelestialBody", "Person Organisation Work Event"),
    ),
    "cco": (),
}
"""Pairs of disjoint classes beyond those the sources state."""


def _rigidity(rigid: str, anti: str) -> dict[str, Rigidity]:
    return {**dict.fromkeys(rigid.split(), "rigid"), **dict.fromkeys(anti.split(), "anti-rigid")}


RIGIDITY: dict[str, dict[str, Rigidity]] = {
    "schema": _rigidity(
        "Person Organization Place Event CreativeWork Action Taxon BioChemEntity Quantity StructuredValue "
        "Enumeration Language ComputerLanguage Book Movie MusicAlbum MusicRecording MusicComposition "
        "Painting Photograph Recipe Review Article Dataset SoftwareSourceCode TVSeries TVEpisode Country "
        "City State Continent Landform BodyOfWater Mountain Volcano RiverBodyOfWater AdministrativeArea "
        "SportsEvent MusicEvent Vehicle Car Offer Order Invoice Rating JobPosting PostalAddress "
        "GeoCoordinates MonetaryAmount QuantitativeValue PropertyValue Gene Protein ChemicalSubstance "
        "MolecularEntity AnatomicalStructure Corporation Airline CollegeOrUniversity SportsTeam "
        "MusicGroup",
        # Roles of people and organizations, and what a place or thing is for a while
        "Patient Audience PeopleAudience MedicalAudience ParentAudience EducationalAudience BusinessAudience "
        "Researcher TouristAttraction TouristDestination EventVenue LandmarksOrHistoricalBuildings Brand "
        "ProgramMembership",
    ),
    "dbpedia": _rigidity(
        "Person Organisation Place Work Event Species Animal Plant Mammal Bird Fish Insect Reptile "
        "Amphibian Fungus Country City River Lake Mountain Island Continent CelestialBody Planet Star "
        "Film Book Album Song VideoGame Software Aircraft Ship Automobile Building Bridge Company "
        "University Language Currency Disease ChemicalElement ChemicalCompound Gene Protein SportsTeam "
        "PoliticalParty Colour",
        # Professions, offices and other roles of people
        "Academic Ambassador Archeologist Architect Aristocrat Artist Astronaut Athlete BeautyQueen "
        "BusinessPerson Chef Cleric Coach Criminal Economist Egyptologist Engineer Farmer HorseTrainer "
        "Journalist Judge Lawyer Linguist MemberResistanceMovement MilitaryPerson Model Monarch "
        "MovieDirector Noble OfficeHolder OrganisationMember Philosopher Pilot PoliceOfficer Politician "
        "PoliticianSpouse Presenter Producer Professor Psychologist Referee Religious RomanEmperor "
        "Royalty Scientist SportsManager Spy TelevisionDirector TheatreDirector Writer Youtuber Employer "
        "Capital HistoricBuilding HistoricPlace WorldHeritageSite ProtectedArea",
    ),
    "cco": _rigidity(
        "Person Organization Animal Plant Facility Geospatial_Region material_entity immaterial_entity "
        "process quality temporal_region spatial_region Material_Artifact Information_Content_Entity "
        "Vehicle Government role disposition site object",
        "Citizen Organization_Member Neutral_Person Enemy_Person Allied_Person",
    ),
}
"""Meta-property of well known classes; those of `cco` by their label with ``_`` for spaces."""
