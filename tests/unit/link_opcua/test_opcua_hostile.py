"""What an enemy sends to the OPC UA port: nothing of it is believed, kept for long, logged as a traceback, or felt."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss, SecurityPolicyBasic256Sha256
from opcua_hostile import Attack, attacked, attacks, betrayals, betrayed, body_of
from opcua_world import URI, WAIT_S, OpcuaWorld, schedule, serving, world_in

from scheduler.adapters.plantlink.opcua.decoding import StrictBuffer, be_strict
from scheduler.adapters.plantlink.opcua.limits import Limits
from scheduler.adapters.plantlink.opcua.server import OpcuaInterface
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import OpcuaOptions

LIMITS = Limits(handshake_s=1.5, message_s=1.0, new_per_s=1e6, new_burst=10**6, connections=40, per_address=30, per_client=3)
HOSTILE = 500
# The interface and its two loops.
TASKS = 3
HELLO = (
    b"HELF" + struct.pack("<IIIIII", 32 + 24, 0, 65535, 65535, 0, 0) + struct.pack("<i", 24) + b"opc.tcp://127.0.0.1:4840/"[:24]
)
# An OPN with policy None and a request of nothing but negative lengths, as asyncua's decoder would follow for ever.
NEGATIVE = struct.pack("<i", -4) * 40


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpcuaWorld]:
    with serving(world_in(tmp_path_factory.mktemp("hostile")), LIMITS) as world:
        world.do(world.desk.post("town", schedule(world.clock.now_utc(), 1)))
        yield world


@pytest.fixture(autouse=True)
def quiet(world: OpcuaWorld, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Afterwards nobody has a traceback to read, and the plant is served as before."""
    world.desk.refusals.clear()
    world.desk.letters.clear()
    with caplog.at_level(logging.DEBUG):
        yield
    assert [record for record in caplog.records if record.exc_info] == []
    assert asyncio.run(sequence_seen(world)) == 1
    asyncio.run(nothing_is_left(world))


async def nothing_is_left(world: OpcuaWorld) -> None:
    """No connection, session or subscription of anybody who has gone: each would be a task of the server's loop."""
    async with asyncio.timeout(WAIT_S):
        while len(asyncio.all_tasks(world.loop)) > TASKS:  # noqa: ASYNC110 - the end of a task elsewhere is told by nobody
            await asyncio.sleep(0.05)


async def sequence_seen(world: OpcuaWorld) -> int:
    async with await world.client(world.trusted / "town-plant.der") as client:
        return int(await client.get_node(world.node_id("town/Schedule/Sequence")).read_value())


