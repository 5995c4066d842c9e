"""OpenAPI 3.1 of the functions: their tables of routes, what these take and what they answer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, create_model
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from shared.answers import find
from shared.errors import CODES
from shared.models import Body, Empty, course_id, status_list, uuid_id
from shared.routing import PARAMETERS, Function, Route

Json = dict[str, Any]

_REF = "#/components/schemas/{model}"
_READ: Mapping[object, Json] = {
    uuid_id: {"type": "string", "format": "uuid"},
    course_id: {"type": "integer", "format": "int64", "minimum": 1},
    status_list: {"type": "integer", "minimum": 0},
}
_SECURITY: Mapping[str, list[Json]] = {
    "user": [{"bearer": []}],
    "anyone": [{}, {"bearer": []}],
    "machine": [{"worker": []}],
}
_REFUSAL: Json = {
    "type": "object",
    "required": ["code", "message", "details", "hint"],
    "additionalProperties": False,
    "properties": {
        "code": {"type": "string", "examples": sorted(CODES)},
        "message": {"type": "string"},
        "details": {},
        "hint": {"type": ["string", "null"]},
    },
}
_EXACT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class _Untitled(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        """No titles that say the field's name again."""
        return False


def document(functions: Sequence[Function], url: str) -> Json:
    """Describe `functions` as they are served under `url`."""
    routes = [(function, route) for function in functions for route in function.routes]
    schemas = _schemas({route.body for _, route in routes if route.body not in (None, Empty)})
    answers, shapes = _answers({route.answer for _, route in routes if route.answer})
    if clash := schemas.keys() & shapes.keys():
        raise ValueError(f"both taken and answered: {', '.join(sorted(clash))}")
    paths: dict[str, Json] = {}
    for function, route in routes:
        path = f"/{function.name}/{route.path}".rstrip("/")
        paths.setdefault(path, {})[route.method.lower()] = _operation(
            function, route, schemas, answers
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Waymark",
            "version": "1",
            "summary": "Learning progress that cannot be forged, cannot drift and cannot be lost.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": url}],
        "tags": [{"name": function.name} for function in functions],
        "paths": paths,
        "components": {
            "schemas": {**schemas, **shapes, "Refusal": _REFUSAL},
            "responses": {
                "Refusal": {
                    "description": "Refused: `code` is stable, `message` is for people.",
                    "headers": {
                        "Retry-After": {
                            "description": "With 429 and 503: the seconds to wait.",
                            "schema": {"type": "integer"},
                        }
                    },
                    "content": _json({"$ref": _REF.format(model="Refusal")}),
                }
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "worker": {"type": "apiKey", "in": "header", "name": "X-Worker-Secret"},
            },
        },
    }


def _schemas(models: set[type[Body] | None]) -> dict[str, Json]:
    named = sorted((model for model in models if model), key=lambda model: model.__name__)
    _, made = models_json_schema(
        [(model, "validation") for model in named], ref_template=_REF, schema_generator=_Untitled
    )
    schemas: dict[str, Json] = made["$defs"]
    return schemas


def _answers(names: set[str]) -> tuple[dict[str, Json], dict[str, Json]]:
    """The schema of each answer, and those of all that these refer to."""
    fields: Any = {name: (find(name), ...) for name in sorted(names)}
    # One model of them all: a TypedDict takes its configuration from what holds it.
    made = create_model("Every", __config__=_EXACT, **fields).model_json_schema(
        ref_template=_REF, schema_generator=_Untitled, mode="serialization"
    )
    return made["properties"], made["$defs"]


def _operation(
    function: Function, route: Route, schemas: Mapping[str, Json], answers: Mapping[str, Json]
) -> Json:
    words = re.findall(r"\w+", f"{route.method.lower()} {function.name} {route.path}")
    operation: Json = {
        "operationId": "_".join(words),
        "summary": route.summary,
        "tags": [function.name],
        "security": _SECURITY[route.who],
        "parameters": list(_parameters(route, schemas)),
        "responses": {
            str(route.status): {
                "description": f"The answer of the RPC `{route.rpc}`."
                if route.rpc and not route.handler
                else "Done.",
                "content": {
                    media: {
                        "schema": answers[route.answer]
                        if route.answer and media == "application/json"
                        else {"type": "string"}
                    }
                    for media in route.types
                },
            },
            **({"303": {"description": "Where it is."}} if route.redirects else {}),
            **{status: {"$ref": "#/components/responses/Refusal"} for status in _refusals(route)},
        },
    }
    if route.method != "GET" and route.body not in (None, Empty):
        assert route.body
        schema = {"$ref": _REF.format(model=route.body.__name__)}
        needed = bool(schemas[route.body.__name__].get("required"))
        operation["requestBody"] = {"required": needed, "content": _json(schema)}
    return operation


def _refusals(route: Route) -> Iterator[str]:
    """The statuses that the boundary itself gives; those of the rules come under `default`."""
    fields = route.body is not None and (route.method != "GET" or route.body is not Empty)
    if any(PARAMETERS[name][1] in (uuid_id, course_id) for name in route.parameters) or fields:
        yield "400"
    yield "401"
    if fields and route.method != "GET":
        yield from ("408", "413", "415")
    if fields:
        yield "422"
    yield "default"


def _parameters(route: Route, schemas: Mapping[str, Json]) -> Iterator[Json]:
    for name in route.parameters:
        schema = _READ.get(PARAMETERS[name][1], {"type": "string"})
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if route.method == "GET" and route.body not in (None, Empty):
        assert route.body
        model = schemas[route.body.__name__]
        for name, schema in model["properties"].items():
            required = name in model.get("required", ())
            yield {"name": name, "in": "query", "required": required, "schema": schema}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}
