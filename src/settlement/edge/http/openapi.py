"""How amounts appear on the API page: a number or its text, read exactly.

Guarantees: the published schema of an amount accepts what `core.money.parse_amount` accepts.
Does not: describe anything else; structs describe themselves.

Change colour: green.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar.openapi.spec import OpenAPIType, Schema
from litestar.plugins import OpenAPISchemaPlugin

from settlement.edge.http.money import Amount

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.typing import FieldDefinition

AMOUNT_PATTERN = r"^(0|[1-9][0-9]*)(\.[0-9]+)?$"


class AmountSchema(OpenAPISchemaPlugin):
    """Tells the framework what an `Amount` looks like."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Only ours."""
        return value is Amount

    def to_openapi_schema(
        self, field_definition: FieldDefinition, schema_creator: SchemaCreator
    ) -> Schema:
        """A JSON number, or a string of digits with an optional fraction."""
        del field_definition, schema_creator
        return Schema(
            one_of=[
                Schema(type=OpenAPIType.NUMBER, exclusive_minimum=0),
                Schema(type=OpenAPIType.STRING, pattern=AMOUNT_PATTERN),
            ],
            description="Major units, read exactly from the text: 99, 99.0 or '99.00'.",
        )
