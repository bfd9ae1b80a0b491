"""Writes a tiny Llama with random weights: `python tiny_model.py FOLDER`, with torch and transformers installed.

One token a byte, so that what it says is hostile text: half characters, control characters, anything.
"""

from __future__ import annotations

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHAT_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
SPECIAL = ("<s>", "</s>", "<pad>")
ENDS_ONE_IN = 20  # the server sets no lower limit than 1024 tokens: the model has to end by itself


def write(folder: str) -> None:
    """Write the model and its tokenizer, a few hundred kilobytes."""
    names = (*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()))
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(1)
    shape = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(shape)
    model.generation_config.do_sample = True
    model.generation_config.min_new_tokens = 4  # a reply that ends at once is `empty`, and rightly so
    model.generation_config.eos_token_id = list(range(len(SPECIAL), len(vocabulary), ENDS_ONE_IN))
    model.save_pretrained(folder)


if __name__ == "__main__":
    write(sys.argv[1])
