"""The whole table of forgeries: each part enters its own."""

from __future__ import annotations

import soap_forgeries_keys
import soap_forgeries_places
import soap_forgeries_signed
import soap_forgeries_texts
import soap_forgeries_times
from soap_forging import FORGERIES, SKEW

PARTS = (
    soap_forgeries_places,
    soap_forgeries_signed,
    soap_forgeries_keys,
    soap_forgeries_texts,
    soap_forgeries_times,
)
namespaces = soap_forgeries_times.namespaces

__all__ = ["FORGERIES", "PARTS", "SKEW", "namespaces"]
