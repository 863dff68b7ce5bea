"""The plant's end, by asyncua: reads a whole schedule and the heartbeat, and calls the methods by which a plant speaks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scheduler.adapters.plantlink.opcua.model import HEARTBEAT, METHODS, NAMESPACE, SUBMIT, Method, node_name
from scheduler.adapters.plantlink.opcua.spoken import payload_of, values_of
from scheduler.core.publishing.message import problems
from scheduler.domain.errors import Misconfigured
from scheduler.domain.plantlink import AlarmLevel, Heartbeat, LinkMode, Receipt, ScheduleState

if TYPE_CHECKING:
    from asyncua import Client, ua
    from asyncua.crypto.uacrypto import CertProperties

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0
LOOK_S = 2.0
NEVER = datetime(1601, 1, 1, tzinfo=UTC)


class OpcuaPlantClient:
    """A `ports.PlantClient`."""

    def __init__(
        self,
        url: str,
        offtake_id: str,
        *,
        certificate: str = "",
        key: str = "",
        server_certificate: str = "",
        timeout_s: float = 5.0,
    ) -> None:
        """Nothing is connected yet.

        Args:
            url: opc.tcp://host:port.
            offtake_id: of whom we speak.
            certificate: ours, DER or PEM; empty: without security, where all we may do is read.
            key: its key, PEM.
            server_certificate: the one that the other side must have; with security it is needed.
            timeout_s: for one answer.

        Raises:
            Misconfigured: the URL is none, or security is set up by half.
        """
        if urlsplit(url).scheme != "opc.tcp" or not urlsplit(url).hostname:
            raise Misconfigured(
                f"{url!r} is no address of an OPC UA server", where="address", expected="opc.tcp://192.0.2.7:4840"
            )
        files = {"certificate": certificate, "key": key, "server_certificate": server_certificate}
        missing = [name for name, path in files.items() if not path]
        if 0 < len(missing) < len(files):
            raise Misconfigured(f"{missing[0]} is missing", where="opcua", expected=f"all or none of {', '.join(files)}")
        self._url, self._offtake, self._files, self._timeout_s = url, offtake_id, files if not missing else {}, timeout_s
        self._client: Client | None = None
        self._index = 0
        self._trouble = "not connected yet"

    async def run(self) -> None:
        """As the port says."""
        _quiet()
        self._must_be_there()
        wait_s = FIRST_WAIT_S
        while True:
            try:
                await self._hold()
            except Exception as error:  # noqa: BLE001, RUF100 - a library's failures and the world's end alike: try again
                wait_s = FIRST_WAIT_S if self._client is not None else min(2.0 * wait_s, LONGEST_WAIT_S)
                self._trouble = f"{self._url}: {_why(error)}"
            finally:
                await self._leave()
            await asyncio.sleep(wait_s)

    def _must_be_there(self) -> None:
        for name, path in self._files.items():
            if not Path(path).is_file():
                raise Misconfigured(f"{path} is no file", where=name, expected="a certificate or key")

    async def _hold(self) -> None:
        """Connect, and look now and then whether the connection lives; raises when it does not."""
        client = await self._made()
        await client.connect()
        try:
            self._index = await client.get_namespace_index(NAMESPACE)
        except BaseException:
            await _gone(client)
            raise
        self._client, self._trouble = client, ""
        while True:
            await asyncio.sleep(LOOK_S)
            await client.check_connection()
            await client.nodes.server_state.read_value()

    async def _made(self) -> Client:
        from asyncua import Client
        from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

        client = Client(self._url, timeout=self._timeout_s)
        client.session_timeout = 60_000
        if self._files:
            from scheduler.adapters.plantlink.opcua.certificates import application_uri, loaded

            files = {name: Path(path).read_bytes() for name, path in self._files.items()}  # noqa: ASYNC240 - three small files
            client.application_uri = application_uri(loaded(files["certificate"]))
            certificate, key, theirs = (_format(files[name]) for name in ("certificate", "key", "server_certificate"))
            await client.set_security(SecurityPolicyBasic256Sha256, certificate, key, server_certificate=theirs)
        return client

    async def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await _gone(client)

    async def schedule(self) -> Mapping[str, object] | None:
        """As the port says."""
        (value,) = await self._read(["Schedule/Message"])
        if not isinstance(value, str):
            return None
        try:
            payload = json.loads(value)
        except ValueError:
            return None
        whole = isinstance(payload, dict) and not problems(payload) and payload.get("offtakeId") == self._offtake
        return payload if whole else None

    async def heartbeat(self) -> Heartbeat | None:
        """As the port says."""
        values = await self._read([one.path for one in HEARTBEAT])
        found = {one.path.removeprefix("Heartbeat/"): value for one, value in zip(HEARTBEAT, values, strict=True)}
        if not isinstance(found["Counter"], int) or not isinstance(found["At"], datetime) or found["Mode"] not in set(LinkMode):
            return None
        states = {state.value: state for state in ScheduleState}
        level, sequence, boiler_kw = found["AlarmLevel"], found["LastSequence"], found["BoilerKw"]
        return Heartbeat(
            offtake_id=self._offtake,
            counter=found["Counter"],
            at_utc=_utc(found["At"]),
            last_sequence=sequence if isinstance(sequence, int) else None,
            mode=LinkMode(str(found["Mode"])),
            bypass=found["Bypass"] is not False,
            boiler_on=found["BoilerNeeded"] is not False,
            boiler_kw=float(boiler_kw) if isinstance(boiler_kw, float) else None,
            alarm=AlarmLevel(level) if isinstance(level, int) and level in set(AlarmLevel) else AlarmLevel.CRITICAL,
            alarm_text=str(found["AlarmText"] or ""),
            operator_silent=found["OperatorSilent"] is not False,
            state=states.get(str(found["ScheduleState"]), ScheduleState.NONE),
        )

    async def _read(self, paths: Sequence[str]) -> list[object]:
        """Values in one request; None where there is none, or a bad one."""
        client = self._client
        if client is None:
            return [None] * len(paths)
        try:
            values = await client.uaclient.read_attributes([self._node_id(path) for path in paths], _value_attribute())
        except Exception as error:  # noqa: BLE001, RUF100 - a library's failures and the world's: None says it
            self._trouble = _why(error)
            return [None] * len(paths)
        self._trouble = ""
        return [_good(one) for one in values]

    async def say(self, kind: str, payload: Mapping[str, object]) -> Receipt:
        """As the port says."""
        client = self._client
        if client is None:
            return Receipt(accepted=False, reason=self._trouble or "not connected")
        method, values = call_of(kind, payload)
        try:
            outputs = await self._called(client, method, values)
        except Exception as error:  # noqa: BLE001, RUF100 - a library's failures and the world's: the receipt says it
            return Receipt(accepted=False, reason=_why(error), again=_unkept(error))
        accepted, reason = outputs
        return Receipt(accepted=accepted is True, reason=str(reason or ""))

    async def _called(self, client: Client, method: Method, values: Sequence[object]) -> Sequence[Any]:
        from asyncua import ua

        arguments = [
            ua.Variant(value, ua.VariantType[one.kind.value], is_array=one.array)
            for one, value in zip(method.arguments, values, strict=True)
        ]
        plant = client.get_node(self._node_id("Plant"))
        found: Sequence[Any] = await plant.call_method(self._node_id(method.path), *arguments)
        return found

    def _node_id(self, path: str) -> ua.NodeId:
        from asyncua import ua

        return ua.NodeId(ua.String(node_name(self._offtake, path)), ua.Int16(self._index))

    def trouble(self) -> str:
        """As the port says."""
        return self._trouble


def call_of(kind: str, payload: Mapping[str, object]) -> tuple[Method, list[object]]:
    """The typed method of a kind, if it carries all that is said and nothing else; the one that takes JSON otherwise."""
    for method in METHODS:
        with suppress(ValueError, TypeError, OverflowError):
            values = values_of(method, payload) if method.letter == kind else None
            if values is not None and payload_of(method, values, NEVER) == payload:
                return method, values
    submit = next(method for method in METHODS if method.path == SUBMIT)
    return submit, [kind, json.dumps(payload)]


def _quiet() -> None:
    """Keep tracebacks of lost connections out of the log; `trouble` tells of them in a line.

    Raises:
        Misconfigured: it is not installed.
    """
    try:
        import asyncua
    except ImportError as error:
        raise Misconfigured(f"{error.name} is missing", where="opcua", expected="pip install heat-dispatch[opcua]") from None
    logging.getLogger(asyncua.__name__).setLevel(logging.CRITICAL)


def _format(data: bytes) -> CertProperties:
    """A file of a certificate or key in the format that its content says; asyncua goes by the name."""
    from asyncua.crypto.uacrypto import CertProperties

    return CertProperties(data, "pem" if b"-----BEGIN" in data else "der")


async def _gone(client: Client) -> None:
    """Leave, in whatever state the connection is."""
    with suppress(Exception):
        await asyncio.wait_for(client.disconnect(), LOOK_S)


def _unkept(error: Exception) -> bool:
    """Whether the other side could not write a letter down, and would have it again."""
    from asyncua import ua

    return isinstance(error, ua.UaStatusCodeError) and error.code == ua.StatusCodes.BadResourceUnavailable


def _value_attribute() -> ua.AttributeIds:
    from asyncua import ua

    return ua.AttributeIds.Value


def _good(value: ua.DataValue) -> object:
    """A value whose status is not bad; None otherwise."""
    bad = value.Value is None or (value.StatusCode is not None and value.StatusCode.is_bad())
    return None if bad or value.Value is None else value.Value.Value


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _why(error: BaseException) -> str:
    text = str(error).split("\n", 1)[0][:120]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
