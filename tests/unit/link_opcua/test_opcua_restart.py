"""A server that is started again, with a new certificate; and one that lets everybody read."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from opcua_world import WAIT_S, OpcuaWorld, SwitchedDesk, schedule, serving, world_in

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.opcua.certificates import NotTrusted, OurIdentity, TrustedClients
from scheduler.adapters.plantlink.opcua.client import OpcuaPlantClient
from scheduler.adapters.plantlink.opcua.self_signed import self_signed
from scheduler.core.publishing.letters import LetterLimits
from scheduler.domain.errors import Misconfigured


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def again(world: OpcuaWorld, **changes: Any) -> OpcuaWorld:
    """The same site in another process, so to speak: a desk and a loop of its own."""
    kw = LetterLimits(max_heat_kw=200.0, tank_kwh=500.0)
    desk = SwitchedDesk("site", {"town": kw, "school": kw}, {"town": "plug", "school": "plug"}, world.clock)
    return replace(world, desk=desk, loop=asyncio.new_event_loop(), options=replace(world.options, **changes))


class Last:
    """The last value that a subscription brought."""

    def __init__(self) -> None:
        self.value: object = None

    async def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.value = value


async def until(true: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():  # noqa: ASYNC110 - what is waited for is told by nobody
            await asyncio.sleep(0.05)


def begin(stack: ExitStack, world: OpcuaWorld, sequence: int) -> OpcuaWorld:
    stack.enter_context(serving(world))
    world.do(world.desk.post("town", schedule(world.clock.now_utc(), sequence)))
    return world


def test_clients_and_their_subscriptions_come_back_when_the_server_does(tmp_path: Path) -> None:
    first, second = world_in(tmp_path, port=free_port()), ExitStack()

    async def story(stack: ExitStack) -> None:
        plant = OpcuaPlantClient(
            first.url, "town", certificate=str(first.trusted / "town-plant.der"), key=str(first.keys.key),
            server_certificate=str(first.server_certificate),
        )  # fmt: skip
        running, last = asyncio.create_task(plant.run()), Last()
        client = await first.client(first.trusted / "town-plant.der")
        await client.connect(auto_reconnect=True, reconnect_max_delay=0.5)
        subscription = await client.create_subscription(100, last)
        await subscription.subscribe_data_change(client.get_node(first.node_id("town/Schedule/Sequence")))
        await until(lambda: last.value == 1 and not plant.trouble())
        await asyncio.to_thread(stack.close)
        await until(plant.trouble)
        assert await plant.heartbeat() is None
        assert not (await plant.say("heartbeat", {"counter": 1})).accepted
        standby = again(first, insecure_reading=True)
        standby.desk.in_charge = False
        world = await asyncio.to_thread(begin, second, standby, 2)
        await nothing_is_said_by_one_that_stands_by(world)
        world.desk.in_charge = True
        await until(lambda: last.value == 2 and not plant.trouble())
        found = await plant.schedule()
        assert found is not None
        assert found["sequence"] == 2
        await client.disconnect()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await everybody_may_read_and_nobody_speak(world)

    stack = ExitStack()
    try:
        begin(stack, first, 1)
        asyncio.run(story(stack))
    finally:
        stack.close()
        second.close()


async def nothing_is_said_by_one_that_stands_by(world: OpcuaWorld) -> None:
    async with Client(world.url, timeout=WAIT_S) as client:
        node_ids = [world.node_id(f"town/{path}") for path in ("Heartbeat/BoilerNeeded", "Schedule/Sequence")]
        found = await client.uaclient.read_attributes(node_ids, ua.AttributeIds.Value)
        codes = [one.StatusCode.value for one in found if one.StatusCode is not None]
        assert codes == [ua.StatusCodes.BadOutOfService] * 2


async def everybody_may_read_and_nobody_speak(world: OpcuaWorld) -> None:
    async with Client(world.url, timeout=WAIT_S) as client:
        for offtake in ("town", "school"):
            counter = client.get_node(world.node_id(f"{offtake}/Heartbeat/Counter"))
            assert await counter.read_value() == 0
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await client.get_node(world.node_id("town/Plant")).call_method(
                world.node_id("town/Plant/SubmitHeartbeat"), ua.Variant(1, ua.VariantType.UInt32)
            )
        assert refused.value.code == ua.StatusCodes.BadUserAccessDenied
    assert not world.desk.letters


def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(tmp_path: Path) -> None:
    now_utc = SystemClock().now_utc()
    pair = self_signed(tmp_path, "link", now_utc)
    assert pair.key.stat().st_mode & 0o077 == 0
    identity = OurIdentity(str(pair.certificate), str(pair.key))
    before = identity.current()
    assert before.uri == "urn:heat-dispatch:link"
    self_signed(tmp_path, "link", now_utc)
    renewed = identity.current()
    assert renewed.certificate != before.certificate
    pair.certificate.write_bytes(b"half of i")
    assert identity.current() == renewed
    assert "the old ones still are" in identity.trouble
    with pytest.raises(Misconfigured):
        OurIdentity(str(pair.certificate), str(pair.key))


def test_the_folder_of_trusted_certificates_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    now_utc = SystemClock().now_utc()
    folder = tmp_path / "trusted"
    folder.mkdir()
    (folder / "nobody.der").write_bytes(b"x")
    (folder / "plant.pem").write_bytes(b"-----BEGIN nonsense")
    trusted = TrustedClients(str(folder), {"plant": ("town",), "other": ("school",)})
    trusted.refresh()
    for part in ("nobody.der belongs to nobody", "plant.pem cannot be used", "other has no certificate"):
        assert part in trusted.trouble
    with pytest.raises(NotTrusted, match="no certificate"):
        trusted.client(None, now_utc)
    (folder / "nobody.der").unlink()
    (folder / "plant.pem").unlink()
    made = self_signed(tmp_path, "other", now_utc).certificate.read_bytes()
    (folder / "other.der").write_bytes(made)
    # A client may send its certificate with those of its authorities behind it.
    assert trusted.client(made + b"\x30\x82\x00\x01x", now_utc).offtakes == {"school"}
    assert trusted.trouble == "trusted: plant has no certificate"
    (folder / "plant.der").write_bytes(made)
    trusted.refresh()
    assert "plant.der is the same as that of other" in trusted.trouble
