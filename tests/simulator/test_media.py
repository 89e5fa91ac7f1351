"""Drawn files are valid: other programs read them, and the same drawing always gives the same bytes."""

from __future__ import annotations

import base64
import io
import json
import struct
import wave
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PIL import Image

from simulator.media import EXTENSIONS, Drawing, draw, fbx, glb, images, webm
from tests.services.chromium import chromium


def drawing(media_type: str, *, seed: int = 5, seconds: float = 4.0) -> Drawing:
    return Drawing(
        media_type=media_type, text="a fox", caption="flux", seed=seed, width=320, height=200, seconds=seconds
    )


def test_the_same_drawing_gives_the_same_bytes() -> None:
    for media_type in EXTENSIONS:
        assert draw(drawing(media_type)) == draw(drawing(media_type)), media_type


def test_another_seed_gives_another_file() -> None:
    # The FBX cube has no seed: its caption makes the difference.
    for media_type in EXTENSIONS.keys() - {"application/octet-stream"}:
        assert draw(drawing(media_type, seed=1)) != draw(drawing(media_type, seed=2)), media_type


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg"])
def test_padding_makes_a_file_larger_and_changes_no_pixel(media_type: str) -> None:
    usual = drawing(media_type)

    padded = draw(replace(usual, padding_bytes=1_000_000))

    with Image.open(io.BytesIO(padded)) as image, Image.open(io.BytesIO(draw(usual))) as expected:
        assert image.tobytes() == expected.tobytes()
    assert 1_050_000 > len(padded) - len(draw(usual)) > 900_000


def test_another_caption_gives_another_sound() -> None:
    for media_type in ("audio/mpeg", "audio/wav"):
        first, second = (draw(replace(drawing(media_type), caption=caption)) for caption in ("request 1", "request 2"))
        assert first != second, media_type


def test_an_image_has_the_size_and_the_media_type_of_its_drawing() -> None:
    for media_type in ("image/png", "image/jpeg", "image/webp"):
        image = Image.open(io.BytesIO(draw(drawing(media_type))))

        image.load()
        assert (image.size, image.get_format_mimetype()) == ((320, 200), media_type)


def test_any_text_can_be_drawn() -> None:
    for text in ("", "word " * 500, "x" * 5000, "狐狸 🦊 שועל", "a\nb\tc"):
        assert len(images.wrap(text).replace("\n", "")) <= 160
        assert images.draw(text, "caption", seed=1, size=(256, 256)).size == (256, 256)


PARENTS = {webm.SEGMENT, webm.INFO, webm.TRACKS, webm.TRACK_ENTRY, webm.VIDEO, webm.CLUSTER, webm.EBML}


def elements(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, bytes]]:
    """Parse EBML: yield identifier, offset and content of each element, parents first."""
    position, end = start, len(data) if end is None else end
    while position < end:
        begin, width = position, 9 - data[position].bit_length()
        identifier = int.from_bytes(data[position : position + width], "big")
        position += width
        width = 9 - data[position].bit_length()
        size = int.from_bytes(data[position : position + width], "big") & ~(1 << (7 * width))
        position += width
        yield identifier, begin, data[position : position + size]
        if identifier in PARENTS:
            yield from elements(data, position, position + size)
        position += size
    assert position == end


def test_a_video_is_a_well_formed_webm_of_key_frames() -> None:
    found = list(elements(draw(drawing("video/webm", seconds=8))))

    contents = {identifier: content for identifier, _, content in found}
    blocks = [content for identifier, _, content in found if identifier == webm.SIMPLE_BLOCK]
    assert (contents[webm.DOC_TYPE], contents[webm.CODEC_ID]) == (b"webm", b"V_VP8")
    assert struct.unpack(">d", contents[webm.DURATION]) == (8000,)
    assert len(blocks) == 8 * webm.FRAMES_PER_SECOND
    # A VP8 key frame: bit 0 of its first byte is clear, and its start code follows (RFC 6386, 9.1).
    assert {(block[3], block[4] & 1, block[7:10]) for block in blocks} == {(0x80, 0, b"\x9d\x01\x2a")}
    assert {struct.unpack("<HH", block[10:14]) for block in blocks} == {(webm.LONG_SIDE, webm.SHORT_SIDE)}


def test_the_cues_of_a_video_point_at_its_clusters() -> None:
    data = draw(drawing("video/webm", seconds=10))
    found = list(elements(data))

    segment = next(begin for identifier, begin, _ in found if identifier == webm.SEGMENT) + 4 + 8
    clusters = [begin - segment for identifier, begin, _ in found if identifier == webm.CLUSTER]
    cues = next(content for identifier, _, content in found if identifier == webm.CUES)
    pointed = [
        int.from_bytes(content, "big")
        for _, _, point in elements(cues)
        for name, _, position in elements(point)
        if name == webm.CUE_TRACK_POSITIONS
        for inner, _, content in elements(position)
        if inner == webm.CUE_CLUSTER_POSITION
    ]
    assert pointed == clusters
    assert len(clusters) == 3


