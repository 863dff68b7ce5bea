"""Nodes of the address space: built once for each offtake, and brought up to what its board says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from asyncua import ua
from asyncua.server.internal_server import InternalServer

from scheduler.adapters.plantlink.opcua.model import (
    GROUPS,
    IN_CHARGE,
    METHODS,
    OFFTAKE_TYPE,
    OUTPUTS,
    ROOT,
    STANDING_BY,
    VARIABLES,
    Argument,
    Kind,
    Method,
    Quality,
    Unit,
    Variable,
    node_name,
)
from scheduler.adapters.plantlink.opcua.shown import Shown, shown
from scheduler.domain.plantlink import Board

UNECE = "http://www.opcfoundation.org/UA/units/un/cefact"
TYPES = {kind: ua.VariantType[kind.value] for kind in Kind}
STATUS = {quality: ua.StatusCode(getattr(ua.StatusCodes, quality.value)) for quality in Quality}
EMPTY = {
    Kind.BOOLEAN: False, Kind.UINT32: 0, Kind.UINT64: 0, Kind.DOUBLE: 0.0, Kind.STRING: "",
    Kind.DATETIME: datetime(1601, 1, 1, tzinfo=UTC),
}  # fmt: skip
KIND_OF = {variable.path: variable.kind for variable in VARIABLES}


class Space:
    """Our part of the address space: who owns which node, and what each shows."""

    def __init__(self, iserver: InternalServer, index: int, known: Iterable[str]) -> None:
        """Nothing is there yet.

        Args:
            iserver: asyncua's inner server, with the standard nodes.
            index: of our namespace.
            known: offtakes that clients expect here, also while another replica is in charge and there are no boards.
        """
        self._known = frozenset(known)
        self._iserver, self._index = iserver, index
        self._owner: dict[ua.NodeId, str] = {}
        self._methods: dict[ua.NodeId, tuple[str, Method]] = {}
        self._last: dict[tuple[str, str], dict[str, Shown]] = {}
        self._built: set[str] = set()
        self._level = -1

    async def begin(self) -> None:
        """Build what belongs to nobody: the folder, and the type of an offtake."""
        objects, types = standard(ua.ObjectIds.ObjectsFolder), standard(ua.ObjectIds.BaseObjectType)
        await self._object(objects, ROOT, ROOT, standard(ua.ObjectIds.FolderType), ua.ObjectIds.Organizes)
        await self._add(
            types, OFFTAKE_TYPE, OFFTAKE_TYPE, ua.ObjectIds.HasSubtype, ua.NodeClass.ObjectType,
            ua.ObjectTypeAttributes(Description=ua.LocalizedText("One heat customer's contract"), IsAbstract=False),
        )  # fmt: skip
        await self._parts(OFFTAKE_TYPE, is_type=True)

    # Whose a node is.

    def seen_by(self, node_id: ua.NodeId, offtakes: frozenset[str] | None) -> bool:
        """Whether a node exists for somebody who may see these offtakes; None: all of them."""
        owner = self._owner.get(node_id)
        return owner is None or offtakes is None or owner in offtakes

    def method(self, object_id: ua.NodeId, method_id: ua.NodeId) -> tuple[str, Method] | None:
        """Offtake and method of a call; None: there is none of this kind on that object."""
        found = self._methods.get(method_id)
        return found if found is not None and object_id == self.node_id(node_name(found[0], "Plant")) else None

    def node_id(self, name: str) -> ua.NodeId:
        """A node of our namespace."""
        return ua.NodeId(ua.String(name), ua.Int16(self._index))

    # What it shows.

    async def show(self, boards: Mapping[str, Board], now_utc: datetime) -> None:
        """Bring every node up to date, in one step: nothing else runs before the last value is written."""
        for offtake in sorted((self._known | set(boards)) - self._built):
            await self._build(offtake)
        for offtake in sorted(self._built):
            values = shown(boards.get(offtake), now_utc)
            for group in GROUPS:
                await self._show_group(offtake, group, values, now_utc)
        await self._show_level(IN_CHARGE if boards else STANDING_BY, now_utc)

    async def _show_group(self, offtake: str, group: str, values: Mapping[str, Shown], now_utc: datetime) -> None:
        """A group changes as a whole, so that all of it has the same SourceTimestamp."""
        mine = {path: one for path, one in values.items() if path.startswith(f"{group}/")}
        if self._last.get((offtake, group)) == mine:
            return
        self._last[offtake, group] = mine
        for path, one in mine.items():
            node_id = self.node_id(node_name(offtake, path))
            await self._iserver.write_attribute_value(node_id, data_value(KIND_OF[path], one, now_utc))

    async def _show_level(self, level: int, now_utc: datetime) -> None:
        if level != self._level:
            self._level = level
            at = cast(ua.DateTime, now_utc)
            value = ua.DataValue(ua.Variant(level, ua.VariantType.Byte), SourceTimestamp=at, ServerTimestamp=at)
            await self._iserver.write_attribute_value(standard(ua.ObjectIds.Server_ServiceLevel), value)

    # How it is built.

    async def _build(self, offtake: str) -> None:
        """All nodes of one offtake."""
        folder, kind = self.node_id(ROOT), self.node_id(OFFTAKE_TYPE)
        await self._object(folder, offtake, offtake, kind, ua.ObjectIds.Organizes)
        await self._parts(offtake, is_type=False)
        self._built.add(offtake)

    async def _parts(self, name: str, *, is_type: bool) -> None:
        """Groups, variables and methods below an offtake, or below the type of all."""
        top = self.node_id(name)
        plain = standard(ua.ObjectIds.BaseObjectType)
        made = [await self._object(top, node_name(name, group), group, plain, ua.ObjectIds.HasComponent) for group in GROUPS]
        made += [await self._variable(name, one) for one in VARIABLES]
        made += [await self._method(name, one) for one in METHODS]
        if is_type:
            for node_id in made:
                await self._mandatory(node_id)
            return
        self._owner |= {node_id: name for node_id in (top, *made)}
        self._methods |= {self.node_id(node_name(name, one.path)): (name, one) for one in METHODS}

    async def _mandatory(self, node_id: ua.NodeId) -> None:
        reference = ua.AddReferencesItem(
            SourceNodeId=node_id, ReferenceTypeId=standard(ua.ObjectIds.HasModellingRule), IsForward=True,
            TargetNodeId=standard(ua.ObjectIds.ModellingRule_Mandatory), TargetNodeClass=ua.NodeClass.Object,
        )  # fmt: skip
        for status in await self._iserver.isession.add_references([reference]):
            status.check()

    async def _object(self, parent: ua.NodeId, name: str, label: str, kind: ua.NodeId, by: int) -> ua.NodeId:
        attributes = ua.ObjectAttributes(DisplayName=ua.LocalizedText(label), EventNotifier=0)
        return await self._add(parent, name, label, by, ua.NodeClass.Object, attributes, kind)

    async def _variable(self, name: str, one: Variable) -> ua.NodeId:
        group, label = one.path.split("/")
        kind = ua.ObjectIds.BaseDataVariableType if one.unit is None else ua.ObjectIds.AnalogUnitType
        attributes = readable(ua.Variant([] if one.array else EMPTY[one.kind], TYPES[one.kind], is_array=one.array), one.text)
        parent = self.node_id(node_name(name, group))
        node_id = await self._add(
            parent,
            node_name(name, one.path),
            label,
            ua.ObjectIds.HasComponent,
            ua.NodeClass.Variable,
            attributes,
            standard(kind),
        )
        if one.unit is not None:
            unit = await self._property(node_id, "EngineeringUnits", engineering_unit(one.unit), ua.ObjectIds.EUInformation)
            self._owner |= {unit: name} if name != OFFTAKE_TYPE else {}
        return node_id

    async def _method(self, name: str, one: Method) -> ua.NodeId:
        group, label = one.path.split("/")
        attributes = ua.MethodAttributes(
            DisplayName=ua.LocalizedText(label), Description=ua.LocalizedText(one.text), Executable=True, UserExecutable=True
        )
        parent = self.node_id(node_name(name, group))
        by, kind = ua.ObjectIds.HasComponent, ua.NodeClass.Method
        node_id = await self._add(parent, node_name(name, one.path), label, by, kind, attributes)
        for browse_name, arguments in (("InputArguments", one.arguments), ("OutputArguments", OUTPUTS)):
            value = [described(argument) for argument in arguments]
            made = await self._property(node_id, browse_name, value, ua.ObjectIds.Argument)
            self._owner |= {made: name} if name != OFFTAKE_TYPE else {}
        return node_id

    async def _property(self, parent: ua.NodeId, label: str, value: Any, kind: int) -> ua.NodeId:
        """A property of the standard: its name is in the standard's namespace."""
        attributes = readable(ua.Variant(value, ua.VariantType.ExtensionObject, is_array=isinstance(value, list)), "")
        attributes.DataType = standard(kind)
        item = ua.AddNodesItem(
            ParentNodeId=parent, ReferenceTypeId=standard(ua.ObjectIds.HasProperty), BrowseName=ua.QualifiedName(label, 0),
            RequestedNewNodeId=self.node_id(f"{parent.Identifier!s}/{label}"), NodeClass=ua.NodeClass.Variable,
            NodeAttributes=attributes, TypeDefinition=standard(ua.ObjectIds.PropertyType),
        )  # fmt: skip
        attributes.DisplayName = ua.LocalizedText(label)
        return await self._added(item)

    async def _add(
        self, parent: ua.NodeId, name: str, label: str, by: int, node_class: ua.NodeClass, attributes: Any,
        kind: ua.NodeId | None = None,
    ) -> ua.NodeId:  # fmt: skip
        attributes.DisplayName = ua.LocalizedText(label)
        return await self._added(
            ua.AddNodesItem(
                ParentNodeId=parent,
                ReferenceTypeId=standard(by),
                RequestedNewNodeId=self.node_id(name),
                BrowseName=ua.QualifiedName(label, self._index),
                NodeClass=node_class,
                NodeAttributes=attributes,
                TypeDefinition=kind or ua.NodeId(),
            )
        )

    async def _added(self, item: ua.AddNodesItem) -> ua.NodeId:
        (result,) = await self._iserver.isession.add_nodes([item])
        result.StatusCode.check()
        return cast(ua.NodeId, result.AddedNodeId)


