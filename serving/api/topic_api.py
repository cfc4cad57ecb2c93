"""The HTTP edge of topics: of what a merchant is told, and by which channel."""

from starlette.requests import Request
from starlette.responses import Response

from serving.domain.merchant_topics import TopicIsMandatory, UnknownTopic
from serving.in_force.policy_watch import NoPolicyInForce
from serving.requests.authentication import forbidden
from serving.requests.http_requests import authenticated, fields_of, id_in_path, json_answer, json_body
from serving.requests.route_declaration import ORDER_BODY_BYTES, Example, RouteDeclaration
from serving.requests.store_access import StoreAccess
from serving.store.api_keys import Caller, Role
from serving.topics import choosing
from serving.topics.topic_answers import TopicChoice, TopicList

CHOOSING = frozenset({Role.MERCHANT})


class TopicApi:
    """The handlers."""

    def __init__(self, access: StoreAccess) -> None:
        self._access = access

    def routes(self) -> tuple[RouteDeclaration, ...]:
        """The list of topics, and the choice of a channel."""
        return (
            RouteDeclaration(
                method="GET",
                path="/v1/webhook-topics",
                roles=CHOOSING,
                handler=self._list,
                name="webhookTopics",
                summary="Every topic, and by which channel the merchant is told of it",
                answers=(TopicList,),
                problems=(NoPolicyInForce,),
                example=Example(),
            ),
            RouteDeclaration(
                method="POST",
                path="/v1/webhook-topics/{topic}",
                roles=CHOOSING,
                body_maximum_bytes=ORDER_BODY_BYTES,
                handler=self._choose,
                name="chooseWebhookTopic",
                summary="The merchant wants to be told of a topic by a channel, or not at all",
                body=TopicChoice,
                answers=(TopicList,),
                problems=(UnknownTopic, TopicIsMandatory, NoPolicyInForce),
                example=Example(path={"topic": "order.amended"}, body={"channel": "webhook"}),
            ),
        )

    async def _list(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        merchant_id = _merchant_of(caller)
        return json_answer(await self._access.read(lambda: choosing.topics_of(scope.cases, merchant_id)))

    async def _choose(self, request: Request) -> Response:
        scope, caller = authenticated(request)
        merchant_id = _merchant_of(caller)
        channel = fields_of(json_body(request), TopicChoice).channel
        topic = id_in_path(request, "topic", UnknownTopic)
        return json_answer(
            await self._access.write(
                lambda: choosing.choose(scope.cases, merchant_id, topic, channel, caller.name)
            )
        )


def _merchant_of(caller: Caller) -> str:
    if caller.merchant_id is None:
        raise forbidden("topics are chosen with the merchant's key")
    return caller.merchant_id
