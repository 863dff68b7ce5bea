"""What a session may do: asyncua asks neither whose a node or a subscription is, nor how much one client wants."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.user_managers import UserManager

from scheduler.adapters.plantlink.opcua.limits import Limits
from scheduler.adapters.plantlink.opcua.model import OUTPUTS, Argument, Kind, Method
from scheduler.adapters.plantlink.opcua.space import TYPES, Space
from scheduler.domain.plantlink import Receipt
from scheduler.units import MILLI_PER_UNIT

NO_USER = User(role=UserRole.Anonymous)
NOBODY: frozenset[str] = frozenset()
FLOATS = {ua.VariantType.Double, ua.VariantType.Float}
WHOLE = {
    ua.VariantType.SByte, ua.VariantType.Byte, ua.VariantType.Int16, ua.VariantType.UInt16, ua.VariantType.Int32,
    ua.VariantType.UInt32, ua.VariantType.Int64, ua.VariantType.UInt64,
}  # fmt: skip
MAX_OF = {Kind.UINT32: 2**32, Kind.UINT64: 2**64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What one connection may: who it is, the offtakes that it sees (None: all), and whether it may say anything."""

    name: str
    offtakes: frozenset[str] | None
    speaks: bool


# What is done with a call that could be read; None: another replica is in charge.
Answer = Callable[[Rights, str, Method, Sequence[object]], Awaitable[Receipt | None]]
STRANGER = Rights(name="", offtakes=NOBODY, speaks=False)


