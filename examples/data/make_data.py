"""Writes the data of the examples: invented, but with the seasons, gaps and dirt of real data.

Run it as ``python make_data.py [DIRECTORY]``. The seed is fixed: the same files come out, byte for byte, every time.
"""

import csv
import math
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

SEED = 20261031
MONTHS = [f"{year}-{month:02d}" for year in (2024, 2025, 2026) for month in range(1, 13)][10:34]
NEW_YEAR_PRICES = 1.03


@dataclass(frozen=True)
class Product:
    """What is sold. ``units``: a month in Germany on average; ``peak``: the month it sells best in the north;
    ``swing``: how much stronger that month is than the average; ``growth``: a year; ``since``: its first month."""

    name: str
    category: str
    price: float
    units: int
    peak: float
    swing: float
    growth: float = 0.05
    since: str = "2024-01"


@dataclass(frozen=True)
class Country:
    """Where it is sold. ``size``: Germany is 1; ``price``: the price level, Germany is 1."""

    name: str
    region: str
    size: float
    price: float = 1.0
    southern: bool = False
    growth: float = 0.0


PRODUCTS = [
    Product("Ridge 2P tent", "Shelter", 329.0, 210, 5.6, 0.85),
    Product("Basecamp 4P tent", "Shelter", 549.0, 90, 5.9, 0.95, 0.02),
    Product("Down sleeping bag", "Sleep", 279.0, 160, 9.4, 0.40, 0.07),
    Product("Foam mat", "Sleep", 39.0, 520, 6.2, 0.60, -0.04),
    Product("Storm shell jacket", "Clothing", 249.0, 330, 10.3, 0.65, 0.09),
    Product("Merino base layer", "Clothing", 89.0, 640, 11.4, 0.70, 0.12),
    Product("Trail trousers", "Clothing", 119.0, 380, 4.8, 0.35, 0.01),
    Product("Trail runner", "Footwear", 149.0, 560, 4.4, 0.30, 0.10),
    Product("Alpine boot", "Footwear", 289.0, 190, 9.1, 0.45, -0.06),
    Product("Day pack 22 L", "Packs", 99.0, 430, 7.7, 0.30, 0.04),
    Product("Trek pack 55 L", "Packs", 229.0, 170, 6.0, 0.60, 0.03),
    Product("Frame bag", "Packs", 69.0, 310, 5.2, 0.40, 0.25, "2026-03"),
]

COUNTRIES = [
    Country("Germany", "EMEA", 1.00),
    Country("France", "EMEA", 0.78),
    Country("United Kingdom", "EMEA", 0.71, 1.04),
    Country("Italy", "EMEA", 0.46, 0.97, growth=0.03),
    Country("Sweden", "EMEA", 0.33, 1.06, growth=-0.03),
    Country("Spain", "EMEA", 0.29, 0.95, growth=0.05),
    Country("United States", "AMER", 1.62, 1.02, growth=0.02),
    Country("Canada", "AMER", 0.48, 1.01),
    Country("Brazil", "LATAM", 0.31, 0.92, southern=True, growth=0.06),
    Country("Mexico", "LATAM", 0.24, 0.90, growth=0.04),
    Country("Chile", "LATAM", 0.15, 0.94, southern=True, growth=0.02),
    Country("Japan", "APAC", 0.83, 1.08, growth=-0.02),
    Country("South Korea", "APAC", 0.52, 1.00, growth=0.14),
    Country("Australia", "APAC", 0.44, 1.05, southern=True, growth=0.05),
]

RATES = {"USD": (1.074, 0.012), "GBP": (0.838, 0.008), "CHF": (0.941, 0.006), "JPY": (161.2, 0.016)}


def season(product: Product, country: Country, month: int) -> float:
    """How a month compares with the average month of this product in this country."""
    peak = product.peak + (6 if country.southern else 0)
    wave = math.exp(product.swing * math.cos((month - peak) / 12 * 2 * math.pi))
    holiday = {11: 1.14, 12: 1.10, 1: 0.88, 2: 0.92}.get(month, 1.0)
    return wave * holiday


def event(product: Product, country: Country, month: str) -> float:
    """What the seasons do not explain: a lorry of packs that came late, a wet autumn, a chain that took on a shoe."""
    if product.name == "Trek pack 55 L" and country.region == "EMEA" and month in {"2026-06", "2026-07"}:
        return 0.35
    if product.category == "Clothing" and country.region == "EMEA" and month in {"2026-09", "2026-10"}:
        return 1.16
    if product.name == "Trail runner" and country.name == "United States" and month >= "2026-04":
        return 1.30
    return 1.0


