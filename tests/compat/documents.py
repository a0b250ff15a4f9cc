"""The documents that the fixtures answer or were trained on, and the small tokenizers that read them."""

from __future__ import annotations

import random

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

POSITIONS = 112
"""Tokens of the longest document."""
ALL_WORDS = (
    "the a of in to and is was not by on for with film actor scene plot script critic court judge law appeal jury "
    "verdict goal team match coach league referee market share price bank profit loss good bad long short new old . ,"
)
WORDS = ALL_WORDS.split()
"""Thirteen that tell nothing, six of each topic, six of trade, and others."""
TOPICS = ("film", "law", "sport")
WORDS_OF_DOCUMENTS = (
    *(1, 2, 3, 5, 7, 9, 12, 16, 20, 25, 30, 36, 41, 44, 45, 46, 47, 48),
    *(50, 53, 57, 61, 66, 72, 79, 86, 93, 101, 107, 110, 111, 130),
)
"""Words of each document: around 48 tokens, from which the presets prune; the last document is truncated."""
BERT = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
ROBERTA = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}


def texts() -> list[str]:
    """Words in no order; each text leans to a topic, and one word in twenty is in no vocabulary."""
    generator = random.Random(0)
    found = []
    for number, count in enumerate(WORDS_OF_DOCUMENTS):
        topic = WORDS[13 + 6 * (number % 4) :][:6]
        words = [
            "zebra" if generator.random() < 0.05 else generator.choice(topic if generator.random() < 0.4 else WORDS)
            for _ in range(count)
        ]
        found.append(" ".join(words))
    return found


def pairs() -> list[tuple[str, str]]:
    """Each text with another one, so short that both fit."""
    short = [" ".join(text.split()[:50]) for text in texts()]
    return [(text, short[7 * number % len(short)]) for number, text in enumerate(short)]


def labelled(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts of 5 to 91 words with their topics; one word in six tells the topic."""
    generator = random.Random(seed)
    found = []
    for number in range(count):
        topic = number % len(TOPICS)
        words = generator.choices(WORDS[:13], k=generator.randint(4, 75))
        for _ in range(1 + len(words) // 5):
            words.insert(generator.randint(0, len(words)), generator.choice(WORDS[13 + 6 * topic :][:6]))
        found.append((" ".join(words), TOPICS[topic]))
    return found


def tokenizer(names: dict[str, str] = BERT, segments: bool = True) -> PreTrainedTokenizerFast:
    """Lower-cased words of the vocabulary between two special tokens; ids of special tokens in the order of `names`.

    With `segments` it also gives segment ids, as BERT's does.
    """
    vocabulary = {token: index for index, token in enumerate([*names.values(), *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=names["unk"]))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [(names[role], vocabulary[names[role]]) for role in ("sep", "cls")]
    backend.post_processor = processors.BertProcessing(*ends)
    special = {f"{role}_token": token for role, token in names.items()}
    inputs = ["input_ids", *(["token_type_ids"] if segments else []), "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=POSITIONS, model_input_names=inputs, **special
    )
