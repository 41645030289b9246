"""What was saved outlasts loss of power, anywhere; what is no image of this model is refused."""

import ctypes
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_device import (
    CORRUPT,
    EMPTY,
    FLASH,
    FOREIGN,
    GARBAGE,
    GEOMETRY,
    NEVER,
    PARAMS_BYTES,
    Device,
    build,
)

# Bytes of a programming unit, bytes of a block, blocks. Images of 651 bytes and more.
GEOMETRIES = [(1, 512, 4), (4, 512, 8), (8, 704, 2), (16, 1024, 3), (4, 4096, 2), (256, 1024, 8)]
ALL_GEOMETRIES = [
    (unit, block, count)
    for unit in (1, 4, 8, 256)
    for block in (512, 768, 4096)
    for count in (2, 3, 8)
    if count // 2 * block >= -(-48 // unit) * unit + -(-PARAMS_BYTES // unit) * unit
]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The program that saves and cuts, under the sanitizers."""
    path = build(
        tmp_path_factory.mktemp("store") / "sweep", ["sweep.c"], "-fsanitize=address,undefined"
    )

    def run(geometry, what):
        command = [str(path), *map(str, geometry), str(what)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    return run


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    flags = ("-fsanitize=undefined", "-shared", "-fPIC")
    return ctypes.CDLL(str(build(tmp_path_factory.mktemp("store") / "device.so", [], *flags)))


@pytest.fixture
def device(library):
    return Device(library)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_power_lost_in_any_operation_costs_one_save_at_most(sweep, geometry):
    sweep(geometry, 100)


@pytest.mark.parametrize("geometry", GEOMETRIES[1:3])
def test_power_lost_behind_any_byte_costs_one_save_at_most(sweep, geometry):
    sweep(geometry, "bytes")


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_device_that_loses_power_time_and_again_keeps_its_last_save(sweep, geometry):
    sweep(geometry, "chain")


@pytest.mark.slow
@pytest.mark.parametrize("what", [300, "bytes", "chain"])
@pytest.mark.parametrize("geometry", ALL_GEOMETRIES)
def test_no_flash_of_any_shape_loses_more_than_one_save(sweep, geometry, what):
    sweep(geometry, what)


def test_nothing_is_in_erased_flash(device):
    assert device.load() == (EMPTY, 0)


def test_saves_alternate_between_the_slots_and_count_their_wear(device):
    for state in range(1, 102):
        assert device.save(state) == 0
        assert (device.info.sequence, *device.info.erases) == (state, (state + 1) // 2, state // 2)
        assert device.load() == (0, state)
        assert (device.info.sequence, *device.info.erases) == (state, (state + 1) // 2, state // 2)


def test_only_the_blocks_that_an_image_needs_are_erased(library):
    device = Device(library, unit=8, block=512, count=16)
    device.save(1)
    assert device.nor.operations == 2 + 4  # two blocks of eight; 603 bytes up to the block's end,
    assert device.load() == (0, 1)  # in pieces of 256; and the header


def test_the_header_is_programmed_last(device):
    device.save(1)
    operations = device.nor.operations
    device.nor.operations, device.nor.power_fails, device.nor.amount = 0, 1, 0
    device.nor.fail_at = operations - 1
    assert device.save(2) == FLASH
    slot = bytes(device.nor.bytes)[device.slot_bytes :][: device.params_offset + PARAMS_BYTES]
    assert slot[: device.params_offset] == b"\xff" * device.params_offset
    assert set(slot[-300:]) != {0xFF}


def test_the_later_sequence_number_wins_when_numbers_wrap_around(device):
    device.save(1)
    device.forge(0, sequence=2**32 - 1)
    for state in (2, 3, 4):
        assert device.save(state) == 0
        assert device.load() == (0, state)
    assert device.info.sequence == 2


@pytest.mark.parametrize("field", [{"model_hash": 1}, {"format": 0x3253444F}])
def test_an_image_of_another_model_or_format_is_refused_and_replaced_last(device, field):
    device.save(1)
    device.forge(0, **field)
    assert device.load() == (FOREIGN, 0)
    assert device.save(2) == 0  # into the other slot: the foreign image is there still
    assert device.header(0).items() >= field.items()
    assert device.load() == (0, 2)


def test_wear_is_counted_on_when_the_model_changes(device):
    for state in range(1, 8):
        device.save(state)
    for slot in range(2):
        device.forge(slot, model_hash=1)
    assert device.save(9) == 0
    assert (device.info.sequence, *device.info.erases) == (1, 5, 3)


def test_an_image_of_another_size_is_refused(device):
    device.save(1)
    empty_crc = 0
    device.forge(0, params_bytes=0, params_crc=empty_crc)
    assert device.load() == (FOREIGN, 0)


@pytest.mark.parametrize("bytes_", [PARAMS_BYTES + 1, 1024, 2**31, 2**32 - 1])
def test_a_length_in_flash_is_not_trusted(device, bytes_):
    device.save(1)
    device.forge(0, params_bytes=bytes_)
    assert device.load() == (CORRUPT, 0)


def test_a_learning_rate_that_cannot_be_is_refused(device):
    device.save(1)
    device.forge(0, learning_rate=float("nan"))
    assert device.load() == (CORRUPT, 0)


def test_any_damaged_bit_is_seen_and_the_older_image_is_taken(device):
    device.save(1)
    device.save(2)
    newest = device.slot_bytes
    for at in range(48 + PARAMS_BYTES):
        device.nor.bytes[newest + at] ^= 1 << at % 8
        assert device.load() == (0, 1), at
        device.nor.bytes[newest + at] ^= 1 << at % 8
    assert device.load() == (0, 2)


def test_two_damaged_images_are_refused(device):
    device.save(1)
    device.save(2)
    device.nor.bytes[20] ^= 1
    device.nor.bytes[device.slot_bytes + 300] ^= 1
    assert device.load() == (CORRUPT, 0)


def test_flash_that_takes_no_byte_is_noticed_when_saving(device):
    device.save(1)
    for at in range(48 + PARAMS_BYTES):
        device.nor.stuck = device.slot_bytes + at
        status = device.save(2)
        device.nor.stuck = NEVER
        assert (status, device.load()) in [(FLASH, (0, 1)), (0, (0, 2))]  # 0: the bit was to be set
        device.nor.bytes[device.slot_bytes : 2 * device.slot_bytes] = [255] * device.slot_bytes


def test_a_reading_that_fails_is_said_and_changes_nothing(device):
    device.save(1)
    device.save(2)
    device.power()
    assert device.load() == (0, 2)
    for read in range(device.nor.reads):
        device.power()
        device.nor.fail_read_at = read
        assert device.load() == (FLASH, 0)


def test_bytes_that_read_differently_the_second_time_are_not_kept(device):
    device.save(1)
    device.power()
    device.load()
    last = device.nor.reads - 1
    device.power()
    device.nor.flip_read_at = last
    assert device.load() == (CORRUPT, 0)


@pytest.mark.parametrize(
    "geometry",
    [
        (0, 1024, 2),
        (3, 1023, 2),
        (512, 1024, 4),
        (8, 1020, 2),
        (8, 1024, 1),
        (8, 512, 3),
        (256, 768, 3),
    ],
)
def test_flash_that_cannot_be_is_refused(library, geometry):
    unit, block, count = geometry
    device = Device(library, unit=1, block=block, count=count)
    device.nor.unit = unit
    assert device.save(1) == GEOMETRY
    assert device.load() == (GEOMETRY, 0)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_forgetting_erases_every_block(library, geometry):
    device = Device(library, *geometry)
    device.save(1)
    device.save(2)
    device.nor.bytes[device.nor.size - 1] = 3  # behind both slots
    assert device.forget() == 0
    assert set(device.nor.bytes[: device.nor.size]) == {0xFF}
    assert device.load() == (EMPTY, 0)


def test_a_block_that_is_not_erased_is_said_and_the_others_are_erased(library):
    device = Device(library, unit=8, block=512, count=4)
    device.save(1)
    device.save(2)
    device.nor.operations, device.nor.fail_at, device.nor.amount = 0, 0, 0
    assert device.forget() == FLASH
    assert set(device.nor.bytes[512:2048]) == {0xFF} != set(device.nor.bytes[:512])
    assert device.forget() == 0


STEPS = st.one_of(
    st.just(("save",)),
    st.tuples(
        st.just("cut"),
        st.integers(0, 9),
        st.integers(0, 3),
        st.integers(0, 700),
        st.integers(1, NEVER),
    ),
    st.tuples(st.just("damage"), st.integers(0, 2047), st.integers(1, 255)),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(GEOMETRIES), st.lists(STEPS, max_size=30))
def test_saves_cuts_and_damage_in_any_order_never_make_garbage(library, geometry, steps):
    device = Device(library, *geometry)
    saved, damaged = 0, False
    for number, (what, *how) in enumerate(steps, 1):
        if what == "damage":
            device.nor.bytes[how[0] % device.nor.size] ^= how[1]
            damaged = True
        elif what == "save":
            assert device.save(number) == 0
            saved, damaged = number, False
        else:
            device.nor.operations = 0
            device.nor.fail_at, device.nor.cut, device.nor.amount, device.nor.noise = how
            device.nor.power_fails = 1
            status = device.save(number)
            device.power()
        before = saved
        status, saved = device.load()
        assert status in (0, EMPTY, CORRUPT)
        if not damaged:
            assert saved in ({before, number} if what == "cut" else {before})


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(GEOMETRIES), st.lists(st.tuples(st.integers(0, 4095), st.binary())))
def test_any_content_of_flash_is_refused_and_can_be_replaced(library, geometry, pieces):
    device = Device(library, *geometry)
    for at, data in pieces:
        at %= device.nor.size
        device.nor.bytes[at : at + len(data)] = list(data)
    assert device.load() in [(EMPTY, 0), (CORRUPT, 0)]
    assert device.save(1) == 0
    assert device.load() == (0, 1)


def test_garbage_would_be_noticed(device):
    """The check itself: a state that is not whole."""
    device.save(1)
    device.forge(0, steps=2)
    assert device.load()[0] == GARBAGE
