"""The HTTP edge of invoices, at /v1/invoices."""

from starlette.requests import Request
from starlette.responses import Response

from serving.domain.errors import UnknownInvoice
from serving.in_force.policy_watch import NoPolicyInForce
from serving.invoices.invoice_answers import InvoiceLife
from serving.invoices.invoice_life import shown_invoice
from serving.requests.http_requests import authenticated, id_in_path, json_answer
from serving.requests.route_declaration import Example, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.store.api_keys import Role


class InvoiceApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """What is seen of invoices. Merchants' keys see none: what a customer owes is not theirs to know."""
        return (
            RouteDeclaration(
                method="GET",
                path="/v1/invoices/{invoice_id}",
                roles=frozenset({Role.CHECKOUT, Role.LEDGER}),
                handler=self._show,
                name="invoice",
                summary="How an invoice stands, and what became of it since it was issued",
                answers=(InvoiceLife,),
                problems=(UnknownInvoice, NoPolicyInForce),
                example=Example(path={"invoice_id": "invoice-1001"}),
            ),
        )

    async def _show(self, request: Request) -> Response:
        scope, _ = authenticated(request)
        invoice_id = id_in_path(request, "invoice_id", UnknownInvoice)
        return json_answer(await self._access.read(lambda: shown_invoice(scope.cases, invoice_id)))
