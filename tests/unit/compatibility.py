"""What in new JSON Schemas breaks parties that were built against old ones, each in a sentence.

Inbound, whatever was valid must stay valid, so fields may be added if they are optional, and enums
and ranges may grow. Outbound, what was said must be said the same: fields may be added, and
nothing else may change, since a reader may wait for a value and may not know a new one.

The schemas are those that `pathway schemas` writes, not any: what cannot be judged is a breakage.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]

LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
JUDGED = {
    *LOWER,
    *UPPER,
    *("type", "enum", "const", "properties", "required", "items"),
    *("propertyNames", "additionalProperties"),
}
TOLD = {"$schema", "$id", "$defs", "title", "description", "examples", "default"}  # bind nobody


def breakages(old: Mapping[str, Schema], new: Mapping[str, Schema], inbound: set[str]) -> list[str]:
    """Compare the schemas of all types; `inbound` names those that come from others."""
    found = []
    for name, schema in old.items():
        if name not in new:
            found.append(f"{name}: the type is gone")
            continue
        comparison = _Comparison(schema, new[name], strict=name not in inbound)
        found += [f"{name}: {each}" for each in comparison.of(schema, new[name], "")]
    return found


@dataclass(frozen=True)
class _Comparison:
    """Of one type; `strict` = outbound."""

    old_root: Schema
    new_root: Schema
    strict: bool

    def of(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        was, now = _by_type(old, self.old_root), _by_type(new, self.new_root)
        if was is None or now is None:
            if _plain(old) != _plain(new):
                yield f"{path or 'the whole'} has other alternatives"
            return
        for kind in sorted(was.keys() - now.keys()):
            if not self.strict and kind == "integer" and "number" in now:
                yield from self._one(was[kind], now["number"], path)
            else:
                yield f"{path} is no longer {kind} but {' or '.join(sorted(now))}"
        if self.strict:
            for kind in sorted(now.keys() - was.keys()):
                yield f"{path} may now be {kind}"
        for kind in sorted(was.keys() & now.keys()):
            yield from self._one(was[kind], now[kind], path)

    def _one(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        """Both are of one type."""
        yield from self._values(old, new, path)
        yield from self._bounds(old, new, path)
        for keyword in sorted((old.keys() | new.keys()) - JUDGED - TOLD):  # pattern, if, …
            gone = keyword not in new and not self.strict
            if old.get(keyword) != new.get(keyword) and not gone:
                yield f"{path or 'the whole'} has another {keyword}"
        yield from self._fields(old, new, path)
        if "items" in old or "items" in new:
            yield from self.of(old.get("items", {}), new.get("items", {}), f"{path}[]")
        for keyword in ("propertyNames", "additionalProperties"):
            yield from self._others(old, new, keyword, path)

    def _values(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        was, now = _enum(old), _enum(new)
        if now is not None and was is None:
            yield f"{path} is limited to {', '.join(sorted(now))}"
        elif was is not None and now is None:
            if self.strict:
                yield f"{path} may now be anything"
        elif was is not None and now is not None:
            if was - now:
                yield f"{path} is never {', '.join(sorted(was - now))} any more"
            if self.strict and now - was:
                yield f"{path} may now be {', '.join(sorted(now - was))}"

    def _bounds(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        for keyword in (*LOWER, *UPPER):
            was, now = old.get(keyword), new.get(keyword)
            if was == now or (now is None and not self.strict):
                continue
            grew = was is not None and now is not None and (now < was) == (keyword in LOWER)
            if self.strict or not grew:
                yield f"{path} has another {keyword}: {now} instead of {was}"

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        was, now = old.get("properties", {}), new.get("properties", {})
        needed, given = set(old.get("required", ())), set(new.get("required", ()))
        for name in was:
            at = f"{path}.{name}".lstrip(".")
            if name not in now:
                yield f"{at} is gone"
            else:
                yield from self.of(was[name], now[name], at)
        less = needed - given if self.strict else given - needed
        for name in sorted(less & (now.keys() | was.keys())):
            at = f"{path}.{name}".lstrip(".")
            if name in now:
                yield f"{at} may now be missing" if self.strict else f"{at} is now required"

    def _others(self, old: Schema, new: Schema, keyword: str, path: str) -> Iterator[str]:
        """What holds for fields that are not named. Outbound ones may always be added."""
        was, now = old.get(keyword, True), new.get(keyword, True)
        if self.strict or now is True or was is False:
            return
        if was is True or now is False:
            yield f"{path or 'the whole'} has another {keyword}"
        else:
            yield from self.of(was, now, f"{path}.*".lstrip("."))


def _enum(schema: Schema) -> set[str] | None:
    if "const" in schema:
        return {str(schema["const"])}
    return {str(value) for value in schema["enum"]} if "enum" in schema else None


def _by_type(schema: Schema, root: Schema) -> dict[str, Schema] | None:
    """The alternatives by their type; None if they cannot be told apart so."""
    schema = _resolved(schema, root)
    alternatives = schema.get("anyOf")
    if alternatives is None or "type" in schema:  # beside a type it is one more condition
        return {schema.get("type", "anything"): schema}
    found: dict[str, Schema] = {}
    for each in alternatives:
        each = _resolved(each, root)  # noqa: PLW2901 - the same, followed
        if "type" not in each or each["type"] in found:
            return None
        found[each["type"]] = each
    return found


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return schema


def _plain(schema: Schema) -> Any:  # noqa: ANN401 - any JSON
    """Without what only describes."""
    if isinstance(schema, Mapping):
        return {name: _plain(value) for name, value in schema.items() if name not in TOLD}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema
