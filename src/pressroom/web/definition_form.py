"""The fields of a parameter's definition: its type, its default and its rules, as texts."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import cast

from pydantic import JsonValue, ValidationError

from pressroom.errors import ParameterInvalid, RuleInvalid
from pressroom.parameters import service
from pressroom.parameters.rules import Definition, ParameterType, canonical
from pressroom.parameters.schemas import ParameterFields
from pressroom.parameters.sealing import SecretKeys
from pressroom.parameters.values import checked
from pressroom.settings import Settings
from pressroom.web.forms import as_sent, text_of
from pressroom.wire import sentence_of

TYPES = tuple(kind.value for kind in ParameterType)
RULES = {
    "min": "low",
    "max": "high",
    "min_length": "shortest",
    "max_length": "longest",
    "options": "options",
    "pattern": "pattern",
}
"""The field of each rule."""


@dataclass(slots=True)
class Proposed:
    """A parameter in a form: what is in its fields, as texts, and what is wrong with it. ``take``: it is to be."""

    name: str
    type: str = "string"
    default: str = ""
    description: str = ""
    low: str = ""
    high: str = ""
    options: str = ""
    shortest: str = ""
    longest: str = ""
    pattern: str = ""
    required: str = ""
    secret: str = ""
    take: str = "yes"
    error: str | None = None

    @classmethod
    def of(cls, fields: ParameterFields) -> "Proposed":
        """What a definition puts into the fields."""
        rules = canonical(fields.validation_rules or {})
        return cls(
            fields.param_name,
            fields.param_type,
            text_of(fields.default_value),
            fields.description or "",
            text_of(rules.get("min")),
            text_of(rules.get("max")),
            _listed(rules.get("options"), fields.param_type),
            text_of(rules.get("min_length")),
            text_of(rules.get("max_length")),
            text_of(rules.get("pattern")),
            "yes" if fields.required else "",
            "yes" if fields.secret else "",
        )

    def fields(self, there: ParameterFields | None = None) -> ParameterFields:
        """The definition that the fields say. Of one that is ``there``, what stands in fields that nobody touched stays
        to the letter. Raises :class:`ParameterInvalid` for a text that is no value of the type, and
        :class:`RuleInvalid`."""
        if self.type not in set(ParameterType):
            raise RuleInvalid(self.name, "param_type", f"is {self.type!r}, not one of {', '.join(ParameterType)}")
        bare = Definition(self.name, self.type)
        stands = Proposed.of(there) if there else None

        def touched(field: str) -> bool:
            return stands is None or getattr(self, field) != as_sent(getattr(stands, field))

        same_type = there is not None and there.param_type == self.type
        rules = canonical(there.validation_rules or {}) if there and same_type else {}
        for rule, field in RULES.items():
            if same_type and not touched(field):
                continue
            rules.pop(rule, None)
            if (value := self._rule(rule, bare)) is not None:
                rules[rule] = value
        if there and same_type and not any(map(touched, RULES.values())):
            rules = there.validation_rules or {}
        if there and same_type and not touched("default"):
            default = there.default_value
        else:
            default = checked(bare, self.default, lenient=True) if self.default else None
        return ParameterFields(
            param_name=self.name,
            param_type=self.type,
            default_value=default,
            description=there.description if there and not touched("description") else self.description or None,
            required=bool(self.required),
            validation_rules=rules or None,
            secret=bool(self.secret),
        )

    def _rule(self, rule: str, bare: Definition) -> JsonValue:
        """What the field of a rule says; ``None`` for nothing."""
        text: str = getattr(self, RULES[rule])
        if rule == "pattern":
            return text or None
        if not text.strip():
            return None
        if rule == "options":
            return self._options(bare)
        number = Definition(self.name, ParameterType.INTEGER)
        return checked(number if rule in ("min_length", "max_length") else bare, text, lenient=True)

    def _options(self, bare: Definition) -> list[JsonValue]:
        text = self.options.strip()
        if text.startswith("["):
            listed = checked(Definition(self.name, "json"), text, lenient=True)
            return cast("list[JsonValue]", listed)
        each = [part.strip() for part in text.split(",") if part.strip()]
        if self.type == ParameterType.LIST:
            return list[JsonValue](each)
        return [checked(bare, part, lenient=True) for part in each]


def _listed(options: JsonValue, kind: str) -> str:
    """Options as they are typed: separated by commas, where what comes back is read as the same."""
    if not isinstance(options, list):
        return ""
    texts = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in options]
    plain = all(text and text == text.strip() and not set(",\n") & set(text) and text[0] != "[" for text in texts)
    if kind == ParameterType.JSON or (kind == ParameterType.LIST and any(not isinstance(one, str) for one in options)):
        plain = False
    return ", ".join(texts) if plain else json.dumps(options, ensure_ascii=False)


def proposed_in(sent: Mapping[str, str]) -> list[Proposed]:
    """What was typed: the fields of parameters are ``d.NUMBER.FIELD``. One of which nothing was typed is none."""
    known = [each.name for each in fields(Proposed) if each.name not in ("name", "error")]
    found: list[Proposed] = []
    for number in itertools.count():
        name = sent.get(f"d.{number}.name")
        if name is None:
            break
        said = {field: sent.get(f"d.{number}.{field}", "") for field in known}
        typed = Proposed(name.strip(), **said)
        if replace(typed, type="", take="") != Proposed("", type="", take=""):
            found.append(typed)
    return found


def definitions(
    settings: Settings, proposed: Sequence[Proposed], there: Sequence[ParameterFields] = ()
) -> list[ParameterFields]:
    """The definitions that are taken, some of which are ``there`` already; what is wrong with one stands beside it."""
    stored = {each.param_name: each for each in there}
    found: list[ParameterFields] = []
    named: set[str] = set()
    for each in proposed:
        if not each.name:
            each.error = "It has no name." if each.take else None
            continue
        if each.name in named:
            each.error = f"Another parameter of this form is called {each.name!r}."
        named.add(each.name)
        if not each.take or each.error:
            continue
        try:
            if each.secret:
                SecretKeys.of(settings).require_for_definition(each.name)
            wanted = each.fields(stored.get(each.name))
            service.check(wanted)
            found.append(wanted)
        except (RuleInvalid, ParameterInvalid) as error:
            each.error = error.detail
        except ValidationError as error:
            each.error = "; ".join(map(sentence_of, error.errors()))
    return found
