"""The oracle of the fraud features: each by the words of its description, for one order at one moment.

It shares no code with `features/`: it lists, slowly, everything that ties an order to an entity, and counts.
"""

import ipaddress
from typing import Any, NamedTuple

from data_contracts.text_form import plain_letters
from tests.builders import DAY

HOUR = 3_600_000
Rows = list[dict[str, Any]]
FINDINGS = ("fraud_chargeback", "identity_misuse_upheld", "stop_request_upheld")
SELLS_AGAIN = ("computers_phones", "gift_cards", "jewellery", "media_software", "tickets_travel")


class Tie(NamedTuple):
    """A known row says that an order has to do with an entity; rank: when that happened."""

    rank: tuple[int, int]
    entity: str
    key: object
    order_id: str
    customer_id: str
    occurred_at: int
    stands: bool


def recorded(row: dict[str, Any]) -> tuple[int, str]:
    return row["recorded_at"], row["event_id"]


def happened(row: dict[str, Any]) -> tuple[int, int]:
    """As it was sent; no clock runs ahead by more than an hour."""
    sent, recorded_at = row["sent"], row["recorded_at"]
    return (sent if sent <= recorded_at + HOUR else recorded_at), recorded_at


def known(rows: Rows, as_of: int) -> Rows:
    """Oldest record first; what a clock that ran ahead said counts from the record, but ranks as sent."""
    counted = [
        {**row, "occurred_at": min(row["occurred_at"], row["recorded_at"]), "sent": row["occurred_at"]}
        for row in rows
    ]
    return sorted((row for row in counted if row["recorded_at"] < as_of), key=recorded)


def standing(rows: Rows, as_of: int) -> Rows:
    replaced = {row["corrects"] for row in known(rows, as_of) if row.get("corrects")}
    return [row for row in known(rows, as_of) if row["event_id"] not in replaced]


def place(row: dict[str, Any], prefix: str) -> tuple[str, ...] | None:
    street, postal_code = row.get(f"{prefix}_street"), row.get(f"{prefix}_postal_code")
    if not street or not postal_code:
        return None
    country = row.get(f"{prefix}_country") or ""
    # A house number that stands in the street is read from its end.
    name, number = plain_letters(street), plain_letters(row.get(f"{prefix}_house_number") or "")
    if not number:
        cut = max((at for at, sign in enumerate(name) if sign == " "), default=len(name))
        if any(sign.isdigit() for sign in name[cut:]):
            name, number = name[:cut], name[cut:]
    code = "".join(sign for sign in postal_code.upper() if sign.isalnum()).removeprefix(f"{country[:1]}")
    return in_parts(name).replace("strasse", "str"), in_parts(number), code, country


def in_parts(written: str) -> str:
    """Letters and digits, with a stroke between two numbers."""
    parts = "".join(sign if sign.isalnum() else " " for sign in written).split()
    text = parts[0] if parts else ""
    for part in parts[1:]:
        text += ("/" if text[-1].isdigit() and part[0].isdigit() else "") + part
    return text


def device_of(order: dict[str, Any]) -> str | None:
    device = (order.get("device_id") or "").strip()
    return None if device == "unknown" or set(device) <= {"0", "-"} else device


def mailbox(address: str) -> str:
    local, domain = address.strip().casefold().split("@")
    if domain in {"gmail.com", "googlemail.com"}:
        local, domain = local.split("+")[0].replace(".", ""), "gmail.com"
    return f"{local}@{domain}"


def telephone(number: str | None) -> str | None:
    """Of numbers in their international form only."""
    digits = "".join(sign for sign in (number or "").replace("(0)", "") if sign.isdigit())
    return digits.removeprefix("00") or None


def network(address: str | None) -> str | None:
    written = (address or "").split(",")[0].strip()
    if written.startswith("["):
        written = written[1 : written.index("]")]
    elif "." in written:
        written = written.split(":")[0]
    try:
        parsed = ipaddress.ip_address(written)
    except ValueError:
        return None
    if written.startswith(("10.", "192.168.", "127.", "fd", "::1")):
        return None
    if parsed.version == 6 and parsed.ipv4_mapped:
        return network(str(parsed.ipv4_mapped))
    if parsed.version == 4:
        return ".".join(str(parsed).split(".")[:3])
    return ":".join(parsed.exploded.split(":")[:3])


