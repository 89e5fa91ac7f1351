"""Models that make a 3D model from an image."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from generations.catalogue.declaration import Inputs, Model
from generations.catalogue.fields import Seed
from generations.catalogue.files import ImageUrl
from generations.catalogue.outputs import MEDIA_TYPE_OF, Files
from generations.catalogue.prices import by_formula

PBR = "Add materials for physically based rendering."
QUADS = Field(default=False, description="Quads instead of triangles. The file format becomes FBX.")
TEXTURE = Field(default=True, description="With colours. Without, the model is the bare shape.")
FACE_LIMIT = "The largest number of faces."
REAL_SIZE = Field(default=False, description="Scale the model to its real size in metres.")


class TripoImageTo3D(Inputs):
    image_url: ImageUrl
    texture: Literal["no", "standard", "HD"] = "standard"
    pbr: bool = Field(default=False, description=PBR)
    quad: bool = QUADS
    face_limit: int | None = Field(default=None, ge=1_000, le=100_000, description=FACE_LIMIT)
    auto_size: bool = REAL_SIZE
    orientation: Literal["default", "align_image"] = "default"
    texture_alignment: Literal["original_image", "geometry"] = "original_image"
    seed: Seed = None
    texture_seed: Seed = None


def tripo_credits(inputs: Any) -> int:
    return {"no": 200, "standard": 300, "HD": 400}[inputs.texture] + (50 if inputs.quad else 0)


def tripo_files(inputs: Any) -> dict[str, str]:
    mesh = MEDIA_TYPE_OF["fbx" if inputs.quad else "glb"]
    files = {"model_mesh": mesh}
    if inputs.pbr:
        files |= {"base_model": mesh, "pbr_model": mesh}
    return files | {"rendered_image": "image/webp"}


def tripo_extras(inputs: Any) -> dict[str, Any]:
    return {"task_id": "tripo-task"}


TRIPO_V25 = Model(
    slug="tripo-v2.5",
    endpoint="tripo3d/tripo/v2.5/image-to-3d",
    title="Tripo 2.5, image to 3D",
    summary="A textured 3D model from one image.",
    kind="3d",
    inputs=TripoImageTo3D,
    output=Files(named=tripo_files, paid=frozenset({"model_mesh"}), extras=tripo_extras),
    price=by_formula(tripo_credits, description="200 credits without texture, 300 with, 400 in HD; 50 more with quads"),
    # All presets of a model set the same inputs, so that switching to another leaves nothing of the first behind.
    presets={
        "draft": {"texture": "no", "pbr": False, "face_limit": 10_000},
        "standard": {"texture": "standard", "pbr": False, "face_limit": 50_000},
        "high": {"texture": "HD", "pbr": True, "face_limit": 100_000},
    },
    typical_seconds=60,
    unsure=("the price: third-party; fal's own text names only the surcharge for quads",),
)


# --- Tripo H3.1 and P1 ---
# Their answers have one URL for each format, beside the mesh itself.


class TripoH31(Inputs):
    image_url: ImageUrl
    texture: bool = TEXTURE
    texture_quality: Literal["standard", "detailed"] = "standard"
    geometry_quality: Literal["standard", "detailed"] = "standard"
    pbr: bool = Field(default=True, description=PBR)
    quad: bool = QUADS
    # fal takes up to two million. Models ordered here are viewed in a browser, which cannot show that many.
    face_limit: int | None = Field(default=None, ge=1_000, le=100_000, description=FACE_LIMIT)
    auto_size: bool = REAL_SIZE
    orientation: Literal["default", "align_image"] = "default"
    texture_alignment: Literal["original_image", "geometry"] = "original_image"
    model_seed: Seed = None
    texture_seed: Seed = None


def h31_credits(inputs: Any) -> int:
    textured = 400 if inputs.texture_quality == "detailed" else 300
    geometry = 200 if inputs.geometry_quality == "detailed" else 0
    return (textured if inputs.texture else 200) + geometry + (50 if inputs.quad else 0)


def h31_files(inputs: Any) -> dict[str, str]:
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
    summary="A 3D model with finer shape and texture, from one image.",
    kind="3d",
    inputs=TripoH31,
    seed="model_seed",
    output=Files(named=h31_files, paid=frozenset({"model_mesh"}), extras=tripo_extras),
    price=by_formula(
        h31_credits,
        description="200 credits without texture, 300 with, 400 with a detailed one; "
        "200 more for detailed geometry, 50 more with quads",
    ),
    presets={
        "draft": {"texture": False, "texture_quality": "standard", "pbr": False, "face_limit": 10_000},
        "standard": {"texture": True, "texture_quality": "standard", "pbr": True, "face_limit": 50_000},
        "high": {"texture": True, "texture_quality": "detailed", "pbr": True, "face_limit": 100_000},
    },
    typical_seconds=140,
    unsure=(
        "the price: not verified",
        "the names in model_urls beside glb, fbx and pbr_model",
        "whether materials (pbr) cost extra: fal's price text does not mention them",
    ),
)


class TripoP1(Inputs):
    image_url: ImageUrl
    texture: bool = TEXTURE
    face_limit: int | None = Field(default=None, ge=1_000, le=20_000, description=FACE_LIMIT)
    model_seed: Seed = None


TRIPO_P1 = Model(
    slug="tripo-p1",
    endpoint="tripo3d/p1/image-to-3d",
    title="Tripo P1, image to 3D",
    summary="A clean mesh with few faces from one image, ready for a game.",
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
        extras=tripo_extras,
    ),
    price=by_formula(
        lambda inputs: 500 if inputs.texture else 400, description="400 credits without texture, 500 with"
    ),
    presets={
        "draft": {"texture": False, "face_limit": 3_000},
        "standard": {"texture": True, "face_limit": 10_000},
        "high": {"texture": True, "face_limit": 20_000},
    },
    typical_seconds=95,
    unsure=(
        "the price and the range of face_limit (48 to 20,000): third-party code of September 2026",
        "the names in model_urls",
    ),
)
