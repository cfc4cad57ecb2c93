"""The page of a merchant's open items behind a signed link, at /open-items: with a way to each form."""

import zoneinfo
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from data_contracts.instants import moment
from serving.disputes.open_items import (
    OF_EACH_KIND_MAXIMUM,
    OpenItem,
    OpenItemKind,
    listed_items,
    read_open_items_token,
)
from serving.domain.local_forms import local_amount, local_instant
from serving.domain.merchant_texts import merchant_text
from serving.merchant_form.form_pages import render_page
from serving.merchant_form.link_edge import language_for, link_app, page_answer
from serving.requests.case_scope import CaseScope
from serving.requests.route_declaration import DoorKind, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.stop_requests.merchant_notices import words_for

MOUNTED_AT = "/open-items"
OPEN_ITEMS_ROUTES = (
    RouteDeclaration(method="GET", path=f"{MOUNTED_AT}/{{token}}", door=DoorKind.SIGNED_LINK),
)
_CODES = {
    OpenItemKind.STOP_REQUEST: "stop_request",
    OpenItemKind.DISPUTE: "dispute",
    OpenItemKind.GOODS_RETURN: "goods_return",
}


@dataclass(frozen=True, kw_only=True)
class OpenItemsView:
    """What the page shows. sandbox_now_ms: None where the store is no sandbox."""

    items: tuple[OpenItem, ...]
    has_more: bool
    merchant_name: str
    language: str
    zone: zoneinfo.ZoneInfo
    provider_name: str
    sandbox_now_ms: int | None


@dataclass(frozen=True, kw_only=True)
class ShownItem:
    """An item in words. way: address and words of the link to its form, None where there is none."""

    title: str
    lines: tuple[str, ...]
    way: tuple[str, str] | None


def open_items_view(scope: CaseScope, token: str) -> OpenItemsView:
    """What a link shows. Writes nothing. Raises LinkInvalid, LinkExpired, StoreUnavailable."""
    merchant_id = read_open_items_token(scope, token)
    with scope.store.reading() as tx:
        items, has_more = listed_items(tx, scope, merchant_id)
        words = words_for(tx, scope.policy, merchant_id)
    return OpenItemsView(
        items=items,
        has_more=has_more,
        merchant_name=words.name,
        language=words.language,
        zone=words.zone,
        provider_name=scope.policy.provider.name,
        sandbox_now_ms=scope.now_ms() if scope.is_sandbox else None,
    )


def open_items_page(view: OpenItemsView, language: str) -> str:
    """The page."""
    names = {"merchant_name": view.merchant_name, "provider_name": view.provider_name}
    return render_page(
        "open_items.html",
        language,
        heading=merchant_text("open_items.heading", language, **names),
        introduction=merchant_text("open_items.introduction", language, **names),
        items=[_shown(item, view, language) for item in view.items],
        more=merchant_text("open_items.more", language, maximum=str(OF_EACH_KIND_MAXIMUM))
        if view.has_more
        else None,
        sandbox=None
        if view.sandbox_now_ms is None
        else merchant_text("form.sandbox", language, time=_instant(view.sandbox_now_ms, view, language)),
    )


def _instant(at_ms: int, view: OpenItemsView, language: str) -> str:
    return local_instant(moment(at_ms).astimezone(view.zone), language)


def _shown(item: OpenItem, view: OpenItemsView, language: str) -> ShownItem:
    order_name = item.merchant_order_number or item.order_id
    lines = [merchant_text("open_items.order", language, order_id=order_name)]
    if item.amount_cents is not None:
        amount = local_amount(item.amount_cents, item.currency or "", language)
        lines.append(merchant_text("open_items.amount", language, amount=amount))
    elif item.kind is OpenItemKind.DISPUTE:
        whole = merchant_text("dispute_amount.whole_order", language)
        lines.append(merchant_text("open_items.amount", language, amount=whole))
    if item.due_at is None:
        lines.append(merchant_text("open_items.no_due", language))
    else:
        deadline = _instant(item.due_at, view, language)
        lines.append(merchant_text("open_items.due", language, deadline=deadline))
    if item.answer_url is None:
        lines.append(merchant_text("open_items.book", language))
        way = None
    else:
        way = (item.answer_url, merchant_text("open_items.answer", language, order_id=order_name))
    title = merchant_text(f"open_items.{_CODES[item.kind]}", language)
    return ShownItem(title=title, lines=tuple(lines), way=way)


def open_items_app(access: StoreAccess) -> Starlette:
    """The application to mount at /open-items."""

    async def show(request: Request) -> Response:
        """GET and HEAD: mail programs open links by themselves, so this writes nothing."""
        scope, token = access.ready_scope(), request.path_params["token"]
        view = await access.read_beside(lambda: open_items_view(scope.cases, token))
        language = language_for(request, view.language)
        return page_answer(open_items_page(view, language), language)

    return link_app([Route("/{token}", show, methods=["GET"])])