def named(order: dict[str, Any], address: tuple[str, ...] | None) -> dict[str, object]:
    """What an order has to do with, when its parcel goes to `address`."""
    customer, device = order["customer_id"], device_of(order)
    entities = {
        "own": customer,
        "merchant": order["merchant_id"],
        "device": device,
        "address": None if address and address[0].startswith("packstation") else address,
        "mailbox": mailbox(order["contact_email"]),
        "phone": telephone(order.get("contact_phone")),
        "email_domain": order["contact_email"].strip().split("@")[-1].casefold(),
        "ip_prefix": network(order.get("ip_address")),
        "on_device": device and (customer, device),
        "on_address": address and (customer, address),
    }
    return {entity: key for entity, key in entities.items() if key}


def all_ties(rows: dict[str, Rows], as_of: int) -> list[Tie]:
    ties = []
    orders, events = rows.get("orders", []), rows.get("order_events", [])
    replaced = {row.get("corrects") for row in known(orders + events, as_of)}
    first: dict[str, dict[str, Any]] = {}
    for order in known(orders, as_of):
        first.setdefault(order["order_id"], order)
        stands = order["event_id"] not in replaced
        about = (order["order_id"], order["customer_id"], order["occurred_at"], stands)
        for entity, key in named(order, place(order, "delivery")).items():
            ties.append(Tie(happened(order), entity, key, *about))
    for event in known(events, as_of):
        address = place(event, "new_delivery")
        if address is None or event["order_id"] not in first:
            continue
        order = first[event["order_id"]]
        rank = happened(event)
        customer = order["customer_id"]
        about = (event["order_id"], customer, event["occurred_at"], event["event_id"] not in replaced)
        ties.append(Tie(rank, "on_address", (customer, address), *about))
        if not address[0].startswith("packstation"):
            ties.append(Tie(rank, "address", address, *about))
    return sorted(ties, key=lambda tie: tie.rank)


def comes_to(order: dict[str, Any], rows: dict[str, Rows], as_of: int) -> int:
    """What an order comes to: the amendment that happened last stands.

    None counts that happened before the order was decided anew.
    """
    amendments = [
        row
        for row in standing(rows.get("order_events", []), as_of)
        if row["order_id"] == order["order_id"] and row["kind"] == "amended"
    ]
    if order.get("corrects"):
        since = (min(happened(order)[0], order["recorded_at"]), order["recorded_at"])
        amendments = [
            row
            for row in amendments
            if (min(happened(row)[0], row["recorded_at"]), row["recorded_at"]) >= since
        ]
    last = max(amendments, key=happened, default=None)
    return int(order["amount_cents"] if last is None else last["new_amount_cents"])


