"""The weathers that the inbox offers by name: calm, rough, and each fault of the catalogue.

Law: a fault that was chosen by hand is for sends; reads stay calm, so that watching goes on.
"""

from __future__ import annotations

from ._faults import Fault
from ._weather import Weather

_GROUPS = {True: "Sends, delivered all the same", False: "Sends, not delivered"}


def presets() -> list[dict[str, str]]:
    """Return what can be chosen, in order: `name`, `label`, and `group`, "" for none."""
    rows = [
        {"name": "calm", "label": "Calm: nothing goes wrong", "group": ""},
        {"name": "rough", "label": "Rough: one request in ten goes wrong", "group": ""},
    ]
    for effect, group in _GROUPS.items():
        for fault in Fault.every():
            if fault.effect is effect:
                label = f"{fault.name}: {fault.sees.replace('`', '')}"
                rows.append({"name": fault.name, "label": label, "group": group})
    return rows


def preset(name: str, *, once: bool) -> Weather:
    """Return the weather of that name; `once` is for faults: only the next send meets it.

    Raises KeyError for a name that is not among the presets.
    """
    if name == "calm":
        return Weather.calm()
    if name == "rough":
        return Weather.rough()
    fault = {fault.name: fault for fault in Fault.every()}[name]
    return Weather.sequence([fault], repeat=not once, only="sends")