async def answered(world: OpcuaWorld, *pieces: bytes, end: bool = False) -> bytes:
    """What the server says before it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.interface.port)
    try:
        for piece in pieces:
            writer.write(piece)
        if end:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(-1), WAIT_S)
    except OSError:
        return b""
    finally:
        writer.close()


async def connected(world: OpcuaWorld, certificate: Path, policy: Any = SecurityPolicyBasic256Sha256) -> None:
    client = Client(world.url, timeout=WAIT_S)
    client.application_uri = URI
    await client.set_security(policy, certificate, world.keys.key, server_certificate=str(world.server_certificate))
    async with client:
        pass


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: plant\r\n\r\n", "does not speak OPC UA"),
        (b"HELF" + struct.pack("<I", 2**32 - 1), "a message of a wrong size"),
        (b"HELF" + struct.pack("<I", 3), "a message of a wrong size"),
        (b"MSGF" + struct.pack("<I", 100), "a greeting is missing, or comes twice"),
        (HELLO[:8] + struct.pack("<IIIII", 0, 16, 16, 0, 0) + HELLO[28:], "buffers are too small"),
        (b"HELF" + struct.pack("<I", 40) + NEGATIVE[:32], "what it sends cannot be read"),
    ],
)
def test_what_is_no_greeting_is_turned_away_at_once(world: OpcuaWorld, sent: bytes, why: str) -> None:
    said = asyncio.run(answered(world, sent))
    assert b"ERRF" in said
    assert any(one.what.startswith(why) for one in world.desk.refusals), list(world.desk.refusals)


def test_who_says_nothing_or_half_of_it_is_left(world: OpcuaWorld) -> None:
    async def story() -> None:
        await asyncio.gather(
            answered(world), answered(world, HELLO), answered(world, HELLO, b"OPNF" + struct.pack("<I", 5000) + b"x")
        )

    asyncio.run(story())
    assert [one.what for one in world.desk.refusals].count("is silent, or does not take what it asked for") == 3


def test_hundreds_of_hostile_requests_of_all_kinds_change_nothing(world: OpcuaWorld) -> None:
    trusted = (world.trusted / "town-plant.der").read_bytes()
    came = asyncio.run(attacked(world.interface.port, attacks(HOSTILE, 7, trusted), 20))
    assert len(came) == HOSTILE
    assert [(one.name, said) for one, said in came if said not in {"closed", "fault", "answered"}] == []
    assert not world.desk.letters
    assert len(world.desk.refusals) > HOSTILE // 4


def test_a_message_in_many_chunks_is_as_long_as_one_may_be(world: OpcuaWorld) -> None:
    endpoints = ua.ObjectIds.GetEndpointsRequest_Encoding_DefaultBinary
    long = [Attack("long", body_of(endpoints, bytes(size)), inside=True) for size in (12_000, 20_000)]
    assert [said for _, said in asyncio.run(attacked(world.interface.port, iter(long), 1))] == ["answered", "closed"]
    assert [one.what for one in world.desk.refusals] == ["a message of a wrong size"]


def test_one_who_is_trusted_and_hostile_harms_nobody_else(world: OpcuaWorld) -> None:
    bodies = betrayals(100, 3, world.node_id("town/Schedule/HeatKw"))
    assert asyncio.run(betrayed(lambda: world.client(world.trusted / "school-plant.pem"), bodies)) >= 10
    assert not world.desk.letters


@pytest.mark.parametrize(("days", "name", "why"), [(30, "stranger", "is not trusted"), (-1, "expired", "has expired")])
def test_a_certificate_that_is_unknown_or_expired_is_refused(
    world: OpcuaWorld, tmp_path: Path, days: int, name: str, why: str
) -> None:
    path = world.keys.certificate(name, tmp_path / "client.der", days=days)
    if name == "expired":
        path = world.keys.certificate("school", world.trusted / "school-plant.pem", days=days)
    with pytest.raises((ua.UaError, ConnectionError, TimeoutError, asyncio.CancelledError)):
        asyncio.run(connected(world, path))
    assert any(why in one.what for one in world.desk.refusals), list(world.desk.refusals)
    world.keys.certificate("school", world.trusted / "school-plant.pem")


def test_a_certificate_that_is_taken_away_ends_what_its_owner_has(world: OpcuaWorld) -> None:
    async def story() -> None:
        path = world.trusted / "school-plant.pem"
        content = path.read_bytes()
        async with await world.client(path) as client:
            path.unlink()
            with pytest.raises((ua.UaError, ConnectionError, TimeoutError, asyncio.CancelledError)):
                await client.nodes.server_state.read_value()
        path.write_bytes(content)
        await connected(world, path)

    asyncio.run(story())
    assert any("is not trusted" in one.what for one in world.desk.refusals)


def test_a_second_policy_is_offered(world: OpcuaWorld) -> None:
    asyncio.run(connected(world, world.trusted / "town-plant.der", SecurityPolicyAes256Sha256RsaPss))
    assert not world.desk.refusals


def test_without_security_endpoints_are_listed_and_nothing_else(world: OpcuaWorld) -> None:
    async def story() -> None:
        client = Client(world.url, timeout=WAIT_S)
        found = await client.connect_and_get_server_endpoints()
        assert {one.SecurityMode for one in found} == {ua.MessageSecurityMode.SignAndEncrypt}
        assert {one.Server.ApplicationUri for one in found} == {"urn:test:heat-dispatch"}
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await client.connect()
        assert refused.value.code == ua.StatusCodes.BadSecurityModeInsufficient

    asyncio.run(story())
    assert [one.what for one in world.desk.refusals] == ["a session without a certificate"]


def test_nobody_touches_the_subscription_of_another(world: OpcuaWorld) -> None:
    async def story() -> None:
        async with (
            await world.client(world.trusted / "town-plant.der") as one,
            await world.client(world.trusted / "school-plant.pem") as other,
        ):
            mine = (await one.create_subscription(100, None)).subscription_id
            assert mine is not None
            await other.create_subscription(100, None)
            params = ua.TransferSubscriptionsParameters(SubscriptionIds=[mine])
            with pytest.raises(ua.UaStatusCodeError):
                await other.uaclient.session.transfer_subscriptions(params)
            (deleted,) = await other.uaclient.session.delete_subscriptions([mine])
            assert deleted.name == "BadSubscriptionIdInvalid"
            items = ua.CreateMonitoredItemsParameters(SubscriptionId=mine)
            with pytest.raises(ua.UaStatusCodeError):
                await other.uaclient.session.create_monitored_items(items)
            (still,) = await one.uaclient.session.delete_subscriptions([mine])
            assert still.is_good()

    asyncio.run(story())


def test_one_client_has_only_so_much_of_us(world: OpcuaWorld) -> None:
    async def story() -> None:
        async with await world.client(world.trusted / "town-plant.der") as client:
            made = [await client.create_subscription(1, None) for _ in range(LIMITS.subscriptions)]
            assert len(made) == LIMITS.subscriptions
            with pytest.raises(ua.uaerrors.BadTooManySubscriptions):
                await client.create_subscription(100, None)
            many = [world.node_id("town/Schedule/HeatKw")] * (LIMITS.nodes + 1)
            with pytest.raises(ua.uaerrors.BadTooManyOperations):
                await client.uaclient.read_attributes(many, ua.AttributeIds.Value)
            others = [await world.client(world.trusted / "town-plant.der") for _ in range(LIMITS.per_client - 1)]
            for one in others:
                await one.connect()
            with pytest.raises(ua.uaerrors.BadTooManySessions):
                await (await world.client(world.trusted / "town-plant.der")).connect()
            for one in others:
                await one.disconnect()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("asked_ms", "given_ms"), [(1e-300, 100.0), (-1.0, 100.0), (1e300, 60_000.0), (float("nan"), 60_000.0)]
)
def test_nobody_is_told_more_often_than_is_good(world: OpcuaWorld, asked_ms: float, given_ms: float) -> None:
    async def story() -> None:
        async with await world.client(world.trusted / "town-plant.der") as client:
            params = ua.CreateSubscriptionParameters(RequestedPublishingInterval=ua.Duration(asked_ms), PublishingEnabled=False)
            found = await client.uaclient.create_subscription(params, lambda _: None)
            assert found.RevisedPublishingInterval == given_ms

    asyncio.run(story())


def test_a_deadband_on_an_array_is_refused_before_it_fails_at_each_change(world: OpcuaWorld) -> None:
    async def story() -> None:
        async with await world.client(world.trusted / "town-plant.der") as client:
            subscription = await client.create_subscription(100, None)
            with pytest.raises(ua.UaStatusCodeError) as refused:
                await subscription.deadband_monitor(client.get_node(world.node_id("town/Schedule/HeatKw")), ua.Double(1.0))
            assert refused.value.code == ua.StatusCodes.BadMonitoredItemFilterUnsupported

    asyncio.run(story())


def test_lengths_that_lead_back_and_arrays_of_nothing_are_not_followed() -> None:
    be_strict()
    with pytest.raises(ua.UaError, match="negative length"):
        ua.ua_binary.unpack_uatype_array(ua.VariantType.String, StrictBuffer(struct.pack("<i", 2**31 - 1) + NEGATIVE))
    with pytest.raises(ua.UaError, match="array of nothing"):
        ua.ua_binary.variant_from_binary(StrictBuffer(b"\x80" + struct.pack("<i", 2**31 - 1)))
    with pytest.raises(ua.UaError, match="RESHAPE"):
        ua.ua_binary.variant_from_binary(StrictBuffer(b"\xc6" + struct.pack("<iiii", 0, 1, 10**6, 0)))


def test_a_server_that_nobody_or_anybody_could_use_does_not_start(world: OpcuaWorld) -> None:
    def why(options: OpcuaOptions) -> str:
        with pytest.raises(Misconfigured) as found:
            OpcuaInterface(options, world.desk, world.clock)
        return str(found.value)

    assert "can be reached from other machines" in why(OpcuaOptions(host="192.0.2.7", insecure_reading=True))
    assert "nobody can connect" in why(OpcuaOptions())
    assert "nobody is trusted" in why(replace(world.options, trusted=""))
    assert "go together" in why(replace(world.options, key=""))
    taken = OpcuaInterface(replace(world.options, port=world.interface.port), world.desk, world.clock)
    with pytest.raises(Misconfigured, match="cannot listen"):
        asyncio.run(taken.run())
    assert "an RSA certificate and its key" in why(replace(world.options, key=str(world.server_certificate)))
    assert "is no folder" in why(replace(world.options, trusted=str(world.server_certificate)))
