"""What the form about a dispute shows: the order, the claim and what was answered, nothing of a person."""

import zoneinfo
from dataclasses import dataclass

from data_contracts.orders import ORDERS
from serving.disputes.dispute_link import read_dispute_token
from serving.disputes.kept_step import UnknownDispute, known_dispute
from serving.domain.dispute import Dispute, DisputeState, Party
from serving.domain.dispute_policy import DisputePolicy
from serving.requests.case_scope import CaseScope
from serving.stop_requests.merchant_notices import words_for
from serving.store.dispute_files import DisputeFile, files_of_dispute
from serving.store.standing_rows import standing_row

TAKING_ANSWERS = frozenset(
    {
        DisputeState.OPENED,
        DisputeState.ANSWERED,
        DisputeState.AWAITING_CUSTOMER,
        DisputeState.AWAITING_MERCHANT,
        DisputeState.DECIDING,
    }
)


@dataclass(frozen=True, kw_only=True)
class DisputeFormView:
    """One dispute as its merchant sees it.

    files: the merchant's own. order_cents: None where the ledger does not know the order.
    merchant_name, language, zone: of the merchant. sandbox_now_ms: None where the store is no sandbox.
    """

    dispute: Dispute
    files: tuple[DisputeFile, ...]
    order_cents: int | None
    merchant_name: str
    language: str
    zone: zoneinfo.ZoneInfo
    provider_name: str
    policy: DisputePolicy
    now_ms: int
    sandbox_now_ms: int | None

    @property
    def has_run_out(self) -> bool:
        """Whether the first answer is too late now, and nobody has closed the dispute for it yet."""
        return self.dispute.state is DisputeState.OPENED and self.dispute.has_passed(self.now_ms)

    @property
    def takes_answer(self) -> bool:
        """Whether an answer is taken now."""
        return self.dispute.state in TAKING_ANSWERS and not self.has_run_out

    @property
    def takes_giving_in(self) -> bool:
        """Whether the merchant can still accept the claim: at any time before the end."""
        return not self.dispute.is_closed


def dispute_form_view(scope: CaseScope, token: str) -> DisputeFormView:
    """The dispute that a link is about. Writes nothing.

    Raises LinkInvalid, LinkExpired, UnknownDispute, StoreUnavailable.
    """
    dispute_id = read_dispute_token(scope, token)
    now_ms = scope.now_ms()
    with scope.store.reading() as tx:
        dispute = known_dispute(tx, dispute_id)
        if not dispute.is_shown_to_merchant:
            raise UnknownDispute(f"there is no dispute {dispute_id}")
        order = standing_row(tx, ORDERS, dispute.order_id) or {}
        words = words_for(tx, scope.policy, dispute.merchant_id)
        files = files_of_dispute(tx, dispute_id)
    return DisputeFormView(
        dispute=dispute,
        files=tuple(file for file in files if file.party is Party.MERCHANT),
        order_cents=order.get("amount_cents"),
        merchant_name=words.name,
        language=words.language,
        zone=words.zone,
        provider_name=scope.policy.provider.name,
        policy=scope.policy.disputes,
        now_ms=now_ms,
        sandbox_now_ms=now_ms if scope.is_sandbox else None,
    )
