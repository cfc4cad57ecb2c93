"""Use case: what older services leave as messages, while they still run, is worked off as of today.

Up to revision 0008 a checkout left a message for each order to link and to look at. The log is followed for
the links now; a look that was asked for goes on waiting where looks wait.
"""

from serving.store.outbox import take_message, waiting_messages
from serving.store.store import Store
from serving.store.waiting_looks import APPROVED, WAITING_LOOKS, ask_for_look

LINK_ORDER = "link_order"
SCREEN_ORDER = "screen_order"
AT_ONCE = 100


def take_over_messages_of_before(store: Store, now_ms: int) -> int:
    """Ask for the looks that wait as messages, and drop what the log says anyway; returns how many.

    Raises StoreUnavailable.
    """
    with store.reading() as tx:
        if not waiting_messages(tx, (LINK_ORDER, SCREEN_ORDER), 1, due_at_ms=now_ms):
            return 0
    with store.writing(WAITING_LOOKS) as tx:
        messages = waiting_messages(tx, (LINK_ORDER, SCREEN_ORDER), AT_ONCE, due_at_ms=now_ms)
        for message in messages:
            if take_message(tx, message) and message.kind == SCREEN_ORDER:
                trigger = message.payload.get("trigger", APPROVED)
                ask_for_look(tx, message.payload["order_id"], trigger, message.created_at_ms)
    return len(messages)
