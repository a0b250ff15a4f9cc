"""The server that people write first: transformers' pipeline behind FastAPI, one request one forward pass.

    python benchmarks/serving/naive_server.py MODEL PORT THREADS MAX_LENGTH

MODEL is a checkpoint of transformers, such as `tokensieve export --format transformers` writes. A rival of the server.
"""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline


class Request(BaseModel):
    """A text."""

    inputs: str


def main() -> None:
    """Serve until it is ended."""
    model, port, threads, max_length = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    classify = pipeline("text-classification", model=model, top_k=None)
    app = FastAPI()

    @app.post("/predict")
    def predict(request: Request) -> list[dict]:
        with torch.inference_mode():
            found = classify([request.inputs], truncation=True, max_length=max_length)
        return found[0]

    @app.get("/health")
    def health() -> None:
        """Nothing: it is there."""

    uvicorn.run(app, port=port, log_level="warning")


if __name__ == "__main__":
    main()
