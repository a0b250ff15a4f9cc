"""push_to_hub(): a finished classifier's folder -> a repository of the Hugging Face hub, with its card."""

from __future__ import annotations

import glob
import logging
from fnmatch import fnmatch
from pathlib import Path

from tokensieve.errors import CheckpointError, ConfigError, HubError, TokensieveError, first_line
from tokensieve.runtime.load import load
from tokensieve.training.files.checkpoints import FOLDER as CHECKPOINTS
from tokensieve.training.files.output import CARD, PUBLISHED, RECORD
from tokensieve.version import __version__

logger = logging.getLogger(__name__)


def push_to_hub(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    token: str | None = None,
    revision: str | None = None,
    commit_message: str = "Upload tokensieve classifier",
) -> str:
    """Upload a classifier's folder: weights, config, tokenizer, records and card, and nothing else that lies in it.

    The repository is made if it is not there. The folder is loaded first: what is published can be used.

    Args:
        folder: written by `tokensieve train`, `TokensieveClassifier.save`, or `save_pretrained` of model and tokenizer.
        repo_id: "name", or "user-or-organisation/name".
        private: nobody else may see it; refused where the repository is there and public. False: the account's default.
        token: of the hub; None: that of `hf auth login`, or of the variable HF_TOKEN.
        revision: branch, made if it is not there; None: main.
        commit_message: of the upload.

    Returns:
        The address of the repository, or of the branch.

    Raises:
        CheckpointError: no folder, no classifier of ours in it, or one that is not finished.
        ConfigError: a name that no repository can have.
        HubError: no connection (or HF_HUB_OFFLINE=1), no valid token, no right to write, or another refusal.
    """
    from huggingface_hub import HfApi

    path = Path(folder)
    check_finished(path)
    names = files_to_publish(path)
    try:
        api = HfApi(token=token, library_name="tokensieve", library_version=__version__)
        repository = api.create_repo(repo_id, private=private or None, exist_ok=True)
        if private and not api.model_info(repository.repo_id).private:
            raise HubError(f"{repo_id}: is there already and public: make it private on the hub, or name another")
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repository.repo_id, branch=revision, exist_ok=True)
        api.upload_folder(
            repo_id=repository.repo_id,
            folder_path=path,
            allow_patterns=[glob.escape(name) for name in names],
            revision=revision,
            commit_message=commit_message,
        )
    except TokensieveError:
        raise
    except Exception as error:  # of the hub, its connection or its cache: there is no common class
        raise _refusal(repo_id, error) from error
    return str(repository) if revision is None else f"{repository}/tree/{revision}"


def check_finished(folder: Path) -> None:
    """Raise CheckpointError unless the folder holds a whole classifier of ours."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder: give that of a trained classifier")
    if (folder / CHECKPOINTS).is_dir() and not (folder / RECORD).is_file():
        raise CheckpointError(
            f"{folder}: a training that is not finished (no {RECORD}): go on with it (tokensieve train --resume)"
        )
    load(folder, device="cpu")


def files_to_publish(folder: Path) -> list[str]:
    """Names of the files that belong to a classifier.

    What scikit-learn's estimator keeps beside them is not published: its parameters tell where the user's files lie.
    """
    files = sorted(file.name for file in folder.iterdir() if file.is_file())
    names = [name for name in files if any(fnmatch(name, pattern) for pattern in PUBLISHED)]
    if CARD not in names:
        logger.warning(
            "%s: no model card (%s): 'tokensieve train' and TokensieveClassifier.save write one", folder, CARD
        )
    left = sorted(set(files) - set(names))
    logger.info("uploading %s%s", ", ".join(names), f"; not {', '.join(left)}" if left else "")
    return names


def _refusal(repo_id: str, error: Exception) -> TokensieveError:
    """The hub's error in our words; none of them tells the token."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    if isinstance(error, HFValidationError):
        return ConfigError(f"repository {repo_id!r}: {first_line(error)}")
    if isinstance(error, OfflineModeIsEnabled):
        return HubError(f"{repo_id}: the hub is switched off here: unset HF_HUB_OFFLINE (and TRANSFORMERS_OFFLINE)")
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    remedies = {
        401: "no valid token: log in with 'hf auth login', or set HF_TOKEN",
        403: "the token may not write there: give one with the right to write, or a repository of your own",
        404: "no such user, organisation or branch, or not for this token: look at its name",
        409: "somebody else wrote there at the same moment: try again",
        429: "too many requests: wait a while, then try again",
    }
    remedy = remedies.get(status or 0, "the hub cannot be reached, or refuses it")
    return HubError(f"{repo_id}: {remedy} ({first_line(error)})")
