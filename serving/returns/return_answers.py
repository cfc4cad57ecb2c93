"""What is sent about a return, and what is answered."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from data_contracts.contract import AMOUNT_CENTS_MAXIMUM, IDENTIFIER_PATTERN
from serving.domain.goods_return import GoodsReturn, ReturnState
from serving.requests.answer_fields import Cents, Instant, OwnNumber, instant_or_none
from serving.store.api_keys import Caller, Role

POSITIONS_MAXIMUM = 200
CustomerId = Annotated[str, Meta(pattern=IDENTIFIER_PATTERN, max_length=64)]
AmountCents = Annotated[int, Meta(ge=1, le=AMOUNT_CENTS_MAXIMUM)]
BookedCents = Annotated[int, Meta(ge=0, le=AMOUNT_CENTS_MAXIMUM)]


class SentPosition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of what comes back."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    amount_cents: AmountCents


class ReturnBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a customer sends back. Neither amount nor positions: all that is invoiced and not yet returned."""

    customer_id: Annotated[CustomerId, Meta(description="for whom the portal acts: the order's own customer")]
    amount_cents: AmountCents | None = None
    positions: Annotated[
        Annotated[tuple[SentPosition, ...], Meta(max_length=POSITIONS_MAXIMUM)] | None,
        Meta(description="in place of an amount, which is their sum"),
    ] = None
    carrier: Annotated[str | None, Meta(description="of the return parcel, with its tracking number")] = None
    tracking_number: Annotated[
        str | None, Meta(description="the proof of the return; it may follow with a second announcement")
    ] = None


class BookingBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What came back."""

    amount_cents: Annotated[
        BookedCents | None,
        Meta(description="null or left out: all that was announced; 0: it is credited already"),
    ] = None
    return_fee_cents: Annotated[BookedCents, Meta(description="kept back of the amount")] = 0


class ReturnParameters(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a return is shown."""

    customer_id: (
        Annotated[str, Meta(description="a key of the role `portal` names the customer it acts for")]
        | UnsetType
    ) = UNSET


class ReturnsParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Which returns are listed."""

    state: Annotated[ReturnState, Meta(description="the one state of all of them")]


class PositionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A part of what comes back, as the customer named it."""

    name: str
    amount_cents: Cents


class MerchantReturn(msgspec.Struct, frozen=True, kw_only=True):
    """A return as its merchant sees it."""

    return_id: str
    order_id: str
    merchant_order_number: OwnNumber
    state: ReturnState
    amount_cents: Annotated[Cents, Meta(description="of what was announced")]
    currency: str
    positions: tuple[PositionAnswer, ...]
    carrier: str | None
    tracking_number: str | None
    announced_at: Instant
    due_at: Annotated[Instant, Meta(description="until when it is booked, or runs out")]
    confirmed_at: Annotated[
        Instant | None, Meta(description="when merchant or carrier confirmed the goods; null before that")
    ]
    booked_at: Instant | None
    booked_cents: Annotated[Cents, Meta(description="what came back, the fee not taken off")]
    return_fee_cents: Cents


class AnnouncedReturn(MerchantReturn, frozen=True, kw_only=True):
    """A return as its customer and the provider see it."""

    customer_id: str
    paused_invoices: Annotated[tuple[str, ...], Meta(description="invoice_ids that are paused for it now")]
    awaits_confirmation: Annotated[
        tuple[str, ...],
        Meta(
            description="invoice_ids that were due when it was announced, or of which a return lapsed: they "
            "are paused once merchant or carrier confirms the goods, from the announcement on"
        ),
    ]


class CustomerReturns(msgspec.Struct, frozen=True, kw_only=True):
    """All returns of a customer, the earliest announced first."""

    customer_id: str
    returns: tuple[AnnouncedReturn, ...]


class ReturnList(msgspec.Struct, frozen=True, kw_only=True):
    """Returns in one state, the earliest announced first. has_more: whether there are others after them."""

    returns: tuple[AnnouncedReturn, ...]
    has_more: bool


class MerchantReturnList(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's returns in one state, the earliest announced first."""

    returns: tuple[MerchantReturn, ...]
    has_more: bool


ReturnAnswer = AnnouncedReturn | MerchantReturn


def announced_return(goods: GoodsReturn) -> AnnouncedReturn:
    """A return with all that there is to tell."""
    return AnnouncedReturn(
        **msgspec.structs.asdict(merchant_return(goods)),
        customer_id=goods.customer_id,
        paused_invoices=tuple(
            pause.invoice_id for pause in goods.pauses if pause.is_begun and not pause.is_ended
        ),
        awaits_confirmation=tuple(
            pause.invoice_id
            for pause in goods.pauses
            if not pause.is_begun and goods.state in {ReturnState.ANNOUNCED, ReturnState.NOT_BOOKED}
        ),
    )


def merchant_return(goods: GoodsReturn) -> MerchantReturn:
    """A return without what the customer owes."""
    return MerchantReturn(
        return_id=goods.return_id,
        order_id=goods.order_id,
        merchant_order_number=goods.merchant_order_number,
        state=goods.state,
        amount_cents=goods.amount_cents,
        currency=goods.currency,
        positions=tuple(
            PositionAnswer(name=position.name, amount_cents=position.amount_cents)
            for position in goods.positions
        ),
        carrier=goods.carrier,
        tracking_number=goods.tracking_number,
        announced_at=Instant(goods.announced_at_ms),
        due_at=Instant(goods.due_at_ms),
        confirmed_at=instant_or_none(goods.confirmed_at_ms),
        booked_at=instant_or_none(goods.booked_at_ms),
        booked_cents=goods.booked_cents,
        return_fee_cents=goods.return_fee_cents,
    )


def return_seen_by(caller: Caller, goods: GoodsReturn) -> ReturnAnswer:
    """A return as far as the caller may see it."""
    return merchant_return(goods) if caller.role is Role.MERCHANT else announced_return(goods)


def answer_type_of(caller: Caller) -> type[ReturnAnswer]:
    """In which type a caller's answer about a return is kept."""
    return MerchantReturn if caller.role is Role.MERCHANT else AnnouncedReturn