def naive_order_risk(
    order_id: str, rows: dict[str, Rows], as_of: int, linked_customers_maximum: int = 50
) -> dict[str, float] | None:
    orders = standing(rows.get("orders", []), as_of)
    versions = [row for row in orders if row["order_id"] == order_id]
    if not versions:
        return None
    order = versions[-1]
    events = [row for row in standing(rows.get("order_events", []), as_of) if row["order_id"] == order_id]
    moves = [event for event in events if place(event, "new_delivery")]
    last_move = max(moves, key=happened, default=None)
    mine = named(order, place(last_move, "new_delivery") if last_move else place(order, "delivery"))
    ties = all_ties(rows, as_of)
    for entity in ("device", "address", "mailbox", "phone"):
        naming = {tie.customer_id for tie in ties if (tie.entity, tie.key) == (entity, mine.get(entity))}
        if len(naming) > linked_customers_maximum:
            del mine[entity]

    def sharing(entity: str) -> list[Tie]:
        return [tie for tie in ties if entity in mine and (tie.entity, tie.key) == (entity, mine[entity])]

    def tied(entity: str) -> list[Tie]:
        """One tie for each order that has to do with the same entity: the first that still stands."""
        first: dict[str, Tie] = {}
        for tie in sharing(entity):
            if tie.stands:
                first.setdefault(tie.order_id, tie)
        return list(first.values())

    def firsts(entity: str) -> list[Tie]:
        """Those of them that are of the order with which their customer first came to the entity."""
        first: dict[str, str] = {}
        for tie in sharing(entity):
            if tie.stands:
                first.setdefault(tie.customer_id, tie.order_id)
        return [tie for tie in tied(entity) if first[tie.customer_id] == tie.order_id]

    def within(occurred_at: int, window: int) -> bool:
        return as_of - window <= occurred_at < as_of

    def count(found: list[Tie], window: int) -> int:
        return sum(within(tie.occurred_at, window) for tie in found)

    def own(window: int) -> Rows:
        return [
            row
            for row in orders
            if row["customer_id"] == order["customer_id"] and within(row["occurred_at"], window)
        ]

    def cents(window: int) -> int:
        return sum(comes_to(row, rows, as_of) for row in own(window))

    def findings(entity: str, days: int) -> int:
        about = {tie.order_id for tie in sharing(entity)}
        return sum(
            row["kind"] in FINDINGS and row["order_id"] in about and within(row["occurred_at"], days * DAY)
            for row in standing(rows.get("order_outcomes", []), as_of)
        )

    def hour(row: dict[str, Any]) -> int:
        return row["occurred_at"] // HOUR % 24

    def share(part: float, whole: float, empty: float) -> float:
        return part / whole if whole else empty

    def event_count(kind: str) -> int:
        return sum(event["kind"] == kind for event in events)

    year, category = own(365 * DAY), order["item_category"]
    accounts = sorted(
        (
            row
            for row in standing(rows.get("customers", []), as_of)
            if row["customer_id"] == order["customer_id"]
        ),
        key=happened,
    )
    features = {
        "order_amount_cents_last": comes_to(order, rows, as_of),
        "order_hour_utc_last": hour(order),
        "order_night_flag_last": hour(order) < 5,
        "order_resellable_flag_last": category in SELLS_AGAIN,
        "order_service_flag_last": order["kind"] == "service",
        "order_address_differs_flag_last": place(order, "delivery") != place(order, "billing"),
        "order_recipient_differs_flag_last": (
            plain_letters(order["delivery_name"]) != plain_letters(order["billing_name"])
        ),
        "order_device_missing_flag_last": device_of(order) is None,
        "order_phone_missing_flag_last": order.get("contact_phone") is None,
        "own_order_amount_ratio_365d": share(comes_to(order, rows, as_of), cents(365 * DAY), 1.0),
        "own_night_order_ratio_365d": share(sum(hour(row) < 5 for row in year), len(year), 0.0),
        "own_resellable_order_ratio_365d": share(
            sum(row["item_category"] in SELLS_AGAIN for row in year), len(year), 0.0
        ),
        "customer_age_days": (as_of - accounts[-1]["registered_at"]) / DAY if accounts else 0,
        "address_change_count_ever": event_count("address_changed"),
        "redirect_count_ever": event_count("delivery_redirected"),
        "shipment_booked_count_ever": event_count("shipment_booked"),
    }
    for name in ("computers_phones", "gift_cards", "jewellery", "media_software"):
        features[f"order_{name}_flag_last"] = category == name
    for days in (1, 7, 30, 365):
        features[f"own_order_count_{days}d"] = len(own(days * DAY))
        features[f"own_order_cents_sum_{days}d"] = cents(days * DAY)
    for entity in ("device", "address", "mailbox", "phone", "ip_prefix", "email_domain", "merchant"):
        features[f"{entity}_order_count_1h"] = count(tied(entity), HOUR)
        for days in (1, 7, 30):
            features[f"{entity}_order_count_{days}d"] = count(tied(entity), days * DAY)
    for entity in ("device", "address", "mailbox", "phone"):
        features[f"{entity}_customer_count_30d"] = count(firsts(entity), 30 * DAY)
        features[f"{entity}_customer_count_ever"] = len(firsts(entity))
    for entity in ("device", "address"):
        features[f"own_order_count_on_{entity}_ever"] = len(tied(f"on_{entity}"))
        features[f"own_{entity}_age_days"] = (
            sum(as_of - tie.occurred_at for tie in firsts(f"on_{entity}")) / DAY
        )
    for entity in ("own", "device", "address", "mailbox", "phone", "ip_prefix", "email_domain", "merchant"):
        for days in (30, 90, 365):
            features[f"{entity}_fraud_finding_count_{days}d"] = findings(entity, days)
    return {name: float(value) for name, value in features.items()}