def standard(number: int) -> ua.NodeId:
    """A node of the standard."""
    return ua.NodeId(ua.Int32(number))


def data_value(kind: Kind, one: Shown, now_utc: datetime) -> ua.DataValue:
    """A value with its status code and time."""
    variant = ua.Variant(one.value, ua.VariantType.Null if one.value is None else TYPES[kind])
    at = cast(ua.DateTime, now_utc)
    return ua.DataValue(variant, STATUS[one.quality], SourceTimestamp=at, ServerTimestamp=at)


def readable(value: ua.Variant, text: str) -> ua.VariableAttributes:
    """Attributes of a variable that everybody may read, who sees it at all, and nobody may write."""
    return ua.VariableAttributes(
        Description=ua.LocalizedText(text),
        Value=value,
        DataType=standard(value.VariantType.value),
        ValueRank=ua.ValueRank.OneDimension if value.is_array else ua.ValueRank.Scalar,
        AccessLevel=ua.AccessLevel.CurrentRead.mask,
        UserAccessLevel=ua.AccessLevel.CurrentRead.mask,
    )


def engineering_unit(unit: Unit) -> ua.EUInformation:
    """A unit as OPC 10000-8 has it."""
    return ua.EUInformation(UNECE, unit.unit_id, ua.LocalizedText(unit.symbol), ua.LocalizedText(unit.name))


def described(argument: Argument) -> ua.Argument:
    """An argument of a method, with its meaning and unit in words."""
    unit = "" if argument.unit is None else f", {argument.unit.symbol}"
    left_out = "; may be left out" if argument.optional else ""
    return ua.Argument(
        Name=argument.name,
        DataType=standard(TYPES[argument.kind].value),
        ValueRank=ua.ValueRank.OneDimension if argument.array else ua.ValueRank.Scalar,
        ArrayDimensions=[0] if argument.array else [],
        Description=ua.LocalizedText(f"{argument.text}{unit}{left_out}"),
    )
