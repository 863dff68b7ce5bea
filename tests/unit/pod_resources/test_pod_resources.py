"""Who holds which GPU: what devices are called, and a kubelet that is a real gRPC server, well, badly or not at all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubelet_peer import KubeletPeer, RudePeer, claim, container, devices, holding, listed, pod

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.gpu.grpc_unary import MOST_BYTES
from scheduler.adapters.gpu.pod_resources import Held, PodResources, held, occupancy, told
from scheduler.adapters.gpu.wire_proto import Malformed
from scheduler.domain.capping import Occupancy, Occupant

FULL = "GPU-8dcd427f-483b-b48f-d7e5-75fb19a52b76"
MIG = "MIG-b8ea3855-276c-c9cb-b366-c6fa655957c5"
AT_S = 40.0


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[KubeletPeer]:
    with KubeletPeer(tmp_path) as peer:
        yield peer


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[PodResources]:
    found = PodResources(tmp_path, SystemClock())
    yield found
    found.close()


def seen(*pods: bytes) -> Occupancy:
    """What is made of a list of pods."""
    return occupancy(held(listed(list(pods))), AT_S)


def alone(name: str) -> Occupant:
    """A pod of the namespace `lab` that has a GPU for itself."""
    return Occupant(namespace="lab", name=name)


def shared(name: str) -> Occupant:
    """One that has not."""
    return Occupant(namespace="lab", name=name, shared=True)


# --- what a device's id says


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (FULL, (FULL, True)),
        ("GPU-0003", ("GPU-0003", True)),
        (f"{FULL}::7", (FULL, False)),
        (f"{FULL}-7", (FULL, False)),
        (f"MIG-{FULL}/1/0", (FULL, False)),
        (f"MIG-{FULL}/1/0::2", (FULL, False)),
        (MIG, ("", False)),
        ("nvidia0", ("", False)),
        ("nvidia0/gi1", ("", False)),
        ("nvidia0/vgpu2", ("", False)),
        ("nvidia0/gi1/vgpu2", ("", False)),
        ("GPU-", ("", False)),
        (f"{FULL}::", ("", False)),
        (f"{FULL}::x", ("", False)),
        (f"{FULL}\n", ("", False)),
        ("", ("", False)),
    ],
)
def test_ids_of_devices(device: str, expected: tuple[str, bool]) -> None:
    assert told(device) == expected


def test_each_pod_has_its_gpus_and_other_pods_and_resources_are_none_of_it() -> None:
    found = seen(
        holding("train", "GPU-0000", "GPU-0001"),
        pod("idle", container()),
        pod(
            "network",
            container(devices("mlx5_0", resource="nvidia.com/hostdev"), devices("0000:3b:00.0", resource="intel.com/qat")),
        ),
        holding("infer", "GPU-0002"),
    )
    assert found == Occupancy(
        seen_s=AT_S, by_uuid={"GPU-0000": alone("train"), "GPU-0001": alone("train"), "GPU-0002": alone("infer")}
    )


def test_two_containers_of_one_pod_are_one_holder() -> None:
    found = seen(pod("train", container(devices("GPU-0000")), container(devices("GPU-0000"), name="side")))
    assert found.by_uuid == {"GPU-0000": alone("train")}


def test_a_device_on_two_numa_nodes_is_listed_twice_and_is_one() -> None:
    found = seen(pod("train", container(devices("GPU-0000"), devices("GPU-0000"))))
    assert found.by_uuid == {"GPU-0000": alone("train")}


def test_two_pods_on_one_gpu_share_it_whatever_their_names() -> None:
    for other in (holding("infer", "GPU-0000"), holding("train", "GPU-0000", namespace="other")):
        assert seen(holding("train", "GPU-0000"), other).by_uuid == {"GPU-0000": shared("train")}


def test_a_slice_of_time_is_shared_even_when_only_one_pod_has_one() -> None:
    for device in (f"{FULL}::0", f"{FULL}-0", f"MIG-{FULL}/1/0"):
        assert seen(holding("infer", device)).by_uuid == {FULL: shared("infer")}
    both = seen(holding("train", FULL), holding("infer", f"{FULL}::0", resource="nvidia.com/gpu.shared"))
    assert both.by_uuid == {FULL: shared("train")}


def test_a_part_of_a_split_gpu_is_left_out_and_no_other_doubted() -> None:
    found = seen(holding("infer", MIG, resource="nvidia.com/mig-1g.5gb"), holding("train", "GPU-0001"))
    assert (found.by_uuid, found.all_named) == ({"GPU-0001": alone("train")}, True)
    assert found.trouble == f"a part of a GPU, not known which: lab/infer holds {MIG}"


@pytest.mark.parametrize("device", ["nvidia1", "nvidia0/gi1", "nvidia0/vgpu2", "something new"])
def test_a_gpu_that_is_not_known_by_uuid_could_be_each_of_them(device: str) -> None:
    found = seen(holding("train", "GPU-0001"), holding("other", device))
    assert (found.by_uuid, found.all_named) == ({"GPU-0001": shared("train")}, False)
    assert found.trouble == f"not known which GPU this is, so each could be shared: lab/other holds {device}"


def test_a_claim_of_dynamic_allocation_could_be_each_of_them_unless_it_is_of_another_driver() -> None:
    of_network = pod("net", container(claims=(claim("nic-0", driver="dra.net"),)))
    assert seen(holding("train", "GPU-0001"), of_network) == Occupancy(seen_s=AT_S, by_uuid={"GPU-0001": alone("train")})
    found = seen(holding("train", "GPU-0001"), pod("other", container(claims=(claim("gpu-3"),))))
    assert found.by_uuid == {"GPU-0001": shared("train")}
    assert found.trouble.endswith("lab/other holds n0/gpu-3 of gpu.nvidia.com")


def test_a_claimed_device_whose_name_looks_like_a_uuid_is_not_taken_for_one() -> None:
    found = seen(pod("other", container(claims=(claim("gpu-0", pool="GPU-0000"),))))
    assert found.by_uuid == {}
    assert found.trouble


def test_only_the_first_are_named_in_an_order_that_stays() -> None:
    pods = [holding(f"p{number}", f"nvidia{number}") for number in range(5)]
    forth, back = seen(*pods), seen(*reversed(pods))
    assert forth.trouble == back.trouble
    assert forth.trouble.endswith("lab/p2 holds nvidia2, and 2 more")


def test_resources_can_be_renamed_and_uuids_are_known_whatever_their_resource() -> None:
    renamed = listed(
        [holding("train", "GPU-0000", resource="example.com/a100"), holding("other", "0", resource="example.com/h100")]
    )
    assert [one.device for one in held(renamed)] == ["GPU-0000"]
    assert [one.device for one in held(renamed, ("example.com/h*",))] == ["GPU-0000", "0"]


@given(st.binary(max_size=300), st.integers(0, 120))
def test_no_bytes_break_it(noise: bytes, at: int) -> None:
    whole = listed([holding("train", FULL), pod("other", container(claims=(claim("gpu-3"),)))])
    for answer in (noise, whole[:at] + noise, whole[:at] + noise + whole[at:]):
        try:
            found = occupancy(held(answer), AT_S)
        except Malformed:
            continue
        assert found.seen_s == AT_S


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(("GPU-0", "GPU-0::1", "GPU-1", MIG, "nvidia7"))), max_size=6))
def test_who_is_said_to_be_alone_is(given_out: list[tuple[str, str]]) -> None:
    found = occupancy([Held(namespace="lab", pod=name, device=device) for name, device in given_out], AT_S)
    for uuid, one in found.by_uuid.items():
        holders = [(name, device) for name, device in given_out if device.startswith(uuid)]
        doubtful = {name for name, _ in holders} != {one.name} or any(device != uuid for _, device in holders)
        assert one.shared == (doubtful or any(device == "nvidia7" for _, device in given_out))
    assert set(found.by_uuid) == {device.partition("::")[0] for _, device in given_out if device.startswith("GPU-")}


# --- a kubelet


def test_what_a_kubelet_says_is_seen_at_the_next_look(peer: KubeletPeer, resources: PodResources) -> None:
    before_s = SystemClock().monotonic_s()
    empty = resources.look()
    assert (empty.by_uuid, empty.trouble) == ({}, "")
    assert empty.seen_s is not None
    assert before_s <= empty.seen_s <= SystemClock().monotonic_s()
    peer.pods = [holding("train", "GPU-0000")]
    later = resources.look()
    assert later.by_uuid == {"GPU-0000": alone("train")}
    assert later.seen_s is not None
    assert later.seen_s > empty.seen_s
    peer.pods = []
    assert resources.look().by_uuid == {}


def test_answers_of_a_megabyte_are_read_whole(peer: KubeletPeer, resources: PodResources) -> None:
    # More than the windows of HTTP/2, which are 65,535 bytes until they are enlarged.
    peer.pods = [holding(f"pod-{number:05d}-{'x' * 200}", f"GPU-{number:04x}") for number in range(4000)]
    found = resources.look()
    assert len(listed(peer.pods)) > 1_000_000
    assert len(found.by_uuid) == 4000


def test_an_answer_that_is_too_large_is_not_taken(peer: KubeletPeer, resources: PodResources) -> None:
    peer.raw = bytes(MOST_BYTES + 1)
    found = resources.look()
    assert found.seen_s is None
    assert f"larger than {MOST_BYTES} bytes" in found.trouble


def test_a_kubelet_that_ends_is_told_with_what_it_said_last_and_a_new_one_is_found(
    peer: KubeletPeer, resources: PodResources
) -> None:
    peer.pods = [holding("train", "GPU-0000")]
    known = resources.look()
    peer.stop()
    gone = resources.look()
    assert (gone.seen_s, gone.by_uuid) == (known.seen_s, known.by_uuid)
    assert "pod-resources must be mounted" in gone.trouble
    peer.vanish()
    assert "Connection refused" in resources.look().trouble
    peer.start()
    assert resources.look().trouble == ""
    assert resources.look().seen_s != known.seen_s


def test_a_kubelet_that_was_replaced_between_two_looks_is_not_noticed(peer: KubeletPeer, resources: PodResources) -> None:
    assert resources.look().trouble == ""
    peer.stop()
    peer.pods = [holding("train", "GPU-0000")]
    peer.start()
    found = resources.look()
    assert (found.by_uuid, found.trouble) == ({"GPU-0000": alone("train")}, "")


def test_one_that_still_answers_behind_a_file_that_is_anothers_is_left(tmp_path: Path, resources: PodResources) -> None:
    """The new one takes the file's place while the old one has not ended."""
    old, new = (
        KubeletPeer(tmp_path, pods=[holding("old", "GPU-0000")]),
        KubeletPeer(tmp_path, pods=[holding("new", "GPU-0000")]),
    )
    with old:
        assert resources.look().by_uuid == {"GPU-0000": alone("old")}
        with new:
            assert resources.look().by_uuid == {"GPU-0000": alone("new")}


