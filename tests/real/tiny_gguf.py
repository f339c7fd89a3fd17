"""Write a small model with random weights: real arithmetic and real tokens, no download, no sense.

Runs by the environment that has gguf and numpy, and imports nothing of this repository:
`.local/venvs/real/bin/python tests/real/tiny_gguf.py OUT.gguf --width 64 --layers 2`.

The tokens are bytes, characters and a few words. Their numbers matter to who biases them: 2 ends an answer, and 366
opens a tool call as Qwen's template has it.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

# Only the environment of the real server has them.
import gguf  # type: ignore[import-not-found,import-untyped,unused-ignore]
import numpy as np  # type: ignore[import-not-found,unused-ignore]

HEADS = 4
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def list_tokens() -> Iterator[tuple[str, float, int]]:
    """Yield every token with its score and its kind, in the order of their numbers."""
    kinds = gguf.TokenType
    yield "<unk>", 0.0, kinds.UNKNOWN
    for control in ("<s>", "</s>", "<|im_start|>", "<|im_end|>"):
        yield control, 0.0, kinds.CONTROL
    for byte in range(256):
        yield f"<0x{byte:02X}>", 0.0, kinds.BYTE
    for index, character in enumerate([chr(code) for code in range(33, 127)] + ["▁"]):
        yield character, -float(index), kinds.NORMAL
    for index, word in enumerate(("the", "and", "fox", "cloud", "gpu", "token", "fast", "slow", "is", "on")):
        yield "▁" + word, -200.0 - index, kinds.NORMAL
    for marker in ("<tool_call>\n", "</tool_call>"):
        yield marker, 0.0, kinds.USER_DEFINED


def write_model(path: Path, *, width: int, layers: int, context_tokens: int, plain: bool) -> None:
    """Write the model; `width` and `layers` say how much work a token is.

    A `plain` model says only characters and words. Any other also says single bytes, so that a token may come in
    half a character, which the server keeps back: its chunks are fewer than its tokens.
    """
    tokens = list(list_tokens())
    random = np.random.default_rng(7)

    def weights(*shape: int, scale: float) -> np.ndarray:
        return (random.standard_normal(shape, dtype=np.float32) * scale).astype(np.float32)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("random")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([token for token, _, _ in tokens])
    writer.add_token_scores([score for _, score, _ in tokens])
    writer.add_token_types([int(kind) for _, _, kind in tokens])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(value=True)
    writer.add_add_space_prefix(value=False)
    writer.add_chat_template(CHAT_TEMPLATE)

    said = weights(len(tokens), width, scale=0.5)
    if plain:
        kinds = np.array([int(kind) for _, _, kind in tokens])
        said[kinds != int(gguf.TokenType.NORMAL)] = 0.0
    writer.add_tensor("token_embd.weight", weights(len(tokens), width, scale=1.0))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    writer.add_tensor("output.weight", said)
    scale = 1.6 / width**0.5
    for layer in range(layers):
        block = f"blk.{layer}"
        writer.add_tensor(f"{block}.attn_norm.weight", np.ones(width, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"{block}.{name}.weight", weights(width, width, scale=scale))
        writer.add_tensor(f"{block}.ffn_norm.weight", np.ones(width, np.float32))
        writer.add_tensor(f"{block}.ffn_gate.weight", weights(2 * width, width, scale=scale))
        writer.add_tensor(f"{block}.ffn_up.weight", weights(2 * width, width, scale=scale))
        writer.add_tensor(f"{block}.ffn_down.weight", weights(width, 2 * width, scale=scale))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--context-tokens", type=int, default=4096)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    write_model(
        options.out,
        width=options.width,
        layers=options.layers,
        context_tokens=options.context_tokens,
        plain=options.plain,
    )