def test_a_frame_of_a_video_can_be_read_as_an_image() -> None:
    image = images.draw("a fox", "", seed=1, size=(320, 180))
    frame = webm.vp8_frame(images.encode(image, "image/webp"))

    wrapped = b"RIFF" + struct.pack("<I", len(frame) + 12) + b"WEBPVP8 " + struct.pack("<I", len(frame)) + frame

    assert Image.open(io.BytesIO(wrapped)).size == (320, 180)


PLAY = """async (source) => {
  const video = document.createElement("video")
  video.muted = true
  video.src = source
  document.body.append(video)
  await video.play()
  await new Promise((resolve, reject) => {
    video.onerror = () => reject(video.error.message)
    video.ontimeupdate = () => video.currentTime > 0.3 && resolve()
  })
  return [video.videoWidth, video.videoHeight, Math.round(video.duration)]
}"""


HEAR = """async (source) => {
  const bytes = Uint8Array.from(atob(source), (letter) => letter.charCodeAt(0)).buffer
  const sound = await new OfflineAudioContext(1, 48000, 48000).decodeAudioData(bytes)
  const peak = sound.getChannelData(0).reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), 0)
  return [Math.round(sound.duration), peak > 0.1]
}"""


@pytest.mark.slow
def test_videos_and_sounds_play_in_a_browser() -> None:
    source = "data:video/webm;base64," + base64.b64encode(draw(drawing("video/webm"))).decode()
    sounds = [base64.b64encode(draw(drawing(kind, seconds=3))).decode() for kind in ("audio/mpeg", "audio/wav")]

    with chromium() as browser:
        page = browser.new_page()
        assert page.evaluate(PLAY, source) == [webm.LONG_SIDE, webm.SHORT_SIDE, 4]
        assert [page.evaluate(HEAR, sound) for sound in sounds] == [[3, True], [3, True]]


def test_a_3d_model_is_a_valid_glb_file() -> None:
    data = glb.draw("a fox", "tripo", seed=1)

    magic, version, length, json_length, json_type = struct.unpack_from("<4sIII4s", data)
    document = json.loads(data[20 : 20 + json_length])
    binary_length, binary_type = struct.unpack_from("<I4s", data, 20 + json_length)
    assert (magic, version, length, json_type, binary_type) == (b"glTF", 2, len(data), b"JSON", b"BIN\0")
    assert document["buffers"][0]["byteLength"] == binary_length == len(data) - 28 - json_length
    assert all(view["byteOffset"] % 4 == 0 for view in document["bufferViews"])


def test_the_triangles_of_a_3d_model_face_outwards_and_have_a_texture() -> None:
    data = glb.draw("a fox", "tripo", seed=1)
    (json_length,) = struct.unpack_from("<I", data, 12)
    views = json.loads(data[20 : 20 + json_length])["bufferViews"]
    parts = [data[28 + json_length + v["byteOffset"] :][: v["byteLength"]] for v in views]
    points = list(struct.iter_unpack("<3f", parts[0]))

    for a, b, c in struct.iter_unpack("<3H", parts[3]):
        assert faces_outwards(points[a], points[b], points[c])
    assert Image.open(io.BytesIO(parts[4])).size == glb.TEXTURE_SIZE


def faces_outwards(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> bool:
    """Return whether the corners are counter-clockwise as seen from outside, which makes that side the front."""
    u, v = [q - p for p, q in zip(a, b, strict=True)], [q - p for p, q in zip(a, c, strict=True)]
    normal = (u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0])
    return sum(n * p for n, p in zip(normal, a, strict=True)) > 0


def test_an_fbx_file_ends_where_its_nodes_say() -> None:
    data = fbx.draw("a fox")

    position, names = 27, []
    while (end := struct.unpack_from("<I", data, position)[0]) != 0:
        names.append(data[position + 13 : position + 13 + data[position + 12]].decode())
        position = end
    assert data.startswith(b"Kaydara FBX Binary  \x00")
    assert names == ["FBXHeaderExtension", "Objects"]
    assert data.endswith(fbx.FOOTER_MAGIC)


def test_a_wav_file_has_the_length_of_its_drawing() -> None:
    with wave.open(io.BytesIO(draw(drawing("audio/wav", seconds=2)))) as sound:
        assert sound.getnframes() / sound.getframerate() == 2


def test_an_unknown_media_type_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot draw text/plain"):
        draw(drawing("text/plain"))
