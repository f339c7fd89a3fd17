"""What a deployment decides about renting."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RentalSettings:
    """Settings of the functions that rent.

    Attributes
    ----------
    stage
        Part of every label, for people.
    api_url
        Of the provider's API.
    image
        Runs on a machine for which no template was named.
    """

    stage: str
    api_url: str
    image: str
