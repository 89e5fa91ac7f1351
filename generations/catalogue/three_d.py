"""Models that make 3D objects."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from generations.catalogue.declaration import Inputs, Model
from generations.catalogue.fields import Seed
from generations.catalogue.files import ImageUrl
from generations.catalogue.outputs import MEDIA_TYPE_OF, Files
from generations.catalogue.prices import by_formula


class TripoImageTo3D(Inputs):
    image_url: ImageUrl
    texture: Literal["no", "standard", "HD"] = "standard"
    pbr: bool = Field(default=False, description="Materials for physically based rendering.")
    quad: bool = Field(default=False, description="Quads instead of triangles; the file becomes FBX.")
    face_limit: int | None = Field(default=None, ge=1_000, le=100_000, description="At most so many faces.")
    auto_size: bool = Field(default=False, description="Scale to real-world metres.")
    orientation: Literal["default", "align_image"] = "default"
    texture_alignment: Literal["original_image", "geometry"] = "original_image"
    seed: Seed = None
    texture_seed: Seed = None


def _tripo_credits(inputs: Any) -> int:
    return {"no": 200, "standard": 300, "HD": 400}[inputs.texture] + (50 if inputs.quad else 0)


def _tripo_files(inputs: Any) -> dict[str, str]:
    mesh = MEDIA_TYPE_OF["fbx" if inputs.quad else "glb"]
    files = {"model_mesh": mesh}
    if inputs.pbr:
        files |= {"base_model": mesh, "pbr_model": mesh}
    return files | {"rendered_image": "image/webp"}


TRIPO_V25 = Model(
    slug="tripo-v2.5",
    endpoint="tripo3d/tripo/v2.5/image-to-3d",
    title="Tripo 2.5, image to 3D",
    summary="A textured 3D model from one picture.",
    kind="3d",
    inputs=TripoImageTo3D,
    output=Files(named=_tripo_files, paid=frozenset({"model_mesh"}), beside=lambda inputs: {"task_id": "tripo-task"}),
    price=by_formula(_tripo_credits, words="200 credits without texture, 300 with, 400 in HD; quads 50 more"),
    # Each says all that any of them says: whoever tries one after the other gets what it means.
    presets={
        "draft": {"texture": "no", "pbr": False, "face_limit": 10_000},
        "standard": {"texture": "standard", "pbr": False, "face_limit": 50_000},
        "high": {"texture": "HD", "pbr": True, "face_limit": 100_000},
    },
    typical_seconds=60,
    unsure=("the price is told by others; of fal's own text only the surcharge for quads",),
)


# --- Tripo H3.1 and P1: one address for each format beside the mesh itself ---


class TripoH31(Inputs):
    image_url: ImageUrl
    texture: bool = Field(default=True, description="With colours; without, the bare shape.")
    texture_quality: Literal["standard", "detailed"] = "standard"
    geometry_quality: Literal["standard", "detailed"] = "standard"
    pbr: bool = Field(default=True, description="Materials for physically based rendering.")
    quad: bool = Field(default=False, description="Quads instead of triangles; the file becomes FBX.")
    # fal takes up to two million; what people order here is looked at in a browser.
    face_limit: int | None = Field(default=None, ge=1_000, le=100_000, description="At most so many faces.")
    auto_size: bool = Field(default=False, description="Scale to real-world metres.")
    orientation: Literal["default", "align_image"] = "default"
    texture_alignment: Literal["original_image", "geometry"] = "original_image"
    model_seed: Seed = None
    texture_seed: Seed = None


def _h31_credits(inputs: Any) -> int:
    textured = 400 if inputs.texture_quality == "detailed" else 300
    geometry = 200 if inputs.geometry_quality == "detailed" else 0
    return (textured if inputs.texture else 200) + geometry + (50 if inputs.quad else 0)


def _h31_files(inputs: Any) -> dict[str, str]:
    extension = "fbx" if inputs.quad else "glb"
    mesh = MEDIA_TYPE_OF[extension]
    files = {"model_mesh": mesh, f"model_urls.{extension}": mesh, "model_urls.base_model": mesh}
    if inputs.pbr:
        files["model_urls.pbr_model"] = mesh
    return files | {"rendered_image": "image/webp"}


TRIPO_H31 = Model(
    slug="tripo-h3.1",
    endpoint="tripo3d/h3.1/image-to-3d",
    title="Tripo H3.1, image to 3D",
    summary="Finer shapes and textures from one picture.",
    kind="3d",
    inputs=TripoH31,
    seed="model_seed",
    output=Files(named=_h31_files, paid=frozenset({"model_mesh"}), beside=lambda inputs: {"task_id": "tripo-task"}),
    price=by_formula(
        _h31_credits,
        words="200 credits without texture, 300 with, 400 with a detailed one; detailed geometry 200 more, quads 50",
    ),
    presets={
        "draft": {"texture": False, "texture_quality": "standard", "pbr": False, "face_limit": 10_000},
        "standard": {"texture": True, "texture_quality": "standard", "pbr": True, "face_limit": 50_000},
        "high": {"texture": True, "texture_quality": "detailed", "pbr": True, "face_limit": 100_000},
    },
    typical_seconds=140,
    unsure=(
        "the price: not verified",
        "the names below model_urls beside glb, fbx and pbr_model",
        "whether materials (pbr) cost more: fal's price text does not speak of them",
    ),
)


class TripoP1(Inputs):
    image_url: ImageUrl
    texture: bool = Field(default=True, description="With colours; without, the bare shape.")
    face_limit: int | None = Field(default=None, ge=1_000, le=20_000, description="At most so many faces.")
    model_seed: Seed = None


TRIPO_P1 = Model(
    slug="tripo-p1",
    endpoint="tripo3d/p1/image-to-3d",
    title="Tripo P1, image to 3D",
    summary="A clean, light mesh from one picture, ready for a game.",
    kind="3d",
    inputs=TripoP1,
    seed="model_seed",
    output=Files(
        named=lambda inputs: {
            "model_mesh": "model/gltf-binary",
            "model_urls.glb": "model/gltf-binary",
            "rendered_image": "image/webp",
        },
        paid=frozenset({"model_mesh"}),
        beside=lambda inputs: {"task_id": "tripo-task"},
    ),
    price=by_formula(lambda inputs: 500 if inputs.texture else 400, words="400 credits without texture, 500 with"),
    presets={
        "draft": {"texture": False, "face_limit": 3_000},
        "standard": {"texture": True, "face_limit": 10_000},
        "high": {"texture": True, "face_limit": 20_000},
    },
    typical_seconds=95,
    unsure=(
        "the price and the range of face_limit (48 to 20,000): third-party code of September 2026",
        "which names stand below model_urls",
    ),
)
