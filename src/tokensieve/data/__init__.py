"""Documents in: read files, split them, tokenise them; and the corpus that is there without any file.

Read in this order:
- `documents`: what reading gives.
- `readers`: a file or data set -> documents. `sources` opens files; `delimited`, `tabbed`, `json_files`, `lines` and
  `parquet` parse them into `rows`; `huggingface` opens data sets; `usable` and `labels` decide what can be used.
- `texts`: what a caller hands over in Python.
- `splits`: `folders` finds the sources, `sampling` carves and thins, `doubts` looks for what may be meant otherwise.
- `corpus`: the documents that are there without any file.
- `tokenize`, `tokenized`: texts -> ids. `targets`: labels -> what a model is trained towards.
"""

from tokensieve.data.corpus import standard_library_corpus
from tokensieve.data.documents import Document, Rejection, Tally
from tokensieve.data.folders import resolve_split_file
from tokensieve.data.readers import read_documents
from tokensieve.data.splits import DataSplits, load_splits

__all__ = [
    "DataSplits",
    "Document",
    "Rejection",
    "Tally",
    "load_splits",
    "read_documents",
    "resolve_split_file",
    "standard_library_corpus",
]