def test_one_that_hangs_takes_a_second_and_what_was_known_grows_old(peer: KubeletPeer, resources: PodResources) -> None:
    peer.pods = [holding("train", "GPU-0000")]
    known = resources.look()
    peer.hang_s = 60.0
    begun_s = time.monotonic()
    late = resources.look()
    assert 0.9 < time.monotonic() - begun_s < 20.0
    assert (late.seen_s, late.by_uuid) == (known.seen_s, known.by_uuid)
    assert late.trouble.endswith("no answer within 1 s")
    peer.hang_s = 0.0
    assert resources.look().trouble == ""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, "this call is not known"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "asked too often"),
        (grpc.StatusCode.DATA_LOSS, "status 15"),
    ],
)
def test_one_that_refuses_is_quoted(peer: KubeletPeer, resources: PodResources, code: grpc.StatusCode, words: str) -> None:
    known = resources.look()
    peer.code = code
    found = resources.look()
    assert found.seen_s == known.seen_s
    assert found.trouble == f"the kubelet does not say who holds its GPUs: it says: {words} (as the test wants it)"


def test_what_cannot_be_understood_is_not_known_though_something_was(peer: KubeletPeer, resources: PodResources) -> None:
    peer.pods = [holding("train", "GPU-0000")]
    assert resources.look().by_uuid
    peer.raw = b"\x0a\xff"
    assert resources.look() == Occupancy(trouble="the kubelet's answer cannot be understood: a number does not end")
    peer.raw = None
    assert resources.look().by_uuid