def sales(rng: random.Random) -> Iterable[Sequence[object]]:
    """A row for each month, country and product that sold."""
    for index, month in enumerate(MONTHS):
        year, number = int(month[:4]), int(month[5:])
        for country in COUNTRIES:
            mood = rng.gauss(1, 0.025)
            for product in PRODUCTS:
                if month < product.since:
                    continue
                growth = (1 + product.growth + country.growth) ** (index / 12)
                shape = season(product, country, number) * event(product, country, month)
                units = round(product.units * country.size * growth * shape * mood * rng.gauss(1, 0.06))
                discount = 0.09 if number == 11 else 0.03
                price = product.price * country.price * (NEW_YEAR_PRICES if year >= 2026 else 1)
                revenue = units * price * (1 - discount + rng.gauss(0, 0.008))
                yield month, country.region, country.name, product.name, units, f"{revenue:.2f}"


def exchange_rates(rng: random.Random) -> Iterable[Sequence[object]]:
    """The average rate of each month: how much of a currency one euro buys."""
    level = {currency: start for currency, (start, _) in RATES.items()}
    for month in MONTHS:
        yield month, "EUR", "1.0000"
        for currency, (_, spread) in RATES.items():
            level[currency] *= 1 + rng.gauss(0, spread)
            yield month, currency, f"{level[currency]:.4f}"


def written_date(rng: random.Random, day: date) -> str:
    """A day in one of the spellings that the shops send."""
    style = rng.random()
    if style < 0.80:
        return day.isoformat()
    return day.strftime("%d/%m/%Y") if style < 0.92 else day.strftime("%d %b %Y")


def written_price(rng: random.Random, price: float) -> str:
    """A price in one of the spellings that the shops send: 1234.50, 1,234.50, 1.234,50 or 1234,50."""
    style = rng.random()
    if style < 0.55:
        return f"{price:.2f}"
    if style < 0.70:
        return f"{price:,.2f}"
    if style < 0.85:
        return f"{price:,.2f}".translate(str.maketrans(",.", ".,"))
    return f"{price:.2f}".replace(".", ",")


def damaged(rng: random.Random, row: list[str]) -> list[str]:
    """The row with one thing wrong that nobody can repair."""
    column, value = rng.choice(
        [
            (1, "2026-02-30"),
            (1, "31/09/2026"),
            (1, "yesterday"),
            (2, ""),
            (4, ""),
            (4, "n/a"),
            (5, "0"),
            (5, "-1"),
            (5, "two"),
            (6, ""),
            (6, "on request"),
        ]
    )
    return [*row[:column], value, *row[column + 1 :]]


def orders(rng: random.Random) -> Iterable[Sequence[str]]:
    """Orders as three web shops export them: dirty."""
    spellings = {
        "DE": ["DE", "de", "Germany", " DE"],
        "FR": ["FR", "fr", "France", "FR "],
        "GB": ["GB", "UK", "United Kingdom", "gb"],
        "SE": ["SE", "se", "Sweden", "SE  "],
    }
    start = date(2026, 7, 1)
    for number in range(1, 1501):
        day = start + timedelta(days=int(number / 1500 * 122) + rng.randint(0, 1))
        product = rng.choice(PRODUCTS)
        country = rng.choices(list(spellings), weights=(5, 4, 3, 2))[0]
        lot = 12 if rng.random() < 0.06 else 1
        row = [
            f"W{100000 + number}",
            written_date(rng, day),
            f"customer{rng.randint(1, 700)}@example.com",
            rng.choices(spellings[country], weights=(80, 8, 7, 5))[0],
            product.name + (rng.choice(["  ", " "]) if rng.random() < 0.07 else ""),
            str(rng.choices((1, 2, 3, 4), weights=(70, 20, 6, 4))[0]),
            written_price(rng, product.price * lot),
        ]
        if rng.random() < 0.035:
            row = damaged(rng, row)
        yield row
        if rng.random() < 0.015:
            yield row
        if rng.random() < 0.006:
            yield [*row[:5], str(int(row[5]) + 1) if row[5].isdigit() else "1", row[6]]
        if rng.random() < 0.004:
            yield [""] * 7
        if rng.random() < 0.003:
            yield row[:5]


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes one CSV file, UTF-8, with line feeds."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main(directory: Path) -> None:
    """Writes the four files into ``directory``."""
    write(
        directory / "sales.csv",
        ("month", "region", "country", "product", "units", "revenue_eur"),
        sales(random.Random(SEED)),
    )
    write(directory / "products.csv", ("product", "category"), ((p.name, p.category) for p in PRODUCTS))
    write(
        directory / "exchange_rates.csv",
        ("month", "currency", "per_eur"),
        exchange_rates(random.Random(SEED + 1)),
    )
    write(
        directory / "orders_raw.csv",
        ("order_id", "ordered_on", "customer", "country", "product", "quantity", "unit_price"),
        orders(random.Random(SEED + 2)),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
