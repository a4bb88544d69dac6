"""Stream ids that follow from the business's own numbers: the same invoice is the same stream, whoever reads the file."""

from uuid import UUID, uuid5

_SHOP = UUID("6f0c5f0e-9d0b-5b0e-8a53-6a2f7b1f4c11")


def order_id(number: str) -> UUID:
    """Return the stream of an order, by its invoice number."""
    return uuid5(_SHOP, f"order:{number}")


def return_id(number: str) -> UUID:
    """Return the stream of a return, by its invoice number, the leading C included."""
    return uuid5(_SHOP, f"return:{number}")


def stock_id(code: str) -> UUID:
    """Return the stream of a product's stock, by its code as written."""
    return uuid5(_SHOP, f"stock:{code}")


def customer_id(customer: str) -> UUID:
    """Return the stream of a customer, by number."""
    return uuid5(_SHOP, f"customer:{customer}")


def import_id(digest: str) -> UUID:
    """Return the stream of a file's import, by the SHA-256 of what it holds."""
    return uuid5(_SHOP, f"import:{digest}")


CATALOGUE = uuid5(_SHOP, "catalogue")
"""The one stream that lists all imports."""
