"""What facts are about: the customer, and what ties the orders of customers to each other."""

import enum


class EntityKind(enum.StrEnum):
    """What facts are about: a fact counts for the decisions that share its entity."""

    CUSTOMER = "customer"
    DEVICE = "device"
    DELIVERY_ADDRESS = "delivery_address"
    MAILBOX = "mailbox"
    PHONE = "phone"
    EMAIL_DOMAIN = "email_domain"
    IP_PREFIX = "ip_prefix"
    MERCHANT = "merchant"
    ORDER = "order"
    CUSTOMER_DEVICE = "customer_device"
    CUSTOMER_ADDRESS = "customer_address"


LINKING = (EntityKind.DEVICE, EntityKind.DELIVERY_ADDRESS, EntityKind.MAILBOX, EntityKind.PHONE)
"""What ties orders of different customers to each other, so long as not very many customers share it."""