class AnyUser(UserManager):
    """Who somebody is was settled by the secure channel, before there is a session."""

    def get_user(
        self, iserver: InternalServer, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User:
        """A plain user, without any right of an administrator."""
        return User(role=UserRole.User)


def bad(code: int) -> ua.StatusCode:
    """A status code of the standard."""
    return ua.StatusCode(ua.UInt32(code))


class PlantSession(InternalSession):
    """A session that sees its own offtakes, calls only our methods, and touches no subscription but its own."""

    rights: Rights = STRANGER
    limits: Limits
    space: Space
    answer: Answer

    def _sees(self, node_id: ua.NodeId) -> bool:
        return self.space.seen_by(node_id, self.rights.offtakes)

    def _at_most(self, found: Sequence[object] | None, most: int) -> None:
        """As many things as one request may name.

        Raises:
            ServiceError: there is none, or too many.
        """
        if not found:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        if len(found) > most:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)

    # Looking.

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """Values of nodes that are seen, as far as they fit into one answer."""
        self._at_most(params.NodesToRead, self.limits.nodes)
        values = [self._read_one(one) for one in params.NodesToRead]
        if sum(_weight(value) for value in values) > self.limits.read_bytes:
            raise ServiceError(ua.StatusCodes.BadResponseTooLarge)
        return values

    def _read_one(self, one: ua.ReadValueId) -> ua.DataValue:
        if not self._sees(one.NodeId):
            return ua.DataValue(StatusCode=bad(ua.StatusCodes.BadNodeIdUnknown))
        if one.IndexRange:
            return ua.DataValue(StatusCode=bad(ua.StatusCodes.BadIndexRangeInvalid))
        return self.aspace.read_attribute_value(one.NodeId, one.AttributeId)

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """References between nodes that are seen."""
        self._at_most(params.NodesToBrowse, self.limits.nodes)
        results, left = [], self.limits.references
        for one in params.NodesToBrowse:
            if not self._sees(one.NodeId):
                results.append(ua.BrowseResult(StatusCode=bad(ua.StatusCodes.BadNodeIdUnknown)))
                continue
            (found,) = self.iserver.view_service.browse(ua.BrowseParameters(NodesToBrowse=[one]))
            found.References = [reference for reference in found.References if self._sees(reference.NodeId)]
            left -= len(found.References)
            if left < 0:
                raise ServiceError(ua.StatusCodes.BadResponseTooLarge)
            results.append(found)
        return results

    async def translate_browsepaths_to_nodeids(self, params: list[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        """Nodes at the end of paths."""
        self._at_most(params, self.limits.nodes)
        return [self._translated(path) for path in params]

    def _translated(self, path: ua.BrowsePath) -> ua.BrowsePathResult:
        """One path; asyncua's own way takes time that grows with every element without bound."""
        elements = path.RelativePath.Elements
        if not elements or len(elements) > 10:
            return ua.BrowsePathResult(StatusCode=bad(ua.StatusCodes.BadNoMatch))
        if not self._sees(path.StartingNode) or path.StartingNode not in self.aspace:
            return ua.BrowsePathResult(StatusCode=bad(ua.StatusCodes.BadNodeIdUnknown))
        nodes = [path.StartingNode]
        for element in elements:
            found = {one: None for node in nodes for one in self._children(node, element)}
            nodes = list(found)
        targets = [ua.BrowsePathTarget(TargetId=node, RemainingPathIndex=ua.Index(2**32 - 1)) for node in nodes]
        return ua.BrowsePathResult(StatusCode=bad(0 if targets else ua.StatusCodes.BadNoMatch), Targets=targets)

    def _children(self, node_id: ua.NodeId, element: ua.RelativePathElement) -> Iterable[ua.NodeId]:
        data = self.aspace.get(node_id)
        for reference in data.references if data is not None else ():
            if (
                reference.BrowseName == element.TargetName
                and reference.IsForward != element.IsInverse
                and self._sees(reference.NodeId)
            ):
                yield reference.NodeId

    async def register_nodes(self, nodes: list[ua.NodeId]) -> list[ua.NodeId]:
        """There is nothing to make faster."""
        self._at_most(nodes, self.limits.nodes)
        return nodes

    # Saying.

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Our methods alone, one after the other."""
        self._at_most(params, self.limits.calls)
        return [await self._call(one) for one in params]

    async def _call(self, one: ua.CallMethodRequest) -> ua.CallMethodResult:
        if not self._sees(one.ObjectId) or not self._sees(one.MethodId) or one.ObjectId not in self.aspace:
            return ua.CallMethodResult(StatusCode=bad(ua.StatusCodes.BadNodeIdUnknown))
        found = self.space.method(one.ObjectId, one.MethodId)
        if found is None:
            return ua.CallMethodResult(StatusCode=bad(ua.StatusCodes.BadMethodInvalid))
        offtake, method = found
        code, wrong = checked(method.arguments, one.InputArguments or [])
        if code:
            return ua.CallMethodResult(StatusCode=bad(code), InputArgumentResults=wrong)
        values = [argument.Value for argument in one.InputArguments or []]
        if not self.rights.speaks:
            return ua.CallMethodResult(StatusCode=bad(ua.StatusCodes.BadUserAccessDenied))
        receipt = await self.answer(self.rights, offtake, method, values)
        if receipt is None:
            return ua.CallMethodResult(StatusCode=bad(ua.StatusCodes.BadOutOfService))
        if receipt.again:
            return ua.CallMethodResult(StatusCode=bad(ua.StatusCodes.BadResourceUnavailable))
        said = (receipt.accepted, receipt.reason)
        outputs = [ua.Variant(value, TYPES[output.kind]) for output, value in zip(OUTPUTS, said, strict=True)]
        return ua.CallMethodResult(OutputArguments=outputs, InputArgumentResults=[ua.StatusCode() for _ in values])

    # Subscribing.

    def _mine(self, subscription_id: int) -> bool:
        found = self.subscription_service.subscriptions.get(subscription_id)
        return found is not None and found.session_id == self.session_id

    def _must_be_mine(self, subscription_id: int) -> None:
        if not self._mine(subscription_id):
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)

    def _subscriptions(self) -> list[Any]:
        return [one for one in self.subscription_service.subscriptions.values() if one.session_id == self.session_id]

    async def create_subscription(
        self, params: ua.CreateSubscriptionParameters, callback: Any, request_callback: Any = None
    ) -> ua.CreateSubscriptionResult:
        """A subscription that is neither faster nor slower than is good for both."""
        if len(self._subscriptions()) >= self.limits.subscriptions:
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
        least_s, most_s = self.limits.publishing_s
        asked_ms = params.RequestedPublishingInterval
        asked_s = asked_ms / MILLI_PER_UNIT if math.isfinite(asked_ms) else most_s
        params.RequestedPublishingInterval = ua.Duration(min(max(asked_s, least_s), most_s) * MILLI_PER_UNIT)
        return await super().create_subscription(params, callback, request_callback)

    async def create_monitored_items(self, params: ua.CreateMonitoredItemsParameters) -> list[ua.MonitoredItemCreateResult]:
        """Items on nodes that are seen."""
        self._must_be_mine(params.SubscriptionId)
        self._at_most(params.ItemsToCreate, self.limits.nodes)
        results = []
        for one in params.ItemsToCreate:
            code = self._unfit(one)
            if code:
                results.append(ua.MonitoredItemCreateResult(StatusCode=bad(code)))
            else:
                self._tame(one.RequestedParameters)
                results += await self.subscription_service.create_monitored_items(replace(params, ItemsToCreate=[one]))
        return results

    def _unfit(self, one: ua.MonitoredItemCreateRequest) -> int:
        """Why an item cannot be made; 0: it can."""
        items = sum(len(sub.monitored_item_srv._monitored_items) for sub in self._subscriptions())
        if items >= self.limits.items:
            return ua.StatusCodes.BadTooManyMonitoredItems
        if not self._sees(one.ItemToMonitor.NodeId):
            return ua.StatusCodes.BadNodeIdUnknown
        if one.ItemToMonitor.AttributeId == ua.AttributeIds.EventNotifier:
            return ua.StatusCodes.BadNotSupported
        if one.ItemToMonitor.IndexRange:
            return ua.StatusCodes.BadIndexRangeInvalid
        return 0 if _plain(one.RequestedParameters.Filter) else ua.StatusCodes.BadMonitoredItemFilterUnsupported

    def _tame(self, asked: ua.MonitoringParameters) -> None:
        asked.QueueSize = ua.Counter(min(max(asked.QueueSize, 1), self.limits.queue))
        if not isinstance(asked.Filter, ua.DataChangeFilter):
            asked.Filter = None

    async def modify_monitored_items(self, params: ua.ModifyMonitoredItemsParameters) -> list[ua.MonitoredItemModifyResult]:
        """The same bounds again."""
        self._must_be_mine(params.SubscriptionId)
        self._at_most(params.ItemsToModify, self.limits.nodes)
        known = self.subscription_service.subscriptions[params.SubscriptionId].monitored_item_srv._monitored_items
        results = []
        for one in params.ItemsToModify:
            if one.MonitoredItemId not in known:
                results.append(ua.MonitoredItemModifyResult(StatusCode=bad(ua.StatusCodes.BadMonitoredItemIdInvalid)))
            elif not _plain(one.RequestedParameters.Filter):
                results.append(ua.MonitoredItemModifyResult(StatusCode=bad(ua.StatusCodes.BadMonitoredItemFilterUnsupported)))
            else:
                self._tame(one.RequestedParameters)
                results += self.subscription_service.modify_monitored_items(replace(params, ItemsToModify=[one]))
        return results

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> list[ua.StatusCode]:
        """Of a subscription of one's own."""
        self._must_be_mine(params.SubscriptionId)
        return self.subscription_service.delete_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> list[ua.StatusCode]:
        """Of a subscription of one's own."""
        self._must_be_mine(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(self, params: ua.SetPublishingModeParameters) -> list[ua.StatusCode]:
        """Of subscriptions of one's own."""
        invalid, results = bad(ua.StatusCodes.BadSubscriptionIdInvalid), []
        for one in params.SubscriptionIds:
            mine = self._mine(one)
            results += await super().set_publishing_mode(replace(params, SubscriptionIds=[one])) if mine else [invalid]
        return results

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        """Of a subscription of one's own; what was agreed stays."""
        self._must_be_mine(params.SubscriptionId)
        return super().modify_subscription(params)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        """One's own."""
        invalid, results = bad(ua.StatusCodes.BadSubscriptionIdInvalid), []
        for one in ids:
            results += await super().delete_subscriptions([one]) if self._mine(one) else [invalid]
        return results

    def publish(self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None) -> tuple[int, list[ua.StatusCode]]:
        """Acknowledge what came of one's own subscriptions."""
        mine = self._subscriptions()
        if not mine:
            raise ServiceError(ua.StatusCodes.BadNoSubscription)
        results = []
        for ack in acks or ():
            if self._mine(ack.SubscriptionId):
                self.subscription_service.subscriptions[ack.SubscriptionId].publish([ack.SequenceNumber])
            results.append(bad(0 if self._mine(ack.SubscriptionId) else ua.StatusCodes.BadSubscriptionIdInvalid))
        return len(mine), results

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """What was sent and not acknowledged."""
        self._must_be_mine(params.SubscriptionId)
        found = self.subscription_service.subscriptions[params.SubscriptionId]._not_acknowledged_results
        if params.RetransmitSequenceNumber not in found:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        message: ua.NotificationMessage = found[params.RetransmitSequenceNumber].NotificationMessage
        return message


class PlantServer(InternalServer):
    """asyncua's inner server, whose sessions are ours and cannot be taken over."""

    def __init__(self, limits: Limits) -> None:
        """Without the services that nobody needs."""
        super().__init__(user_manager=AnyUser())
        self.limits = limits
        self.allow_remote_admin = False
        self.disabled_clock = True
        self.supported_tokens = (ua.AnonymousIdentityToken,)  # type: ignore[assignment] # asyncua wants exactly three
        self.min_session_timeout_ms, self.max_session_timeout_ms = (one * MILLI_PER_UNIT for one in limits.session_s)
        self.max_subscriptions = limits.connections * limits.subscriptions
        self.max_unacked_messages_per_subscription = limits.queue
        self.max_monitored_item_queue_size = limits.queue
        self.space: Space
        self.answer: Answer

    def create_session(self, name: str, user: User = NO_USER, external: bool = False) -> PlantSession:
        """A session of ours."""
        found = PlantSession(self, self.aspace, self.subscription_service, str(name), user=user, external=external)
        found.limits, found.space, found.answer = self.limits, self.space, self.answer
        return found

    def lookup_external_session(self, auth_token: ua.NodeId) -> InternalSession | None:
        """None: tokens of asyncua can be guessed, so no other connection may go on with a session."""
        return None


def checked(arguments: Sequence[Argument], given: Sequence[ua.Variant]) -> tuple[int, list[ua.StatusCode]]:
    """What is wrong with a call's arguments: a status code (0: nothing), and one per argument."""
    if len(given) < len(arguments):
        return ua.StatusCodes.BadArgumentsMissing, []
    if len(given) > len(arguments):
        return ua.StatusCodes.BadTooManyArguments, []
    fits = [_fits(argument, value) for argument, value in zip(arguments, given, strict=True)]
    results = [bad(0 if fit else ua.StatusCodes.BadTypeMismatch) for fit in fits]
    return (0 if all(fits) else ua.StatusCodes.BadInvalidArgument), results


def _fits(argument: Argument, given: ua.Variant) -> bool:
    """Whether a value has the type of an argument; every whole number does for a number."""
    if argument.array != isinstance(given.Value, list):
        return False
    if argument.kind is Kind.DOUBLE:
        return given.VariantType in FLOATS | WHOLE
    if argument.kind in MAX_OF:
        return given.VariantType in WHOLE and 0 <= given.Value < MAX_OF[argument.kind]
    if argument.kind is Kind.STRING:
        return given.VariantType is ua.VariantType.String and (given.Value is None or isinstance(given.Value, str))
    return bool(given.VariantType is TYPES[argument.kind]) and given.Value is not None


def _plain(found: object) -> bool:
    """Whether a filter is none, or one of changes without a deadband: asyncua cannot subtract arrays."""
    if isinstance(found, ua.DataChangeFilter):
        return found.DeadbandType == ua.DeadbandType.None_ and found.Trigger in set(ua.DataChangeTrigger)
    return found is None or (isinstance(found, ua.ExtensionObject) and found.TypeId.Identifier == 0)


def _weight(value: ua.DataValue) -> int:
    """About how many bytes a value takes."""
    inner = None if value.Value is None else value.Value.Value
    if isinstance(inner, bytes | str):
        return len(inner)
    if not isinstance(inner, list):
        return 8
    return 8 * len(inner) if inner and isinstance(inner[0], float) else 200 * len(inner)
