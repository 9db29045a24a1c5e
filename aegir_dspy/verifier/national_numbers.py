"""Numbers of persons and taxpayers in many countries, checked by python-stdnum.

Asking all its modules takes longer than all other checks together. A number without its separators has a
shape, ``9`` for a digit and ``A`` for a letter, and most modules want one shape: only those are asked whose
shape fits, and that take out the separators found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

__all__ = ["NATIONAL", "TAX", "one_of", "stdnum"]

NATIONAL: Mapping[str, tuple[str, str]] = {
    "es.dni": ("9{8}A", " -"),
    "es.nie": ("A9{7}A", " -"),
    "it.codicefiscale": ("A{6}[9A]{10}|(?:AA)?9{11}", " -"),
    "pl.pesel": ("9{11}", " -"),
    "br.cpf": ("9{11}", " -."),
    "fr.nir": ("9{15}|9{6}A9{8}", " ."),
    "se.personnummer": ("9{10}|9{12}", " -+"),
    "dk.cpr": ("9{10}", " -"),
    "fi.hetu": ("9{6}A?9{3}[9A]", "-+"),
    "no.fodselsnummer": ("9{11}", " -"),
    "nl.bsn": ("9{1,9}", " -."),
    "be.nn": ("9{11}", " -."),
    "ch.ssn": ("9{13}", " ."),
    "cn.ric": ("9{17}[9A]", ""),
    "in_.aadhaar": ("9{12}", " -"),
    "tr.tckimlik": ("9{11}", ""),
    "za.idnr": ("9{13}", " "),
    "mx.curp": ("A{4}9{6}A{6}[9A]9", " -"),
    "cl.rut": ("(?:AA)?9{7,8}[9A]", " -."),
    "hr.oib": ("(?:AA)?9{11}", " -"),
    "ee.ik": ("9{11}", " "),
    "lt.asmens": ("9{11}", " "),
    "ro.cnp": ("9{13}", " -"),
    "bg.egn": ("9{10}", " -."),
    "cz.rc": ("9{9,10}", " /"),
    "gr.amka": ("9{11}", " -"),
    "il.idnr": ("9{1,9}", " -"),
    "kr.rrn": ("9{13}", "-"),
    "tw.ubn": ("9{8}", " -"),
    "pt.cc": ("(?:AA)?9*[9A][9A]9", " "),
    "lv.pvn": ("(?:AA)?9{11}", " -"),
    "ua.rntrc": ("9{10}", " "),
    "ar.dni": ("9{7,8}", " ."),
}
"""Module → shape of numbers of persons, and the separators that may stand in them."""

TAX: Mapping[str, tuple[str, str]] = {
    "us.ein": ("9{9}", "-"),
    "us.itin": ("9{9}", "-"),
    "de.idnr": ("9{11}", " -./"),
    "de.stnr": ("9{10,13}", " -./"),
    "br.cnpj": ("[9A]{14}", " -./"),
    "br.cpf": NATIONAL["br.cpf"],
    "fr.siren": ("9{9}", " ."),
    "fr.siret": ("9{14}", " ."),
    "fr.nif": ("9{13}", " "),
    "gb.utr": ("A*9{10}", " "),
    "es.nif": ("(?:AA)?[9A]9{7}[9A]", " -"),
    "es.cif": ("(?:AA)?[9A]9{7}[9A]", " -"),
    "it.iva": ("(?:AA)?9{11}", " -"),
    "it.codicefiscale": NATIONAL["it.codicefiscale"],
    "pl.nip": ("(?:AA)?9{10}", " -"),
    "pl.regon": ("9{9}|9{14}", " -"),
    "pt.nif": ("(?:AA)?9{9}", " -."),
    "in_.pan": ("A{5}9{4}A", " -"),
    "in_.gstin": ("[9A]{15}", " -"),
    "au.abn": ("9{11}", " "),
    "au.acn": ("9{9}", " "),
    "au.tfn": ("9{8,9}", " "),
    "ca.bn": ("9{9}|9{9}AA9{4}", " -"),
    "ca.sin": ("9{9}", " -"),
    "mx.rfc": ("A{3,4}9{6}[9A]{0,3}", " -"),
    "ar.cuit": ("9{11}", " -"),
    "cl.rut": NATIONAL["cl.rut"],
    "co.nit": ("9{8,16}", " -."),
    "ru.inn": ("9{10}|9{12}", " "),
    "nl.bsn": NATIONAL["nl.bsn"],
    "be.vat": ("(?:AA)?9{9,10}", " -./"),
    "ch.uid": ("(?:AAA)?9{9}", " -."),
    "nz.ird": ("(?:AA)?9{1,9}", " -"),
    "za.tin": ("9{10}", " -/"),
    "no.orgnr": ("9{9}", " "),
    "se.orgnr": ("9{10}", " -."),
    "dk.cvr": ("(?:AA)?9{8}", " -./"),
    "at.tin": ("9{9}", " -./"),
    "gb.vat": ("(?:AA)?(?:9{9}|9{12}|AA9{3}|AA9{9})", " -."),
    "ie.pps": ("9{7}AA?", " -"),
    "tr.vkn": ("9{10}", ""),
    "jp.cn": ("9{13}", " -"),
}
"""Module → shape of numbers of taxpayers, and the separators that may stand in them."""

_SHAPE = str.maketrans(
    {**dict.fromkeys("0123456789", "9"), **dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "A")}
)
_SEPARATORS = " -./+"
_BARE = str.maketrans("", "", _SEPARATORS)


@cache
def stdnum(name: str) -> Any:
    """A module of python-stdnum, or one that finds nothing valid where the release does not have it."""
    try:
        return import_module(f"stdnum.{name}")
    except ModuleNotFoundError:
        return SimpleNamespace(is_valid=lambda text: False)


def one_of(modules: Mapping[str, tuple[str, str]]) -> Callable[[str], bool]:
    """A check whether any of the modules finds a text of ASCII letters, digits and ``-./+`` valid."""
    patterns = {name: (re.compile(shape), frozenset(allowed)) for name, (shape, allowed) in modules.items()}

    @lru_cache(maxsize=1 << 12)
    def fitting(shape: str, separators: frozenset[str]) -> tuple[str, ...]:
        return tuple(
            name
            for name, (pattern, allowed) in patterns.items()
            if separators <= allowed and pattern.fullmatch(shape)
        )

    def check(text: str) -> bool:
        shape = text.upper().translate(_BARE).translate(_SHAPE)
        separators = frozenset(sign for sign in _SEPARATORS if sign in text)
        return any(stdnum(name).is_valid(text) for name in fitting(shape, separators))

    return check
