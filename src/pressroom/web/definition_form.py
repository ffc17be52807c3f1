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
from pressroom.web.forms import text_of
from pressroom.wire import sentence_of

TYPES = tuple(kind.value for kind in ParameterType)


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
            _listed(rules.get("options")),
            text_of(rules.get("min_length")),
            text_of(rules.get("max_length")),
            text_of(rules.get("pattern")),
            "yes" if fields.required else "",
            "yes" if fields.secret else "",
        )

    def fields(self, there: ParameterFields | None = None) -> ParameterFields:
        """The definition that the fields say. Of one that is ``there``, a default whose field was not touched stays, an
        empty text among them. Raises :class:`ParameterInvalid` for a text that is no value of the type, and
        :class:`RuleInvalid`."""
        if self.type not in set(ParameterType):
            raise RuleInvalid(self.name, "param_type", f"is {self.type!r}, not one of {', '.join(ParameterType)}")
        bare = Definition(self.name, self.type)
        rules: dict[str, JsonValue] = {}
        for rule, text in (("min", self.low), ("max", self.high)):
            if text.strip():
                rules[rule] = checked(bare, text, lenient=True)
        for rule, text in (("min_length", self.shortest), ("max_length", self.longest)):
            if text.strip():
                rules[rule] = checked(Definition(self.name, ParameterType.INTEGER), text, lenient=True)
        if self.options.strip():
            rules["options"] = self._options(bare)
        if self.pattern:
            rules["pattern"] = self.pattern
        default = checked(bare, self.default, lenient=True) if self.default else None
        if there and (self.type, self.default) == (there.param_type, typed_of(there.default_value)):
            default = there.default_value
        return ParameterFields(
            param_name=self.name,
            param_type=self.type,
            default_value=default,
            description=self.description or None,
            required=bool(self.required),
            validation_rules=rules or None,
            secret=bool(self.secret),
        )

    def _options(self, bare: Definition) -> list[JsonValue]:
        text = self.options.strip()
        if text.startswith("["):
            listed = checked(Definition(self.name, "json"), text, lenient=True)
            return cast("list[JsonValue]", listed)
        each = [part.strip() for part in text.split(",") if part.strip()]
        if self.type == ParameterType.LIST:
            return list[JsonValue](each)
        return [checked(bare, part, lenient=True) for part in each]


def typed_of(value: JsonValue) -> str:
    """What a browser sends of a field that holds a value, and that nobody touched."""
    return text_of(value).replace("\r\n", "\n")


def _listed(options: JsonValue) -> str:
    """Options as they are typed: separated by commas, where none holds one."""
    if not isinstance(options, list):
        return ""
    texts = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in options]
    plain = all(text and text == text.strip() and not set(",\n") & set(text) and text[0] != "[" for text in texts)
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
        if each.take and not each.name:
            each.error = "It has no name."
        elif each.name in named:
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