@pytest.mark.parametrize("hang_up", [True, False])
@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(range(256)) * 50])
def test_what_is_no_grpc_at_all_is_trouble_within_a_second(tmp_path: Path, words: bytes, hang_up: bool) -> None:
    with RudePeer(tmp_path, words, hang_up=hang_up):
        resources = PodResources(tmp_path, SystemClock())
        begun_s = time.monotonic()
        found = resources.look()
        assert time.monotonic() - begun_s < 20.0
        assert found.seen_s is None
        assert found.trouble.startswith("the kubelet does not say who holds its GPUs")
        resources.close()


@settings(max_examples=40, deadline=None)
@given(words=st.binary(max_size=200))
def test_no_frames_of_chance_break_it(tmp_path_factory: pytest.TempPathFactory, words: bytes) -> None:
    folder = tmp_path_factory.mktemp("rude")
    # After an empty SETTINGS frame, so that what follows is read as frames.
    with RudePeer(folder, b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + words):
        resources = PodResources(folder, SystemClock())
        assert resources.look().trouble
        resources.close()


def test_without_a_folder_or_the_right_to_it_the_remedy_is_named(tmp_path: Path) -> None:
    assert "must be mounted there" in PodResources(tmp_path / "nowhere", SystemClock()).look().trouble
    (tmp_path / "kubelet.sock").touch()
    assert "Connection refused" in PodResources(tmp_path, SystemClock()).look().trouble
