import asyncio

import pytest

from webvm.block import BytesDevice, FileDevice
from webvm.block.errors import NotFound, OutOfRange, Refused, Truncated


@pytest.fixture(params=["bytes", "file"])
def device(request, tmp_path, image):
    if request.param == "bytes":
        return BytesDevice(image)
    path = tmp_path / "image"
    path.write_bytes(image)
    device = FileDevice(path)
    request.addfinalizer(device.close)
    return device


def test_reads_exactly_the_bytes_asked_for(device, image):
    assert device.size == len(image)
    for offset, length in [(0, 1), (4095, 10_000), (len(image) - 1, 1), (len(image), 0), (0, len(image))]:
        assert asyncio.run(device.read(offset, length)) == image[offset:offset + length]


@pytest.mark.parametrize("offset, length", [(-1, 1), (0, -1), (3_300_000, 1), (0, 3_300_000)])
def test_a_read_beyond_the_image_is_an_error(device, offset, length):
    with pytest.raises(OutOfRange):
        asyncio.run(device.read(offset, length))


def test_a_file_cut_short_while_in_use_is_an_error(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(bytes(10_000))
    device = FileDevice(path)
    with open(path, "r+b") as file:
        file.truncate(5000)
    assert asyncio.run(device.read(0, 5000)) == bytes(5000)
    with pytest.raises(Truncated, match="cut short at 5000"):
        asyncio.run(device.read(4000, 4000))
    device.close()


def test_no_such_file_and_a_folder_are_errors_with_the_path(tmp_path):
    with pytest.raises(NotFound, match="nowhere: no such image"):
        FileDevice(tmp_path / "nowhere")
    with pytest.raises(Refused, match=f"{tmp_path}: not an image"):
        FileDevice(tmp_path)
