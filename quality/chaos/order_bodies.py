"""What load clients order: images for the most part, and some edits, speech, music and 3D models.

The text of an order carries the scenarios that the simulator plays for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from quality.chaos.fault_kinds import CUT_FILES, IDENTICAL_JOB, UNSIZED
from quality.chaos.fault_plan import FaultPlan

BATCH_MIN, BATCH_MAX, SHORT_BATCH_MAX = 20, 200, 30
CUT_FILE, *_ = CUT_FILES
IMAGE_SIZE = {"width": 256, "height": 256}
# Another program may name the same seed, so an order with one of these is not recognisable at fal.
CUSTOMER_SEEDS = (7, 8)
# In the prompt of an order whose POST is dropped, and which a stranger then submits.
STRANGERS_PROMPT = "as everybody wants it"
Body = dict[str, Any]


@dataclass
class OrderBodies:
    """Draws the bodies of the orders of one client."""

    client_name: str
    plan: FaultPlan
    rng: random.Random
    behaves: Callable[[str], bool]
    """Draws whether the client shows a behaviour now, and counts it."""
    is_rich: bool
    """Whether the client can pay for more than images."""

    def draw(self, output_ids: list[str]) -> Body:
        """Return the body of one order.

        Args:
            output_ids: Images of earlier orders, which may be edited or made into a 3D model.
        """
        text = f"a fox for {self.client_name} {uuid4()} {self.plan.draw_scenarios(self.rng)}"
        if self.behaves("identical prompt"):
            scenario = self.rng.choice(("drop_after_accept", "callback:double", "slow:1"))
            text = f"the same fox again [{scenario}]"
        elif self.plan.draws_behaviour(IDENTICAL_JOB, self.rng):
            # Counted once the stranger's job exists.
            text = f"a fox {STRANGERS_PROMPT} {uuid4()} [drop_before_acceptx1]"
        image = {"output": self.rng.choice(output_ids)} if output_ids else None
        if image and self.behaves("edit"):
            # The input image gets another signed URL with each attempt, so fal's record shows other arguments.
            edit = {"prompt": text, "image_urls": [image], "image_size": {"width": 512, "height": 512}}
            return {"model": "flux-2-edit", "input": edit}
        if image and self.is_rich and self.behaves("3D model"):
            return {"model": "tripo-v2.5", "input": {"image_url": image, "quad": self.rng.random() < 0.5}}
        if self.behaves("speech"):
            # Neither fal's answer nor the format of speech shows that a file was cut.
            if CUT_FILE in self.plan.order_faults and self.rng.random() < 0.5:
                text = f"{text} [{CUT_FILE}] [{UNSIZED}]"
            return {"model": "eleven-v3", "input": {"text": text}}
        if self.is_rich and self.behaves("music"):
            return {"model": "stable-audio-2.5", "input": {"prompt": text, "seconds_total": 10}}
        return {"model": "flux-schnell", "input": self._image(text, self.rng.choice((1, 1, 1, 2, 4)))}

    def draw_identical_pair(self) -> Body:
        """Return the body of an order that is placed twice, and whose answers from fal are lost."""
        return {"model": "flux-schnell", "input": self._image(f"two foxes {uuid4()} [drop_after_accept]", 1)}

    def draw_batch(self) -> Body:
        """Return the body of a batch."""
        count = self.rng.randint(BATCH_MIN, SHORT_BATCH_MAX if self.plan.is_short else BATCH_MAX)
        inputs = [
            self._image(f"fox {number} of {count} {uuid4()} {self.plan.draw_scenarios(self.rng)}", 1)
            for number in range(count)
        ]
        return {"model": "flux-schnell", "inputs": inputs}

    def _image(self, prompt: str, count: int) -> Body:
        seed = {"seed": self.rng.choice(CUSTOMER_SEEDS)} if self.rng.random() < 0.2 else {}
        return {"prompt": prompt, "image_size": IMAGE_SIZE, "num_images": count, **seed}
